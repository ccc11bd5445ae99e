// SPDX-License-Identifier: Apache-2.0

package persistence

import "github.com/strata-matrix/strata/transport/ident"

// LogReader reads the outbound log for several servers in one job. They are mostly at the same place, and what was read for one is
// not read again for the next. It is of use only as long as the job changes nothing in the log but what is for one server alone, and
// looks there for that server no more.
type LogReader struct {
	tx    *Tx
	after Position // rows are those just after this one, of so many
	scan  int
	rows  []outboundSet
	items map[Position]Outbound

	covers *bool // whether any server was given the present of a room; nil as long as that is not known
}

// ReadLog gives a reader of the outbound log.
func (tx *Tx) ReadLog() *LogReader { return &LogReader{tx: tx, items: map[Position]Outbound{}} }

// NextOutbound is LogReader.Next for one server.
func (tx *Tx) NextOutbound(server ident.ServerName, after Position, scan int, take func(Outbound) bool) (through Position, atEnd bool, err error) {
	return tx.ReadLog().Next(server, after, scan, take)
}

// Next hands the items for a server to take, in order from just after a position on, until take refuses one. It looks at no more
// than scan rows; every row up to through is taken or not for this server, and atEnd says that no row stands beyond it.
func (l *LogReader) Next(server ident.ServerName, after Position, scan int, take func(Outbound) bool) (through Position, atEnd bool, err error) {
	nid, _, err := l.tx.serverNID(server)
	if err != nil {
		return after, false, err
	}
	if err := l.seek(after, scan); err != nil {
		return after, false, err
	}
	through = after
	for _, row := range l.rows {
		in, err := l.tx.inServerSet(nid, row.set)
		if err != nil {
			return after, false, err
		}
		if in {
			item, err := l.item(row.position)
			if err != nil {
				return after, false, err
			}
			if !take(item) {
				return through, false, nil
			}
		}
		through = row.position
	}
	return through, len(l.rows) < scan, nil
}

// Covered is Tx.Covered.
func (l *LogReader) Covered(server ident.ServerName, from Position) (map[ident.RoomID]Position, error) {
	if l.covers == nil {
		covers, err := l.tx.queryRow(`SELECT server FROM covered LIMIT 1`, nil, new(any))
		if err != nil {
			return nil, err
		}
		l.covers = &covers
	}
	if !*l.covers { // as ever, unless somebody was away for long
		return nil, nil
	}
	return l.tx.Covered(server, from)
}

// seek reads the rows just after a position.
func (l *LogReader) seek(after Position, scan int) (err error) {
	if l.scan == scan && l.after == after {
		return nil
	}
	l.rows, err = l.tx.outboundSets(after, scan)
	if err == nil {
		l.after, l.scan = after, scan
	}
	return err
}

func (l *LogReader) item(position Position) (item Outbound, err error) {
	item, known := l.items[position]
	if known {
		return item, nil
	}
	item, err = l.tx.outbound(position)
	if err == nil {
		l.items[position] = item
	}
	return item, err
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
