// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// thread is a thread with the position of what is newest in it.
type thread struct {
	root ident.EventID
	last persistence.Position
}

// threads is GET /_matrix/client/v1/rooms/{roomId}/threads: the roots, those first whose thread has the newest event.
func (r *Rooms) threads(ctx context.Context, q *api.Request) (api.Reply, error) {
	include := q.Query.Get("include")
	if include != "" && include != "all" && include != "participated" {
		return api.Reply{}, api.InvalidParam("include is all or participated, not %.40q", include)
	}
	x, err := r.read(ctx, q)
	if err != nil {
		return api.Reply{}, err
	}
	w, err := windowOf(q, x.now)
	if err != nil {
		return api.Reply{}, err
	}
	list, err := x.threadsBefore(ctx, w.before)
	if err != nil {
		return api.Reply{}, err
	}
	reply := struct {
		Chunk []json.RawMessage `json:"chunk"`
		Next  string            `json:"next_batch,omitempty"`
	}{Chunk: []json.RawMessage{}}
	var last persistence.Position
	for _, t := range list {
		if len(reply.Chunk) == w.limit {
			reply.Next = roomview.Token{Position: last - 1}.String()
			break
		}
		text, err := x.threadRoot(ctx, t, include == "participated", q.User)
		if err != nil {
			return api.Reply{}, err
		}
		if last = t.last; text != nil {
			reply.Chunk = append(reply.Chunk, text)
		}
	}
	return api.JSON(reply)
}

// threadsBefore lists threads whose newest event is before a position, the newest first.
func (x *reading) threadsBefore(ctx context.Context, before persistence.Position) (list []thread, err error) {
	err = x.r.store.View(ctx, func(tx *persistence.Tx) error {
		return tx.Query(`SELECT root, last FROM hs_threads WHERE room = ? AND last < ? ORDER BY last DESC LIMIT ?`,
			[]any{string(x.room), before, maxRelated}, func(row persistence.Row) error {
				var t thread
				err := row.Scan(&t.root, &t.last)
				list = append(list, t)
				return err
			})
	})
	return list, err
}

// threadRoot is the root of a thread as the user gets it; nil if they do not see it, or have no part in the thread but should.
func (x *reading) threadRoot(ctx context.Context, t thread, participated bool, user ident.UserID) (json.RawMessage, error) {
	root, err := x.r.engine.Placed(ctx, t.root)
	if errors.Is(err, pdu.ErrUnknownEvent) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	choice, err := x.choose(ctx, &root)
	if err != nil || choice != roomview.Take {
		return nil, err
	}
	if participated && root.Event.Sender() != user {
		in := false
		err := x.r.store.View(ctx, func(tx *persistence.Tx) (err error) {
			var at persistence.Position
			in, err = tx.QueryRow(`SELECT position FROM hs_relations WHERE parent = ? AND rel = ? AND sender = ? LIMIT 1`,
				[]any{string(t.root), threadRelation, string(user)}, &at)
			return err
		})
		if err != nil || !in {
			return nil, err
		}
	}
	return x.sight.Write(ctx, &root, x.format)
}
