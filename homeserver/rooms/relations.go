// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Which events relate to which, of what has come since the room is here: history that is fetched is not gone through for it.
const relationsSchema = `
CREATE TABLE hs_relations (
	parent   TEXT    NOT NULL,
	position INTEGER NOT NULL,
	room     TEXT    NOT NULL,
	event    TEXT    NOT NULL,
	rel      TEXT    NOT NULL,
	sender   TEXT    NOT NULL,
	PRIMARY KEY (parent, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_threads (
	room TEXT    NOT NULL,
	root TEXT    NOT NULL,
	last INTEGER NOT NULL, -- position of the newest event in it
	PRIMARY KEY (room, root)
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_threads_last ON hs_threads (room, last);`

const threadRelation = "m.thread"

// relationOf is what an event says it relates to (CS "Forming relationships between events").
func relationOf(e *event.Event) (parent ident.EventID, rel string, ok bool) {
	to := e.Content().Get("m.relates_to")
	rel, _ = to.Get("rel_type").Text()
	text, _ := to.Get("event_id").Text()
	parent, err := ident.ParseEventID(text)
	return parent, rel, err == nil && rel != "" && len(rel) <= maxRelationType
}

// Relations keeps which events relate to which. It implements stream.Deriver.
type Relations struct{}

// Derive enters the relations of what has come.
func (Relations) Derive(_ context.Context, batch stream.Batch) (write func(*persistence.Tx) error, err error) {
	related := slices.DeleteFunc(slices.Clone(batch.Changes), func(c stream.Change) bool {
		if c.Kind != stream.Event || c.Placed == nil {
			return true
		}
		_, _, ok := relationOf(c.Placed.Event)
		return !ok
	})
	if len(related) == 0 {
		return nil, nil
	}
	return func(tx *persistence.Tx) error {
		for _, c := range related {
			if err := relate(tx, c.Room, c.Position, c.Placed.Event); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func relate(tx *persistence.Tx, room ident.RoomID, at persistence.Position, e *event.Event) error {
	parent, rel, _ := relationOf(e)
	_, err := tx.Exec(`INSERT OR IGNORE INTO hs_relations (parent, position, room, event, rel, sender) VALUES (?, ?, ?, ?, ?, ?)`,
		string(parent), at, string(room), string(e.ID()), rel, string(e.Sender()))
	if err == nil && rel == threadRelation {
		_, err = tx.Exec(`INSERT OR REPLACE INTO hs_threads (room, root, last) VALUES (?, ?, ?)`, string(room), string(parent), at)
	}
	if err != nil {
		return fmt.Errorf("relation of %s: %w", e.ID(), err)
	}
	return nil
}

// related is an event that relates to another.
type related struct {
	event    ident.EventID
	position persistence.Position
}

// relations is GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}, with or without a relation and an event type.
func (r *Rooms) relations(ctx context.Context, q *api.Request) (api.Reply, error) {
	parent, err := eventOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	x, err := r.read(ctx, q)
	if err != nil {
		return api.Reply{}, err
	}
	if _, err := x.event(ctx, parent); err != nil {
		return api.Reply{}, err
	}
	window, err := windowOf(q, x.now)
	if err != nil {
		return api.Reply{}, err
	}
	depth := 1
	if q.Query.Get("recurse") == "true" {
		depth = maxRecursion
	}
	all, err := x.relatedTo(ctx, parent, q.Param("rel"), depth)
	if err != nil {
		return api.Reply{}, err
	}
	return x.relationsReply(ctx, all, window, q.Param("type"), depth)
}

// relatedTo lists the events that relate to another, and those that relate to them, to a depth, newest first. They are bounded: of more
// the newest.
func (x *reading) relatedTo(ctx context.Context, parent ident.EventID, rel string, depth int) (all []related, err error) {
	const query = `SELECT event, position, rel FROM hs_relations WHERE parent = ? AND room = ? ORDER BY position DESC LIMIT ?`
	err = x.r.store.View(ctx, func(tx *persistence.Tx) error {
		looked := 0
		for level, parents := 0, []ident.EventID{parent}; level < depth && len(parents) > 0; level++ {
			var next []ident.EventID
			for _, id := range parents {
				err := tx.Query(query, []any{string(id), string(x.room), maxRelated - looked}, func(row persistence.Row) error {
					var one related
					var kind string
					if err := row.Scan(&one.event, &one.position, &kind); err != nil {
						return err
					}
					looked++
					if next = append(next, one.event); rel == "" || rel == kind {
						all = append(all, one)
					}
					return nil
				})
				if err != nil || looked >= maxRelated {
					return err
				}
			}
			parents = next
		}
		return nil
	})
	slices.SortFunc(all, func(a, b related) int { return int(b.position - a.position) })
	return all, err
}

// window is the part of a list by position that a request asks for.
type window struct {
	after, before persistence.Position
	forward       bool
	limit         int
}

func windowOf(q *api.Request, now persistence.Position) (w window, err error) {
	w = window{before: now + 1}
	switch dir := q.Query.Get("dir"); dir {
	case "", "b":
	case "f":
		w.forward = true
	default:
		return w, api.InvalidParam("dir is f or b, not %.40q", dir)
	}
	if w.limit, err = q.Int("limit", defaultPage); err != nil {
		return w, err
	}
	w.limit = max(1, min(w.limit, maxPage))
	for _, name := range []string{"from", "to"} {
		text := q.Query.Get(name)
		if text == "" {
			continue
		}
		token, err := roomview.ParseToken(text)
		if err != nil {
			return w, api.InvalidParam("%s: %v", name, err)
		}
		if w.forward == (name == "from") {
			w.after = token.Position
		} else {
			w.before = token.Position + 1
		}
	}
	return w, nil
}

func (w window) has(at persistence.Position) bool { return at > w.after && at < w.before }

// relationsReply is the part of what relates that is asked for, as far as the user sees it and it still relates: what is redacted does not.
func (x *reading) relationsReply(ctx context.Context, all []related, w window, kind string, depth int) (api.Reply, error) {
	if w.forward {
		slices.Reverse(all)
	}
	var shown []*pdu.Placed
	next := ""
	for _, one := range all {
		if !w.has(one.position) {
			continue
		}
		found, err := x.r.engine.Placed(ctx, one.event)
		if err != nil {
			return api.Reply{}, refusal(err)
		}
		_, _, relates := relationOf(found.Event)
		if !relates || kind != "" && found.Event.Type() != kind {
			continue
		}
		choice, err := x.choose(ctx, &found)
		if err != nil {
			return api.Reply{}, err
		}
		if choice != roomview.Take {
			continue
		}
		if len(shown) == w.limit {
			last := shown[len(shown)-1].Position
			if !w.forward {
				last--
			}
			next = roomview.Token{Position: last}.String()
			break
		}
		shown = append(shown, &found)
	}
	var reply struct {
		Chunk []json.RawMessage `json:"chunk"`
		Next  string            `json:"next_batch,omitempty"`
		Depth int               `json:"recursion_depth,omitempty"`
	}
	if depth > 1 {
		reply.Depth = depth
	}
	var err error
	reply.Next = next
	if reply.Chunk, err = x.write(ctx, shown); err != nil {
		return api.Reply{}, err
	}
	return api.JSON(reply)
}
