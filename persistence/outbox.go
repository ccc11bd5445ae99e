// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// The outbound log has one row per event, whatever the number of destinations; a destination is a cursor over it. What was
// once tried is frozen in sent_transactions and goes out again byte for byte until it is answered.
const outboxSchema = `
CREATE TABLE outbound (
	position  INTEGER PRIMARY KEY,
	kind      INTEGER NOT NULL,
	room_id   TEXT NOT NULL,    -- '' for an EDU
	event_id  TEXT NOT NULL,    -- '' for an EDU
	content   BLOB NOT NULL,    -- canonical JSON of the PDU or EDU
	servers   INTEGER NOT NULL, -- server_sets.nid
	queued_at INTEGER NOT NULL
);
CREATE TABLE destinations (
	server       INTEGER PRIMARY KEY, -- servers.nid
	cursor       INTEGER NOT NULL,    -- every outbound row up to here is delivered or not for this server
	failures     INTEGER NOT NULL DEFAULT 0,
	retry_at     INTEGER NOT NULL DEFAULT 0,
	last_success INTEGER NOT NULL DEFAULT 0,
	last_failure INTEGER NOT NULL DEFAULT 0
);`

// Kinds of outbound items.
const (
	KindPDU = 1
	KindEDU = 2
)

// Outbound is one item of the outbound log.
type Outbound struct {
	Position Position
	Kind     int           // KindPDU or KindEDU
	RoomID   ident.RoomID  // empty for an EDU
	EventID  ident.EventID // empty for an EDU
	Content  []byte        // canonical JSON
	QueuedAt int64         // ms
}

// Destination is what is known of the delivery to one server.
type Destination struct {
	Server      ident.ServerName
	Cursor      Position // everything up to here is delivered
	Failures    int      // attempts failed since the last success
	RetryAt     int64    // ms; not to be tried again before, 0 when it is not backing off
	LastSuccess int64    // ms, 0 for never
	LastFailure int64    // ms, 0 for never
}

// Enqueue appends one item for a set of servers to the outbound log. Its cost does not grow with the set once the set is
// known. Position and QueuedAt of the result are filled in.
func (tx *Tx) Enqueue(item Outbound, servers []ident.ServerName) (Outbound, error) {
	set, members, isNew, err := tx.internServerSet(servers)
	if err != nil {
		return item, err
	}
	item.Position, err = tx.NextPosition()
	if err != nil {
		return item, err
	}
	if isNew {
		// A destination starts just before the first item that is meant for it.
		for _, server := range members {
			err := tx.exec(`INSERT OR IGNORE INTO destinations (server, cursor) VALUES (?, ?)`, server, int64(item.Position)-1)
			if err != nil {
				return item, err
			}
		}
	}
	return item, tx.exec(`INSERT INTO outbound (position, kind, room_id, event_id, content, servers, queued_at)
		VALUES (?, ?, ?, ?, ?, ?, ?)`, int64(item.Position), item.Kind, string(item.RoomID), string(item.EventID), item.Content, set, item.QueuedAt)
}

// NextOutbound gives up to limit items for a server from just after a position on, in order. It looks at no more than scan
// rows; every row up to through has been looked at, and atEnd says that no row stands beyond it.
func (tx *Tx) NextOutbound(server ident.ServerName, after Position, limit, scan int) (items []Outbound, through Position, atEnd bool, err error) {
	nid, _, err := tx.serverNID(server)
	if err != nil {
		return nil, after, false, err
	}
	member := setMembership{tx: tx, server: nid, known: map[int64]bool{}}
	rows, err := tx.outboundSets(after, scan)
	if err != nil {
		return nil, after, false, err
	}
	through = after
	for _, row := range rows {
		in, err := member.contains(row.set)
		if err != nil {
			return nil, after, false, err
		}
		if in && len(items) == limit {
			return items, through, false, nil
		}
		if in {
			item, err := tx.outbound(row.position)
			if err != nil {
				return nil, after, false, err
			}
			items = append(items, item)
		}
		through = row.position
	}
	return items, through, len(rows) < scan, nil
}

type outboundSet struct {
	position Position
	set      int64
}

func (tx *Tx) outboundSets(after Position, scan int) (rows []outboundSet, err error) {
	err = tx.query(`SELECT position, servers FROM outbound WHERE position > ? ORDER BY position LIMIT ?`,
		[]any{int64(after), scan}, func(r rowScanner) error {
			var row outboundSet
			err := r.Scan(&row.position, &row.set)
			rows = append(rows, row)
			return err
		})
	return rows, err
}

func (tx *Tx) outbound(position Position) (Outbound, error) {
	item := Outbound{Position: position}
	_, err := tx.queryRow(`SELECT kind, room_id, event_id, content, queued_at FROM outbound WHERE position = ?`,
		[]any{int64(position)}, &item.Kind, &item.RoomID, &item.EventID, &item.Content, &item.QueuedAt)
	return item, err
}

// Destinations lists every server that anything was ever queued for, by name.
func (tx *Tx) Destinations() (list []Destination, err error) {
	err = tx.query(`SELECT s.name, d.cursor, d.failures, d.retry_at, d.last_success, d.last_failure
		FROM destinations d JOIN servers s ON s.nid = d.server ORDER BY s.name`, nil, func(r rowScanner) error {
		d, err := scanDestination(r)
		list = append(list, d)
		return err
	})
	return list, err
}

func scanDestination(r rowScanner) (d Destination, err error) {
	return d, r.Scan(&d.Server, &d.Cursor, &d.Failures, &d.RetryAt, &d.LastSuccess, &d.LastFailure)
}

// SetDestination stores what is known of a destination that exists.
func (tx *Tx) SetDestination(d Destination) error {
	return tx.exec(`UPDATE destinations SET cursor = ?, failures = ?, retry_at = ?, last_success = ?, last_failure = ?
		WHERE server = (SELECT nid FROM servers WHERE name = ?)`,
		int64(d.Cursor), d.Failures, d.RetryAt, d.LastSuccess, d.LastFailure, string(d.Server))
}

// TrimOutbound forgets the items up to a position that every destination is past.
func (tx *Tx) TrimOutbound(through Position) error {
	return tx.exec(`DELETE FROM outbound WHERE position <= ?`, int64(through))
}

// QueueLength counts the items that a destination still has to get, up to a limit.
func (tx *Tx) QueueLength(d Destination, limit int) (int, error) {
	items, _, _, err := tx.NextOutbound(d.Server, d.Cursor, limit, limit)
	return len(items), err
}
