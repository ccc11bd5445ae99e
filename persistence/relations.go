// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"math"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/transport/ident"
)

// Which accepted events of a room's graph relate to which, and the threads of a room by what is newest in each. The event that is related
// to may not be here, nor be of the same room. What is redacted stays in here, and is left out when it is read.
const relationsSchema = `
CREATE TABLE relations (
	parent ANY     NOT NULL, -- like events.id
	depth  INTEGER NOT NULL, -- of the event that relates to it
	event  INTEGER NOT NULL, -- its events.nid
	kind   TEXT    NOT NULL,
	sender TEXT    NOT NULL, -- of the event
	PRIMARY KEY (parent, depth, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX relations_kind ON relations (parent, kind, depth, event);
CREATE TABLE threads (
	room  INTEGER NOT NULL, -- rooms.nid
	root  ANY     NOT NULL, -- like events.id
	depth INTEGER NOT NULL, -- of the newest event in it
	event INTEGER NOT NULL, -- its events.nid
	PRIMARY KEY (room, root)
) STRICT, WITHOUT ROWID;
CREATE INDEX threads_newest ON threads (room, depth, event);`

// Relation is that of an event to another.
type Relation struct {
	Room   int64 // rooms.nid
	Parent ident.EventID
	Kind   string
	Thread bool // it makes a thread of the parent
	Event  HistoryPlace
	Sender ident.UserID
}

// Relate notes that an event relates to another. It may be noted again.
func (tx *Tx) Relate(r Relation) error {
	parent := eventKey(r.Parent)
	err := tx.exec(`INSERT OR IGNORE INTO relations (parent, depth, event, kind, sender) VALUES (?, ?, ?, ?, ?)`,
		parent, r.Event.Depth, r.Event.NID, r.Kind, string(r.Sender))
	if err != nil || !r.Thread {
		return err
	}
	return tx.exec(`INSERT INTO threads (room, root, depth, event) VALUES (?, ?, ?, ?)
		ON CONFLICT (room, root) DO UPDATE SET depth = excluded.depth, event = excluded.event
		WHERE (excluded.depth, excluded.event) > (depth, event)`, r.Room, parent, r.Event.Depth, r.Event.NID)
}

// RelatedQuery asks for events that relate to another, as they are ordered in the graph: by depth, then by number.
type RelatedQuery struct {
	Room   int64
	Parent ident.EventID
	Kind   string       // "" for any
	Sender ident.UserID // "" for anybody
	// From and To are the places between which they are; the zero value of To is the end.
	From, To HistoryPlace
	// After and Through are the positions between which they came, those without a position among them if After is 0.
	After, Through Position
	Forward        bool // the first first, otherwise the last
	Limit          int
}

// Related is an event that relates to another.
type Related struct {
	ID       ident.EventID
	Place    HistoryPlace
	Kind     string
	Sender   ident.UserID
	TS       int64 // origin_server_ts
	Position Position
}

// Related gives events that relate to another: such as are accepted in the graph, and not redacted.
func (tx *Tx) Related(q RelatedQuery) (list []Related, err error) {
	if q.To == (HistoryPlace{}) {
		q.To = HistoryPlace{Depth: math.MaxInt64, NID: math.MaxInt64}
	}
	by := ``
	if q.Kind != "" {
		by = `INDEXED BY relations_kind` // of itself SQLite goes through all kinds, of which one may be a flood
	}
	query := `SELECT e.id, r.depth, r.event, r.kind, r.sender, e.ts, coalesce(e.position, 0) FROM relations r ` + by + ` JOIN events e ON e.nid = r.event
		WHERE r.parent = ? AND (r.depth, r.event) >= (?, ?) AND (r.depth, r.event) < (?, ?) AND e.room = ? AND e.outcome = 1
		AND e.before IS NOT NULL AND e.reduced IS NULL AND coalesce(e.position, 0) >= ? AND coalesce(e.position, 0) <= ?`
	after := int64(q.After)
	if after > 0 {
		after++
	}
	args := []any{eventKey(q.Parent), q.From.Depth, q.From.NID, q.To.Depth, q.To.NID, q.Room, after, int64(q.Through)}
	if q.Kind != "" {
		query, args = query+` AND r.kind = ?`, append(args, q.Kind)
	}
	if q.Sender != "" {
		query, args = query+` AND r.sender = ?`, append(args, string(q.Sender))
	}
	if q.Forward {
		query += ` ORDER BY r.depth, r.event LIMIT ?`
	} else {
		query += ` ORDER BY r.depth DESC, r.event DESC LIMIT ?`
	}
	err = tx.query(query, append(args, q.Limit), func(r rowScanner) error {
		var one Related
		var key any
		if err := r.Scan(&key, &one.Place.Depth, &one.Place.NID, &one.Kind, &one.Sender, &one.TS, &one.Position); err != nil {
			return err
		}
		id, err := eventID(key)
		one.ID = id
		list = append(list, one)
		return err
	})
	return list, err
}

// Parents gives those of many events to which others have said that they relate, in one of some ways.
func (tx *Tx) Parents(ids []ident.EventID, kinds []string) (parents map[ident.EventID]bool, err error) {
	parents = map[ident.EventID]bool{}
	query := `SELECT column1 FROM (VALUES (?)` + strings.Repeat(`, (?)`, rowsAtOnce-1) + `)
		WHERE EXISTS (SELECT 1 FROM relations WHERE parent = column1 AND kind IN (?` + strings.Repeat(`, ?`, len(kinds)-1) + `))`
	for part := range slices.Chunk(ids, rowsAtOnce) {
		args := make([]any, rowsAtOnce, rowsAtOnce+len(kinds)) // a key that is null is nobody's
		for i, id := range part {
			args[i] = eventKey(id)
		}
		for _, kind := range kinds {
			args = append(args, kind)
		}
		err := tx.query(query, args, func(r rowScanner) error {
			var key any
			if err := r.Scan(&key); err != nil {
				return err
			}
			id, err := eventID(key)
			parents[id] = true
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return parents, nil
}

// Thread is a thread of a room, with the place of the newest event that was ever in it.
type Thread struct {
	Root   ident.EventID
	Newest HistoryPlace
}

// Threads gives up to limit threads of a room whose newest events are before a place, the newest first.
func (tx *Tx) Threads(room int64, before HistoryPlace, limit int) (list []Thread, err error) {
	err = tx.query(`SELECT root, depth, event FROM threads WHERE room = ? AND (depth, event) < (?, ?) ORDER BY depth DESC, event DESC LIMIT ?`,
		[]any{room, before.Depth, before.NID, limit}, func(r rowScanner) error {
			var t Thread
			var key any
			if err := r.Scan(&key, &t.Newest.Depth, &t.Newest.NID); err != nil {
				return err
			}
			id, err := eventID(key)
			t.Root = id
			list = append(list, t)
			return err
		})
	return list, err
}
