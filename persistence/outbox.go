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
	compacted INTEGER NOT NULL DEFAULT 0, -- 1 for an event that stands for its room (backlog.go)
	about     TEXT NOT NULL DEFAULT '',   -- the user whose membership it gives, '' for any other
	present   INTEGER NOT NULL DEFAULT 0, -- 1 for an event of a room's present, which goes to its server ahead of the rest (presents.go)
	content   BLOB NOT NULL,    -- canonical JSON of the PDU or EDU, as it was when queued
	servers   INTEGER NOT NULL, -- server_sets.nid
	queued_at INTEGER NOT NULL
);
CREATE INDEX outbound_servers ON outbound (servers, position);
CREATE INDEX outbound_edus ON outbound (position) WHERE kind = 2; -- KindEDU: to be counted
CREATE TABLE destinations (
	server       INTEGER PRIMARY KEY, -- servers.nid
	cursor       INTEGER NOT NULL,    -- every outbound row up to here is delivered or not for this server
	failures     INTEGER NOT NULL DEFAULT 0,
	retry_at     INTEGER NOT NULL DEFAULT 0,
	not_before   INTEGER NOT NULL DEFAULT 0,
	last_success INTEGER NOT NULL DEFAULT 0,
	last_failure INTEGER NOT NULL DEFAULT 0,
	failing_since INTEGER NOT NULL DEFAULT 0,
	last_class   TEXT NOT NULL DEFAULT '',
	suspects     INTEGER NOT NULL DEFAULT 0,
	control      INTEGER NOT NULL DEFAULT 0,

	-- attempts answered with success on the last day on which there were any (attempts.go)
	day      INTEGER NOT NULL DEFAULT 0,
	taken    INTEGER NOT NULL DEFAULT 0,
	taken_bytes INTEGER NOT NULL DEFAULT 0,
	taken_us INTEGER NOT NULL DEFAULT 0
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

	Compacted bool         // the event stands for its room: others before it were forgotten (see CompactOutbound)
	About     ident.UserID // the user whose membership it gives, if it gives any
}

// Destination is what is known of the delivery to one server.
type Destination struct {
	Server      ident.ServerName
	Cursor      Position // everything up to here is delivered
	Failures    int      // attempts failed since the last success
	RetryAt     int64    // ms; not to be tried again before, 0 when it is not backing off
	NotBefore   int64    // ms; it asked itself not to be tried before (Retry-After), 0 when it did not
	LastSuccess int64    // ms, 0 for never
	LastFailure int64    // ms, 0 for never
	// FailingSince is when the first of the failures since the last success was, in ms; 0 when there is none.
	FailingSince int64
	LastClass    string // of that failure

	// Suspects is how many of the next items hold one that it refuses, 0 when none is suspected; Control says that it is first
	// to be seen whether it takes a transaction that holds nothing.
	Suspects int
	Control  bool
}

// Enqueue appends one item for a set of servers to the outbound log. Its cost does not grow with the set once the set is
// known. The result has its Position.
func (tx *Tx) Enqueue(item Outbound, servers []ident.ServerName) (Outbound, error) {
	set, members, err := tx.internServerSet(servers)
	if err != nil {
		return item, err
	}
	item.Position, err = tx.NextPosition()
	if err != nil {
		return item, err
	}
	for _, server := range members { // of a new set
		// A destination starts just before the first item that is meant for it.
		err := tx.exec(`INSERT OR IGNORE INTO destinations (server, cursor) VALUES (?, ?)`, server, int64(item.Position)-1)
		if err != nil {
			return item, err
		}
	}
	return item, tx.exec(`INSERT INTO outbound (position, kind, room_id, event_id, about, content, servers, queued_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`, int64(item.Position), item.Kind, string(item.RoomID), string(item.EventID), string(item.About), item.Content, set,
		item.QueuedAt)
}

// OutboundItem gives an item of the log, as it would be sent now; found is false when it was trimmed.
func (tx *Tx) OutboundItem(position Position) (item Outbound, found bool, err error) {
	item, err = tx.outbound(position)
	return item, item.Kind != 0, err
}

func (tx *Tx) outbound(position Position) (Outbound, error) {
	item := Outbound{Position: position}
	_, err := tx.queryRow(`SELECT kind, room_id, event_id, content, queued_at, compacted, about FROM outbound WHERE position = ?`,
		[]any{int64(position)}, &item.Kind, &item.RoomID, &item.EventID, &item.Content, &item.QueuedAt, &item.Compacted, &item.About)
	if err != nil || item.Kind != KindPDU {
		return item, err
	}
	// What was redacted since it was queued goes out stripped (P-62).
	_, err = tx.queryRow(`SELECT json FROM events WHERE id = ? AND reduced IS NOT NULL`, []any{eventKey(item.EventID)}, &item.Content)
	return item, err
}

// Destinations lists every server that anything was ever queued for, by name.
func (tx *Tx) Destinations() (list []Destination, err error) {
	err = tx.query(`SELECT s.name, d.cursor, d.failures, d.retry_at, d.not_before, d.last_success, d.last_failure,
		d.failing_since, d.last_class, d.suspects, d.control FROM destinations d JOIN servers s ON s.nid = d.server ORDER BY s.name`, nil, func(r rowScanner) error {
		d, err := scanDestination(r)
		list = append(list, d)
		return err
	})
	return list, err
}

func scanDestination(r rowScanner) (d Destination, err error) {
	return d, r.Scan(&d.Server, &d.Cursor, &d.Failures, &d.RetryAt, &d.NotBefore, &d.LastSuccess, &d.LastFailure, &d.FailingSince, &d.LastClass,
		&d.Suspects, &d.Control)
}

// AddDestination makes a server a destination for which nothing is queued up to a position, unless it is one.
func (tx *Tx) AddDestination(server ident.ServerName, cursor Position) error {
	nid, err := tx.internServer(server)
	if err != nil {
		return err
	}
	return tx.exec(`INSERT OR IGNORE INTO destinations (server, cursor) VALUES (?, ?)`, nid, int64(cursor))
}

// SetDestination stores what is known of a destination that exists.
func (tx *Tx) SetDestination(d Destination) error {
	server, _, err := tx.serverNID(d.Server)
	if err != nil {
		return err
	}
	return tx.exec(`UPDATE destinations SET cursor = ?, failures = ?, retry_at = ?, not_before = ?, last_success = ?, last_failure = ?,
		failing_since = ?, last_class = ?, suspects = ?, control = ? WHERE server = ?`,
		int64(d.Cursor), d.Failures, d.RetryAt, d.NotBefore, d.LastSuccess, d.LastFailure,
		d.FailingSince, d.LastClass, d.Suspects, d.Control, server)
}

// TrimOutbound forgets up to limit items, the oldest first, up to a position that every destination is past, and tells how many
// it forgot.
func (tx *Tx) TrimOutbound(through Position, limit int) (forgotten int64, err error) {
	return tx.execRows(`DELETE FROM outbound WHERE position IN
		(SELECT position FROM outbound WHERE position <= ? ORDER BY position LIMIT ?)`, int64(through), limit)
}

// Behind gives the servers that still have something to get: those with a transaction that is not answered, and those with an
// item beyond their cursor. Its cost grows with the sets of servers that the log names, not with the length of the log.
func (tx *Tx) Behind() (map[ident.ServerName]bool, error) {
	newest := map[int64]Position{} // the newest item for each server, by its number
	sets, err := tx.loggedSets()
	if err != nil {
		return nil, err
	}
	for _, row := range sets {
		members, err := tx.serverSet(row.set)
		if err != nil {
			return nil, err
		}
		for _, server := range members {
			newest[server] = max(newest[server], row.position)
		}
	}
	behind := map[ident.ServerName]bool{}
	err = tx.query(`SELECT s.name, d.server, d.cursor FROM destinations d JOIN servers s ON s.nid = d.server`, nil, func(r rowScanner) error {
		var name ident.ServerName
		var server int64
		var cursor Position
		err := r.Scan(&name, &server, &cursor)
		if newest[server] > cursor {
			behind[name] = true
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = tx.query(`SELECT s.name FROM sent_transactions t JOIN servers s ON s.nid = t.server WHERE t.ended_at = 0`, nil, func(r rowScanner) error {
		var name ident.ServerName
		err := r.Scan(&name)
		behind[name] = true
		return err
	})
	return behind, err
}

// loggedSets lists the sets of servers that the log names, each with its newest position. It skips through the index from set
// to set, so that each costs the same however many items it has.
func (tx *Tx) loggedSets() (sets []outboundSet, err error) {
	err = tx.query(`WITH RECURSIVE logged(nid) AS (
			SELECT MIN(servers) FROM outbound
			UNION ALL
			SELECT (SELECT MIN(servers) FROM outbound WHERE servers > logged.nid) FROM logged WHERE logged.nid IS NOT NULL
		)
		SELECT nid, (SELECT MAX(position) FROM outbound WHERE servers = nid) FROM logged WHERE nid IS NOT NULL`, nil, func(r rowScanner) error {
		var row outboundSet
		err := r.Scan(&row.set, &row.position)
		sets = append(sets, row)
		return err
	})
	return sets, err
}

// QueueLength counts the items that a destination still has to get, up to a limit.
func (tx *Tx) QueueLength(d Destination, limit int) (int, error) {
	nid, _, err := tx.serverNID(d.Server)
	if err != nil {
		return 0, err
	}
	sets, err := tx.loggedSets()
	if err != nil {
		return 0, err
	}
	total := 0
	for _, row := range sets {
		in, err := tx.inServerSet(nid, row.set)
		if err != nil {
			return 0, err
		}
		if !in || row.position <= d.Cursor {
			continue
		}
		var n int
		_, err = tx.queryRow(`SELECT COUNT(*) FROM (SELECT 1 FROM outbound WHERE servers = ? AND position > ? LIMIT ?)`,
			[]any{row.set, int64(d.Cursor), limit - total}, &n)
		if err != nil {
			return 0, err
		}
		if total += n; total >= limit {
			break
		}
	}
	return total, nil
}
