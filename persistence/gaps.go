// SPDX-License-Identifier: Apache-2.0

package persistence

import "github.com/strata-matrix/strata/transport/ident"

// What a room's graph references and does not hold, in the order in which it is to be asked for: what was never asked for in vain
// first, and of that the newest. Whoever may send can make gaps, so nothing reads all of them.
const gapsSchema = `
CREATE TABLE room_gaps (
	room     INTEGER NOT NULL,
	event    ANY     NOT NULL, -- key of an event that one in the graph references and that is not in it itself
	depth    INTEGER NOT NULL, -- of the one that references it
	server   INTEGER NOT NULL, -- servers.nid, of that one's sender
	asked_at INTEGER NOT NULL, -- ms, when nobody had it last; 0 when it was not asked for
	PRIMARY KEY (room, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_gaps_order ON room_gaps (room, asked_at, depth DESC);`

// Gap is an event that one in a room's graph references and that is not in it.
type Gap struct {
	Event   ident.EventID
	Depth   int64            // of the event that references it
	Server  ident.ServerName // of that event's sender
	AskedAt int64            // ms, when nobody had it last; 0 when it was not asked for
}

// AddGap notes that an event of a room's graph references one that is not in it.
func (tx *Tx) AddGap(room int64, g Gap) error {
	server, err := tx.internServer(g.Server)
	if err != nil {
		return err
	}
	return tx.exec(`INSERT OR IGNORE INTO room_gaps (room, event, depth, server, asked_at) VALUES (?, ?, ?, ?, ?)`,
		room, eventKey(g.Event), g.Depth, server, g.AskedAt)
}

// CloseGap forgets a gap once its event is in the graph.
func (tx *Tx) CloseGap(room int64, id ident.EventID) error {
	return tx.exec(`DELETE FROM room_gaps WHERE room = ? AND event = ?`, room, eventKey(id))
}

// GapAsked notes when a gap was asked for in vain, in ms.
func (tx *Tx) GapAsked(room int64, id ident.EventID, at int64) error {
	return tx.exec(`UPDATE room_gaps SET asked_at = ? WHERE room = ? AND event = ?`, at, room, eventKey(id))
}

// IsGap says whether an event is a gap of a room.
func (tx *Tx) IsGap(room int64, id ident.EventID) (is bool, err error) {
	var one int
	return tx.queryRow(`SELECT 1 FROM room_gaps WHERE room = ? AND event = ?`, []any{room, eventKey(id)}, &one)
}

// Gaps lists the first few gaps of a room in the order in which they are to be asked for.
func (tx *Tx) Gaps(room int64, limit int) (list []Gap, err error) {
	err = tx.query(`SELECT g.event, g.depth, s.name, g.asked_at FROM room_gaps g JOIN servers s ON s.nid = g.server
		WHERE g.room = ? ORDER BY g.asked_at, g.depth DESC, g.event LIMIT ?`, []any{room, limit}, func(r rowScanner) error {
		var g Gap
		var key any
		if err := r.Scan(&key, &g.Depth, &g.Server, &g.AskedAt); err != nil {
			return err
		}
		g.Event, err = eventID(key)
		list = append(list, g)
		return err
	})
	return list, err
}
