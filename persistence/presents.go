// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"cmp"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/transport/ident"
)

// A server that was away for long is given the present of a room where it meets, in the log, an event that stands for the room. Its events
// stand in the log from then on like any others, for that server alone, but that they go to it ahead of the rest. They are few: the next
// room's are queued when these are gone.
const presentsSchema = `
CREATE INDEX outbound_present ON outbound (servers, position) WHERE present = 1;
CREATE INDEX outbound_about ON outbound (room_id, position) WHERE about <> '' AND present = 0;
CREATE TABLE covered (
	server  INTEGER NOT NULL, -- servers.nid
	room_id TEXT    NOT NULL,
	through INTEGER NOT NULL, -- what the log has of the room up to here follows from the present that the server was given
	PRIMARY KEY (server, room_id)
) STRICT, WITHOUT ROWID;`

// QueuePresent queues the events that are a room's present for a server, ahead of all else that there is for it, and notes that what the
// log has of the room by now is nothing to the server.
func (tx *Tx) QueuePresent(server ident.ServerName, room ident.RoomID, events []Outbound, nowMS int64) error {
	nid, err := tx.internServer(server)
	if err != nil {
		return err
	}
	alone, _, err := tx.internServerSet([]ident.ServerName{server})
	if err != nil {
		return err
	}
	err = tx.exec(`INSERT INTO covered (server, room_id, through) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET through = excluded.through`,
		nid, string(room), int64(tx.LastPosition()))
	for _, e := range events {
		var position Position
		if err == nil {
			position, err = tx.NextPosition()
		}
		if err == nil {
			err = tx.exec(`INSERT INTO outbound (position, kind, room_id, event_id, present, content, servers, queued_at) VALUES (?, ?, ?, ?, 1, ?, ?, ?)`,
				int64(position), KindPDU, string(room), string(e.EventID), e.Content, alone, nowMS)
		}
	}
	return err
}

// LastWords gives the events of a room that are queued for a server after a position and give the memberships of its own users: of each
// user the latest, in order.
func (tx *Tx) LastWords(server ident.ServerName, room ident.RoomID, after Position) (events []Outbound, err error) {
	nid, _, err := tx.serverNID(server)
	if err != nil {
		return nil, err
	}
	latest := map[ident.UserID]outboundSet{}
	err = tx.query(`SELECT position, servers, about FROM outbound WHERE room_id = ? AND position > ? AND about <> '' AND present = 0 ORDER BY position`,
		[]any{string(room), int64(after)}, func(r rowScanner) error {
			var row outboundSet
			var about ident.UserID
			err := r.Scan(&row.position, &row.set, &about)
			if about.Server() == server {
				latest[about] = row
			}
			return err
		})
	for _, row := range slices.SortedFunc(maps.Values(latest), func(a, b outboundSet) int { return cmp.Compare(a.position, b.position) }) {
		var in bool
		if err == nil {
			in, err = tx.inServerSet(nid, row.set)
		}
		if err == nil && in {
			var item Outbound
			item, err = tx.outbound(row.position)
			events = append(events, item)
		}
	}
	return events, err
}

// Present gives the first events, up to a limit, of the presents of rooms that are queued for a server.
func (tx *Tx) Present(server ident.ServerName, limit int) (events []Outbound, err error) {
	alone, _, err := tx.internServerSet([]ident.ServerName{server})
	if err != nil {
		return nil, err
	}
	var positions []Position
	err = tx.query(`SELECT position FROM outbound WHERE servers = ? AND present = 1 ORDER BY position LIMIT ?`, []any{alone, limit},
		func(r rowScanner) error {
			var position Position
			err := r.Scan(&position)
			positions = append(positions, position)
			return err
		})
	for _, position := range positions {
		var item Outbound
		if err == nil {
			item, err = tx.outbound(position)
		}
		events = append(events, item)
	}
	return events, err
}

// ForgetPresent takes events of a room's present out of the log; of other items nothing.
func (tx *Tx) ForgetPresent(positions ...Position) error {
	for _, position := range positions {
		if err := tx.exec(`DELETE FROM outbound WHERE position = ? AND present = 1`, int64(position)); err != nil {
			return err
		}
	}
	return nil
}

// Covered gives the rooms whose present a server was given that has had the log up to from, each with the position up to which it
// needs nothing more of the room. What is of no use any more is forgotten.
func (tx *Tx) Covered(server ident.ServerName, from Position) (rooms map[ident.RoomID]Position, err error) {
	nid, _, err := tx.serverNID(server)
	if err != nil {
		return nil, err
	}
	over := false
	err = tx.query(`SELECT room_id, through FROM covered WHERE server = ?`, []any{nid},
		func(r rowScanner) error {
			var room ident.RoomID
			var through Position
			err := r.Scan(&room, &through)
			if over = over || through <= from; through > from {
				if rooms == nil {
					rooms = map[ident.RoomID]Position{}
				}
				rooms[room] = through
			}
			return err
		})
	if err == nil && over {
		err = tx.exec(`DELETE FROM covered WHERE server = ? AND through <= ?`, nid, int64(from))
	}
	return rooms, err
}
