// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// Which servers do not know how to be pulled from, so that they are asked once in a while only. See transaction/puller.go.
const pullsSchema = `
CREATE TABLE stock_servers (
	server INTEGER PRIMARY KEY, -- servers.nid
	until  INTEGER NOT NULL     -- ms; not to be asked before
) STRICT;`

// SetStock notes that a server cannot be pulled from, and until when, in ms, that is taken for granted.
func (tx *Tx) SetStock(server ident.ServerName, until int64) error {
	nid, err := tx.internServer(server)
	if err != nil {
		return err
	}
	return tx.exec(`INSERT INTO stock_servers (server, until) VALUES (?, ?) ON CONFLICT (server) DO UPDATE SET until = excluded.until`, nid, until)
}

// PullableServers lists the servers of the rooms that we are in, by name, without those that cannot be pulled from as far as is known
// at a time in ms.
func (tx *Tx) PullableServers(now int64) (list []ident.ServerName, err error) {
	err = tx.query(`SELECT DISTINCT s.name FROM rooms JOIN room_servers r ON r.room = rooms.nid JOIN servers s ON s.nid = r.server
		WHERE rooms.membership = ? AND NOT EXISTS (SELECT 1 FROM stock_servers WHERE server = r.server AND until > ?) ORDER BY s.name`,
		[]any{RoomJoined, now}, func(r rowScanner) error {
			var name ident.ServerName
			err := r.Scan(&name)
			list = append(list, name)
			return err
		})
	return list, err
}

// LastContact gives the time in ms of the latest transaction that was taken, or that another server took; 0 for never.
func (tx *Tx) LastContact() (ms int64, err error) {
	_, err = tx.queryRow(`SELECT MAX(
		COALESCE((SELECT MAX(received_at) FROM received_transactions), 0),
		COALESCE((SELECT MAX(ended_at) FROM sent_transactions WHERE ended_at > 0), 0))`, nil, &ms)
	return ms, err
}

// LatestReceived gives the id of the latest transaction that was taken from a server, "" when none is kept.
func (tx *Tx) LatestReceived(origin ident.ServerName) (txnID string, err error) {
	_, err = tx.queryRow(`SELECT txn_id FROM received_transactions WHERE position = (SELECT MAX(position) FROM received_transactions
		WHERE server = (SELECT nid FROM servers WHERE name = ?))`, []any{string(origin)}, &txnID)
	return txnID, err
}

// Recall queues for a server, of each of up to limit rooms that it shares with us from a number on, an event that stands for the room
// (see CompactOutbound), unless one waits for it already. next is where the next call goes on, 0 at the end.
func (tx *Tx) Recall(server ident.ServerName, from int64, limit int, nowMS int64) (queued int, next int64, err error) {
	nid, found, err := tx.serverNID(server)
	if err != nil || !found {
		return 0, 0, err
	}
	alone, _, err := tx.internServerSet([]ident.ServerName{server})
	if err != nil {
		return 0, 0, err
	}
	var rooms []Room
	err = tx.query(roomColumns+` WHERE nid >= ? AND membership = ? AND EXISTS (SELECT 1 FROM room_servers WHERE room = rooms.nid AND server = ?)
		ORDER BY nid LIMIT ?`, []any{from, RoomJoined, nid, limit}, func(r rowScanner) error {
		room, err := scanRoom(r)
		rooms = append(rooms, room)
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	for _, room := range rooms {
		added, err := tx.recallRoom(room, nid, alone, nowMS)
		if err != nil {
			return queued, 0, err
		}
		if next = room.NID + 1; added {
			queued++
		}
	}
	if len(rooms) < limit {
		next = 0
	}
	return queued, next, nil
}

func (tx *Tx) recallRoom(room Room, server, alone int64, nowMS int64) (added bool, err error) {
	if len(room.Extremities) == 0 {
		return false, nil
	}
	waits, err := tx.queryRow(`SELECT 1 FROM outbound WHERE servers = ? AND room_id = ? AND compacted = 1
		AND position > (SELECT cursor FROM destinations WHERE server = ?)`, []any{alone, string(room.ID), server}, new(int))
	if err != nil || waits {
		return false, err
	}
	newest, found, err := tx.EventByNID(room.Extremities[len(room.Extremities)-1])
	if err != nil || !found {
		return false, err
	}
	position, err := tx.NextPosition()
	if err != nil {
		return false, err
	}
	return true, tx.exec(`INSERT INTO outbound (position, kind, room_id, event_id, compacted, content, servers, queued_at) VALUES (?, ?, ?, ?, 1, ?, ?, ?)`,
		int64(position), KindPDU, string(room.ID), string(newest.ID), newest.JSON, alone, nowMS)
}
