// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Reset forgets that servers failed, and what they asked for themselves (Retry-After): they are tried at once, spread evenly over a time,
// and the pauses begin anew. It tells how many had failed. What is known of each attempt is kept. Run must be running.
func (o *Outbox) Reset(ctx context.Context, servers Selector, spread time.Duration) (reset int, err error) {
	var names []ident.ServerName
	err = o.store.View(ctx, func(tx *persistence.Tx) error {
		all, err := tx.Destinations()
		for _, d := range all {
			if servers.Matches(d.Server) && (d.Failures > 0 || d.NotBefore > 0) {
				names = append(names, d.Server)
			}
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("reset: %w", err)
	}
	for portion := range slices.Chunk(names, dropPortion) {
		err := o.store.Update(ctx, func(tx *persistence.Tx) error {
			for _, name := range portion {
				if _, err := tx.ResetDestination(name); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return reset, fmt.Errorf("reset: %w", err)
		}
		err = o.order(ctx, func() {
			for _, name := range portion {
				o.reset(name, spread)
			}
		})
		if err != nil {
			return reset, err
		}
		reset += len(portion)
	}
	return reset, nil
}

// reset is Reset for one server. Where an attempt is under way, or in line, that decides.
func (o *Outbox) reset(name ident.ServerName, spread time.Duration) {
	d, known := o.destinations[name]
	if !known {
		return
	}
	switch d.phase {
	case idle, dozing, waiting, held:
		d.stored.Failures, d.stored.RetryAt, d.stored.NotBefore, d.stored.FailingSince = 0, 0, 0, 0
	}
	if d.phase == waiting {
		now := time.Now()
		o.bringForward(d, now.Add(o.jitter.Of(spread, string(name), now)).UnixMilli())
	}
}
