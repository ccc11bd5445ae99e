// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"slices"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// logPortion is how many rows of the outbound log, or destinations, one view reads.
const logPortion = 1000

// backlog is what is queued for whom. A queue is a cursor over the log: the log is read once for all of them.
type backlog struct {
	now          int64
	destinations []persistence.NumberedDestination
	log          map[int64][]persistence.LoggedItem // by set of servers, each in order
	sets         map[int64][]int64                  // sets by the number of a member, ascending
	open         map[ident.ServerName]persistence.SentTransaction
	parked       map[ident.ServerName]int
	nextParked   map[ident.ServerName]int64
	drops        map[ident.ServerName][]persistence.Drop
	holds        []persistence.Hold
}

// backlog reads what is queued for the servers that match.
func (i *Inspector) backlog(ctx context.Context, servers transaction.Selector) (*backlog, error) {
	b := &backlog{
		now: time.Now().UnixMilli(), log: map[int64][]persistence.LoggedItem{}, sets: map[int64][]int64{},
		open: map[ident.ServerName]persistence.SentTransaction{}, drops: map[ident.ServerName][]persistence.Drop{},
	}
	if err := i.view(ctx, b.readRules); err != nil {
		return nil, err
	}
	if err := b.readDestinations(ctx, i, servers); err != nil {
		return nil, err
	}
	if err := b.readLog(ctx, i); err != nil {
		return nil, err
	}
	return b, nil
}

// readRules reads what is small: there is one open transaction for a destination at most, and operators make the rest.
func (b *backlog) readRules(tx *persistence.Tx) (err error) {
	if b.holds, err = tx.Holds(); err != nil {
		return err
	}
	if b.parked, err = tx.ParkedCounts(); err != nil {
		return err
	}
	if b.nextParked, err = tx.NextParked(); err != nil {
		return err
	}
	drops, err := tx.AllDrops()
	for _, d := range drops {
		b.drops[d.Server] = append(b.drops[d.Server], d)
	}
	if err != nil {
		return err
	}
	open, err := tx.OpenTransactions()
	for _, t := range open {
		b.open[t.Destination] = t
	}
	return err
}

func (b *backlog) readDestinations(ctx context.Context, i *Inspector, servers transaction.Selector) error {
	return portions(func(after int64) (next int64, err error) {
		err = i.view(ctx, func(tx *persistence.Tx) error {
			list, err := tx.NumberedDestinations(after, logPortion)
			for _, d := range list {
				if servers.Matches(d.Server) {
					b.destinations = append(b.destinations, d)
				}
			}
			if len(list) == logPortion {
				next = list[len(list)-1].Number
			}
			return err
		})
		return next, err
	})
}

func (b *backlog) readLog(ctx context.Context, i *Inspector) error {
	return portions(func(after int64) (next int64, err error) {
		err = i.view(ctx, func(tx *persistence.Tx) error {
			list, err := tx.LoggedItems(persistence.Position(after), logPortion)
			if err != nil {
				return err
			}
			for _, item := range list {
				if err := b.add(tx, item); err != nil {
					return err
				}
			}
			if len(list) == logPortion {
				next = int64(list[len(list)-1].Position)
			}
			return nil
		})
		return next, err
	})
}

// add takes a row of the log; the first of its set brings the members along.
func (b *backlog) add(tx *persistence.Tx, item persistence.LoggedItem) error {
	if _, known := b.log[item.Set]; !known {
		members, err := tx.SetMembers(item.Set)
		if err != nil {
			return err
		}
		for _, member := range members {
			b.sets[member] = append(b.sets[member], item.Set)
		}
	}
	b.log[item.Set] = append(b.log[item.Set], item)
	return nil
}

// portions calls read with where the last one ended, until it gives 0.
func portions(read func(after int64) (next int64, err error)) error {
	for after := int64(0); ; {
		next, err := read(after)
		if err != nil || next == 0 {
			return err
		}
		after = next
	}
}

// waiting is what a destination still has to get, in no order.
func (b *backlog) waiting(d persistence.NumberedDestination, use func(persistence.LoggedItem)) {
	for _, set := range b.sets[d.Number] {
		items := b.log[set]
		from, _ := slices.BinarySearchFunc(items, d.Cursor+1, func(item persistence.LoggedItem, at persistence.Position) int {
			return int(min(max(item.Position-at, -1), 1))
		})
		for _, item := range items[from:] {
			if !slices.ContainsFunc(b.drops[d.Server], func(drop persistence.Drop) bool { return drop.Fits(item.Outbound) }) {
				use(item)
			}
		}
	}
}

// hold is the first rule that keeps a server from being sent to.
func (b *backlog) hold(server ident.ServerName) *HoldRule {
	for _, h := range b.holds {
		if transaction.Pattern(h.Pattern).Matches(server) {
			return &HoldRule{Pattern: h.Pattern, Reason: h.Reason, Since: h.Since}
		}
	}
	return nil
}
