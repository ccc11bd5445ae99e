// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"slices"

	"github.com/strata-matrix/strata/transport/ident"
)

// The old part of the outbound log is compacted: of what servers that are far behind have not had yet, the newest event of each
// room stays, to stand for the room, and what concerns a server itself. See transaction/catchup.go.
const backlogSchema = `
CREATE INDEX outbound_compacted ON outbound (room_id, position) WHERE compacted = 1;`

// Compaction says what may go from the old part of the outbound log.
type Compaction struct {
	After, Through Position // the part, from just after a position on
	Before         int64    // ms; beyond Through as well what was queued before this time
	Drop           int64    // ms; EDUs queued before are forgotten whoever needs them

	// Behind is the servers that may still need something of it, each with the position up to which it needs nothing.
	Behind map[ident.ServerName]Position
}

// Compacted is what one call came to.
type Compacted struct {
	Through   Position // up to here the log is compacted
	More      bool     // there may be more to do behind it
	Forgotten int      // rows
	Dropped   int      // of them EDUs that somebody still needed
}

// OldestOf gives the position of the oldest of the newest keep items of the outbound log, 0 when there are fewer.
func (tx *Tx) OldestOf(keep int) (position Position, err error) {
	_, err = tx.queryRow(`SELECT position FROM outbound ORDER BY position DESC LIMIT 1 OFFSET ?`, []any{keep - 1}, &position)
	return position, err
}

// CompactOutbound looks at up to limit rows of the old part of the log. What nobody behind needs is forgotten. Of what somebody does,
// EDUs stay, and of each room the newest event, as Compacted; older ones stay for that server alone to whose user they give a
// membership, the latest for each user.
func (tx *Tx) CompactOutbound(c Compaction, limit int) (done Compacted, err error) {
	rows, err := tx.oldRows(c, limit)
	if err != nil {
		return done, err
	}
	done = Compacted{Through: c.After, More: len(rows) == limit}
	work := compaction{Compaction: c, tx: tx, done: &done, sets: map[int64]Position{}, nids: map[ident.ServerName]int64{}}
	if err := work.readBehind(); err != nil {
		return done, err
	}
	for _, row := range rows {
		if err := work.look(row); err != nil {
			return done, err
		}
		done.Through = row.position
	}
	return done, nil
}

// oldRow is a row of the log without its content.
type oldRow struct {
	outboundSet
	kind      int
	room      ident.RoomID
	about     ident.UserID
	compacted bool
	present   bool
	queuedAt  int64
}

// oldRows reads up to limit rows of the part that is to be compacted.
func (tx *Tx) oldRows(c Compaction, limit int) (rows []oldRow, err error) {
	young := false
	err = tx.query(`SELECT position, servers, kind, room_id, about, compacted, present, queued_at FROM outbound WHERE position > ? ORDER BY position LIMIT ?`,
		[]any{int64(c.After), limit}, func(r rowScanner) error {
			var row oldRow
			err := r.Scan(&row.position, &row.set, &row.kind, &row.room, &row.about, &row.compacted, &row.present, &row.queuedAt)
			if young = young || row.position > c.Through && row.queuedAt >= c.Before; !young {
				rows = append(rows, row)
			}
			return err
		})
	return rows, err
}

// compaction is one call of CompactOutbound.
type compaction struct {
	Compaction
	tx     *Tx
	done   *Compacted
	behind map[int64]Position         // Behind by number
	nids   map[ident.ServerName]int64 // of those behind
	sets   map[int64]Position         // by set: the least of its members that are behind, noneBehind when there are none
}

// noneBehind is beyond every position.
const noneBehind = Position(1<<63 - 1)

func (c *compaction) readBehind() error {
	c.behind = make(map[int64]Position, len(c.Behind))
	for name, from := range c.Behind {
		nid, found, err := c.tx.serverNID(name)
		if err != nil {
			return err
		}
		if found {
			c.behind[nid], c.nids[name] = from, nid
		}
	}
	return nil
}

// needed says whether somebody behind needs a row.
func (c *compaction) needed(row outboundSet) (bool, error) {
	least, known := c.sets[row.set]
	if !known {
		members, err := c.tx.serverSet(row.set)
		if err != nil {
			return false, err
		}
		least = noneBehind
		for _, nid := range members {
			if from, behind := c.behind[nid]; behind {
				least = min(least, from)
			}
		}
		c.sets[row.set] = least
	}
	return least < row.position, nil
}

// look decides on one row.
func (c *compaction) look(row oldRow) error {
	needed, err := c.needed(row.outboundSet)
	switch {
	case err != nil:
		return err
	case !needed:
		return c.forget(row.position)
	case row.kind == KindEDU && row.queuedAt < c.Drop:
		c.done.Dropped++
		return c.forget(row.position)
	case row.kind == KindEDU || row.compacted || row.present:
		return nil
	}
	return c.fold(row)
}

func (c *compaction) forget(position Position) error {
	c.done.Forgotten++
	return c.tx.exec(`DELETE FROM outbound WHERE position = ?`, int64(position))
}

// fold has an event take the place of those before it in its room.
func (c *compaction) fold(row oldRow) error {
	older, err := c.standing(row.room)
	if err != nil {
		return err
	}
	for _, old := range older {
		if err := c.retire(old, row.about); err != nil {
			return err
		}
	}
	return c.tx.exec(`UPDATE outbound SET compacted = 1 WHERE position = ?`, int64(row.position))
}

// standing is the compacted events of a room.
func (c *compaction) standing(room ident.RoomID) (rows []oldRow, err error) {
	err = c.tx.query(`SELECT position, servers, about FROM outbound WHERE room_id = ? AND compacted = 1 ORDER BY position`, []any{string(room)},
		func(r rowScanner) error {
			var row oldRow
			err := r.Scan(&row.position, &row.set, &row.about)
			rows = append(rows, row)
			return err
		})
	return rows, err
}

// retire forgets an event that stood for its room, or keeps it for the server of the user whom it concerns, unless a newer one
// concerns the same.
func (c *compaction) retire(old oldRow, newer ident.UserID) error {
	nid, behind := c.nids[old.about.Server()]
	if old.about == "" || old.about == newer || !behind || c.behind[nid] >= old.position {
		return c.forget(old.position)
	}
	members, err := c.tx.serverSet(old.set)
	if err != nil || len(members) == 1 && members[0] == nid {
		return err
	}
	if _, in := slices.BinarySearch(members, nid); !in {
		return c.forget(old.position)
	}
	alone, _, err := c.tx.internServerSet([]ident.ServerName{old.about.Server()})
	if err != nil {
		return err
	}
	return c.tx.exec(`UPDATE outbound SET servers = ? WHERE position = ?`, alone, int64(old.position))
}
