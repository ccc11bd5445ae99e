// SPDX-License-Identifier: Apache-2.0

package persistence

import "github.com/strata-matrix/strata/transport/ident"

// What operators say about queues: servers that nothing is sent to for now, and items that are not to be sent at all.
const holdsSchema = `
CREATE TABLE holds (
	pattern TEXT PRIMARY KEY, -- a server name, with * and ?
	reason  TEXT NOT NULL,
	since   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE drops (
	server   INTEGER NOT NULL, -- servers.nid
	after    INTEGER NOT NULL, -- what was queued after this position
	through  INTEGER NOT NULL, -- and up to this one
	kind     INTEGER NOT NULL, -- 0 for every kind
	room_id  TEXT NOT NULL,    -- '' for every room
	event_id TEXT NOT NULL,    -- '' for every event
	PRIMARY KEY (server, through, after, kind, room_id, event_id)
) STRICT, WITHOUT ROWID;`

// Hold is a rule: nothing is sent to the servers that match, what is queued for them waits.
type Hold struct {
	Pattern string
	Reason  string
	Since   int64 // ms
}

// Drop is a rule: of what is queued after After and up to Through, a server does not get what fits every criterion that is given.
type Drop struct {
	Server  ident.ServerName
	After   Position
	Through Position
	Kind    int // KindPDU, KindEDU or 0
	Room    ident.RoomID
	Event   ident.EventID
}

// Fits tells whether an item is to be dropped.
func (d Drop) Fits(item Outbound) bool {
	return item.Position > d.After && item.Position <= d.Through && (d.Kind == 0 || d.Kind == item.Kind) && (d.Room == "" || d.Room == item.RoomID) &&
		(d.Event == "" || d.Event == item.EventID)
}

// SetHold adds a rule, or gives the one of its pattern another reason.
func (tx *Tx) SetHold(h Hold) error {
	return tx.exec(`INSERT INTO holds (pattern, reason, since) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET reason = excluded.reason`,
		h.Pattern, h.Reason, h.Since)
}

// RemoveHold takes a rule back; found is false when there is none of that pattern.
func (tx *Tx) RemoveHold(pattern string) (found bool, err error) {
	n, err := tx.execRows(`DELETE FROM holds WHERE pattern = ?`, pattern)
	return n > 0, err
}

// Holds lists the rules by pattern.
func (tx *Tx) Holds() (list []Hold, err error) {
	err = tx.query(`SELECT pattern, reason, since FROM holds ORDER BY pattern`, nil, func(r rowScanner) error {
		var h Hold
		err := r.Scan(&h.Pattern, &h.Reason, &h.Since)
		list = append(list, h)
		return err
	})
	return list, err
}

// AddDrop adds a rule. It costs the same however much it drops.
func (tx *Tx) AddDrop(d Drop) error {
	server, err := tx.internServer(d.Server)
	if err != nil {
		return err
	}
	return tx.exec(`INSERT OR IGNORE INTO drops (server, after, through, kind, room_id, event_id) VALUES (?, ?, ?, ?, ?, ?)`,
		server, int64(d.After), int64(d.Through), d.Kind, string(d.Room), string(d.Event))
}

// Drops lists the rules for what a server has not got yet; those that it is past are forgotten.
func (tx *Tx) Drops(server ident.ServerName, cursor Position) (list []Drop, err error) {
	nid, _, err := tx.serverNID(server)
	if err != nil {
		return nil, err
	}
	if err := tx.exec(`DELETE FROM drops WHERE server = ? AND through <= ?`, nid, int64(cursor)); err != nil {
		return nil, err
	}
	err = tx.query(`SELECT after, through, kind, room_id, event_id FROM drops WHERE server = ?`, []any{nid}, func(r rowScanner) error {
		d := Drop{Server: server}
		err := r.Scan(&d.After, &d.Through, &d.Kind, &d.Room, &d.Event)
		list = append(list, d)
		return err
	})
	return list, err
}

// AnyDrops tells whether there is a rule at all.
func (tx *Tx) AnyDrops() (any bool, err error) {
	return tx.queryRow(`SELECT 1 FROM drops LIMIT 1`, nil, new(int))
}
