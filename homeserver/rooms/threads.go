// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"maps"
	"math"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// threads is GET /_matrix/client/v1/rooms/{roomId}/threads: the roots, those first whose thread has the newest event.
func (r *Rooms) threads(ctx context.Context, q *api.Request) (api.Reply, error) {
	include := q.Query.Get("include")
	if include != "" && include != "all" && include != "participated" {
		return api.Reply{}, api.InvalidParam("include is all or participated, not %.40q", include)
	}
	limit, err := pageLimit(q)
	if err != nil {
		return api.Reply{}, err
	}
	before := persistence.HistoryPlace{Depth: math.MaxInt64}
	if text := q.Query.Get("from"); text != "" {
		token, err := roomview.ParseToken(text)
		if err != nil || !token.History {
			return api.Reply{}, api.InvalidParam("from: %.40q is no token of this list", text)
		}
		before = persistence.HistoryPlace{Depth: token.Depth, NID: token.NID}
	}
	x, err := r.read(ctx, q)
	if err != nil {
		return api.Reply{}, err
	}
	var reply struct {
		Chunk []json.RawMessage `json:"chunk"`
		Next  string            `json:"next_batch,omitempty"`
	}
	shown, next, err := x.threadPage(ctx, before, limit, include == "participated")
	if err != nil {
		return api.Reply{}, err
	}
	reply.Next = next
	if reply.Chunk, err = x.write(ctx, shown); err != nil {
		return api.Reply{}, err
	}
	return api.JSON(reply)
}

// threadPage is the roots of threads whose newest events are before a place, and where the rest begins, "" if there is none.
func (x *reading) threadPage(ctx context.Context, before persistence.HistoryPlace, limit int, participated bool) (shown []*pdu.Placed, next string, err error) {
	token := func() string {
		return roomview.Token{History: true, Depth: before.Depth, NID: before.NID}.String()
	}
	atOnce := min(limit+1, relatedAtOnce)
	for looked := 0; looked < maxRelated; looked += atOnce {
		var list []persistence.Thread
		err := x.r.store.View(ctx, func(tx *persistence.Tx) error {
			list, err = tx.Threads(x.nid, before, atOnce)
			return err
		})
		if err != nil {
			return nil, "", err
		}
		roots, err := x.threadRoots(ctx, list, participated)
		if err != nil {
			return nil, "", err
		}
		for _, t := range list {
			if len(shown) == limit {
				return shown, token(), nil
			}
			if before = t.Newest; roots[t.Root] != nil {
				shown = append(shown, roots[t.Root])
			}
		}
		if len(list) < atOnce {
			return shown, "", nil
		}
	}
	return shown, token(), nil
}

// threadRoots is the roots of threads in which the user sees something, or has a part. One of somebody whom they ignore is redacted, as a
// client would have it that knows the thread only (CS "Querying threads in a room").
func (x *reading) threadRoots(ctx context.Context, list []persistence.Thread, participated bool) (map[ident.EventID]*pdu.Placed, error) {
	ids := make([]ident.EventID, len(list))
	for i, t := range list {
		ids[i] = t.Root
	}
	found, err := x.r.engine.PlacedAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	roots := map[ident.EventID]*pdu.Placed{}
	var events []*pdu.Placed
	for id, p := range found {
		choice, err := x.choose(ctx, &p)
		if err != nil {
			return nil, err
		}
		if choice == roomview.Take {
			roots[id] = &p
			events = append(events, &p)
		}
	}
	bundles, err := x.bundles(ctx, events)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(roots, func(id ident.EventID, _ *pdu.Placed) bool {
		thread := bundles[id].Thread
		return thread == nil || participated && !thread.Participated
	})
	for _, p := range roots {
		if x.ignored[p.Event.Sender()] {
			p.Event = p.Event.Redact()
		}
	}
	return roots, nil
}
