// SPDX-License-Identifier: Apache-2.0

package persistence

import "github.com/strata-matrix/strata/transport/ident"

// How far the history of each room has been fetched.
const backfillsSchema = `
CREATE TABLE backfills (
	room     INTEGER PRIMARY KEY, -- rooms.nid
	server   INTEGER NOT NULL,    -- servers.nid, who was asked last
	asked_at INTEGER NOT NULL,    -- ms
	requests INTEGER NOT NULL,
	events   INTEGER NOT NULL,    -- that got their place in the graph
	depth    INTEGER NOT NULL,    -- the smallest among them, 0 when there are none
	note     TEXT    NOT NULL     -- how the last question ended
) STRICT;`

// Backfill is how far the history of a room has been fetched.
type Backfill struct {
	Server   ident.ServerName
	AskedAt  int64 // ms
	Requests int
	Events   int
	Depth    int64
	Note     string
}

// AddBackfill adds to the requests and events of a room's backfill, and takes the rest in the place of what was.
func (tx *Tx) AddBackfill(room int64, b Backfill) error {
	server, err := tx.internServer(b.Server)
	if err != nil {
		return err
	}
	return tx.exec(`INSERT INTO backfills (room, server, asked_at, requests, events, depth, note) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (room) DO UPDATE SET server = excluded.server, asked_at = excluded.asked_at,
			requests = requests + excluded.requests, events = events + excluded.events, note = excluded.note,
			depth = iif(excluded.depth = 0 OR depth > 0 AND depth < excluded.depth, depth, excluded.depth)`,
		room, server, b.AskedAt, b.Requests, b.Events, b.Depth, b.Note)
}

// Backfill gives how far the history of a room has been fetched; found is false when it was never asked for.
func (tx *Tx) Backfill(room int64) (b Backfill, found bool, err error) {
	found, err = tx.queryRow(`SELECT s.name, b.asked_at, b.requests, b.events, b.depth, b.note FROM backfills b
		JOIN servers s ON s.nid = b.server WHERE b.room = ?`, []any{room},
		&b.Server, &b.AskedAt, &b.Requests, &b.Events, &b.Depth, &b.Note)
	return b, found, err
}
