// SPDX-License-Identifier: Apache-2.0

package persistence

import "github.com/strata-matrix/strata/transport/ident"

// What operators ask of queues. A queue is a destination's cursor over the log, so that all of them are looked at by reading the log
// once, a portion at a time, and the sets of servers that it names.

// LoggedItem is a row of the outbound log without its content.
type LoggedItem struct {
	Outbound
	Set int64 // the servers that it is for
}

// LoggedItems lists rows of the outbound log in order, those after a position.
func (tx *Tx) LoggedItems(after Position, limit int) (list []LoggedItem, err error) {
	err = tx.query(`SELECT position, kind, room_id, event_id, queued_at, compacted, servers FROM outbound WHERE position > ?
		ORDER BY position LIMIT ?`, []any{int64(after), limit}, func(r rowScanner) error {
		var item LoggedItem
		err := r.Scan(&item.Position, &item.Kind, &item.RoomID, &item.EventID, &item.QueuedAt, &item.Compacted, &item.Set)
		list = append(list, item)
		return err
	})
	return list, err
}

// SetMembers gives the numbers of the servers in a set, ascending. They must not be modified.
func (tx *Tx) SetMembers(set int64) ([]int64, error) { return tx.serverSet(set) }

// NumberedDestination is a destination with the number that sets of servers name it by.
type NumberedDestination struct {
	Destination
	Number int64
}

// NumberedDestinations lists up to limit destinations by number, those after one.
func (tx *Tx) NumberedDestinations(after int64, limit int) (list []NumberedDestination, err error) {
	err = tx.query(`SELECT d.server, s.name, d.cursor, d.failures, d.retry_at, d.not_before, d.last_success, d.last_failure,
		d.failing_since, d.last_class
		FROM destinations d JOIN servers s ON s.nid = d.server WHERE d.server > ? ORDER BY d.server LIMIT ?`, []any{after, limit}, func(r rowScanner) error {
		var d NumberedDestination
		err := r.Scan(&d.Number, &d.Server, &d.Cursor, &d.Failures, &d.RetryAt, &d.NotBefore, &d.LastSuccess, &d.LastFailure,
			&d.FailingSince, &d.LastClass)
		list = append(list, d)
		return err
	})
	return list, err
}

// Destination gives what is known of the delivery to one server; found is false when nothing ever was for it.
func (tx *Tx) Destination(server ident.ServerName) (d NumberedDestination, found bool, err error) {
	nid, found, err := tx.serverNID(server)
	if err != nil || !found {
		return d, false, err
	}
	list, err := tx.NumberedDestinations(nid-1, 1)
	if err != nil || len(list) == 0 || list[0].Number != nid {
		return d, false, err
	}
	return list[0], true, nil
}

// ResetDestination forgets the streak of failures of a server and until when it is to be left alone; found is false when there was
// neither.
func (tx *Tx) ResetDestination(server ident.ServerName) (found bool, err error) {
	n, err := tx.execRows(`UPDATE destinations SET failures = 0, retry_at = 0, not_before = 0, failing_since = 0
		WHERE server = (SELECT nid FROM servers WHERE name = ?) AND (failures > 0 OR retry_at > 0 OR not_before > 0)`, string(server))
	return n > 0, err
}

// OpenTransactions lists the transactions that are frozen and neither answered nor withdrawn, without their bodies.
func (tx *Tx) OpenTransactions() (list []SentTransaction, err error) {
	err = tx.query(sentColumns(false)+` WHERE t.ended_at = 0`, nil, func(r rowScanner) error {
		t, err := scanSent(r)
		list = append(list, t)
		return err
	})
	return list, err
}

// SentTo lists outbound transactions to a server, newest first, those before a position when it is not 0. It looks at no more than
// scan transactions, whomever they are to: next is where to go on, 0 at the end.
func (tx *Tx) SentTo(server ident.ServerName, before Position, scan int) (list []SentTransaction, next Position, err error) {
	nid, found, err := tx.serverNID(server)
	if err != nil || !found {
		return nil, 0, err
	}
	var positions []Position
	scanned := 0
	err = tx.query(`SELECT position, server FROM sent_transactions WHERE ? = 0 OR position < ? ORDER BY position DESC LIMIT ?`,
		[]any{int64(before), int64(before), scan}, func(r rowScanner) error {
			var to int64
			err := r.Scan(&next, &to)
			if to == nid {
				positions = append(positions, next)
			}
			scanned++
			return err
		})
	if err != nil {
		return nil, 0, err
	}
	for _, position := range positions {
		err := tx.query(sentColumns(false)+` WHERE t.position = ?`, []any{int64(position)}, func(r rowScanner) error {
			t, err := scanSent(r)
			list = append(list, t)
			return err
		})
		if err != nil {
			return nil, 0, err
		}
	}
	if scanned < scan {
		next = 0
	}
	return list, next, nil
}

// AllDrops lists every rule about what is not to be sent.
func (tx *Tx) AllDrops() (list []Drop, err error) {
	err = tx.query(`SELECT s.name, d.after, d.through, d.kind, d.room_id, d.event_id FROM drops d JOIN servers s ON s.nid = d.server`, nil, func(r rowScanner) error {
		var d Drop
		err := r.Scan(&d.Server, &d.After, &d.Through, &d.Kind, &d.Room, &d.Event)
		list = append(list, d)
		return err
	})
	return list, err
}

// ParkedCounts tells how much is parked for each destination.
func (tx *Tx) ParkedCounts() (map[ident.ServerName]int, error) {
	counts := map[ident.ServerName]int{}
	err := tx.query(`SELECT s.name, COUNT(*) FROM parked p JOIN servers s ON s.nid = p.server GROUP BY p.server`, nil, func(r rowScanner) error {
		var name ident.ServerName
		var items int
		err := r.Scan(&name, &items)
		counts[name] = items
		return err
	})
	return counts, err
}
