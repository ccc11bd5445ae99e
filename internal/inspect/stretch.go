// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// Stretch is a part of the outbound log, and for whom it waits.
type Stretch struct {
	Servers        transaction.Names
	After, Through persistence.Position // what a filter selects stands in between
	Items          int                  // that wait for all of them together, parked ones included
	Parked         int                  // of them
}

// Destinations counts the servers that match and for which something was ever queued.
func (i *Inspector) Destinations(ctx context.Context, servers transaction.Selector) (int, error) {
	b := &backlog{}
	if err := b.readDestinations(ctx, i, servers); err != nil {
		return 0, fmt.Errorf("count destinations: %w", err)
	}
	return len(b.destinations), nil
}

// Stretch finds what a filter selects, of one kind and one event if they are given, in the queues and among what is parked.
func (i *Inspector) Stretch(ctx context.Context, f Filter, kind int, event ident.EventID) (Stretch, error) {
	s := Stretch{Servers: transaction.Names{}}
	pattern, err := f.check(queueStates)
	if err != nil {
		return s, err
	}
	b, err := i.backlog(ctx, pattern)
	if err != nil {
		return s, fmt.Errorf("look for what is queued: %w", err)
	}
	for _, d := range b.destinations {
		q := b.queue(d, Filter{})
		if f.State != "" && q.State != f.State || f.Class != "" && q.Class != f.Class {
			continue
		}
		add := func(item persistence.Outbound) bool {
			if !f.selects(item) || kind != 0 && item.Kind != kind || event != "" && item.EventID != event {
				return false
			}
			s.add(d.Server, item.Position)
			return true
		}
		b.waiting(d, func(item persistence.LoggedItem) { add(item.Outbound) })
		if q.Parked == 0 {
			continue
		}
		err := i.view(ctx, func(tx *persistence.Tx) error {
			parked, err := tx.ParkedItems(d.Server, persistence.MaxParked)
			for _, p := range parked {
				if add(p.Outbound) {
					s.Parked++
				}
			}
			return err
		})
		if err != nil {
			return s, fmt.Errorf("look for what is parked: %w", err)
		}
	}
	return s, nil
}

func (s *Stretch) add(server ident.ServerName, at persistence.Position) {
	if s.Servers[server] = true; s.Items == 0 || at <= s.After {
		s.After = at - 1
	}
	s.Through = max(s.Through, at)
	s.Items++
}
