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

// Drop says what is not to be sent: all that is queued by now for the servers and fits every criterion that is given.
type Drop struct {
	Servers Selector
	Kind    int // persistence.KindPDU, persistence.KindEDU, 0 for both
	Room    ident.RoomID
	Event   ident.EventID
	After   persistence.Position // only what was queued after this position
	Through persistence.Position // and up to this one; 0 for what is queued by now
}

// Dropped is what a Drop came to.
type Dropped struct {
	Servers   int // that something was or may have been queued for
	Parked    int // items that were parked
	Withdrawn int // transactions that were frozen and not answered; what is left of them goes out anew
}

// dropPortion is how many servers one job of the store deals with.
const dropPortion = 100

// Drop takes what fits out of the queues and out of what is parked. An attempt that is under way is not called back.
func (o *Outbox) Drop(ctx context.Context, d Drop) (total Dropped, err error) {
	var servers []ident.ServerName
	var through persistence.Position
	err = o.store.View(ctx, func(tx *persistence.Tx) (err error) {
		if through = tx.LastPosition(); d.Through != 0 {
			through = min(through, d.Through)
		}
		servers, err = d.concerned(tx)
		return err
	})
	if err != nil {
		return total, fmt.Errorf("drop: %w", err)
	}
	for portion := range slices.Chunk(servers, dropPortion) {
		err := o.store.Update(ctx, func(tx *persistence.Tx) error {
			part := Dropped{Servers: len(portion)}
			for _, server := range portion {
				if err := d.from(tx, server, through, &part); err != nil {
					return err
				}
			}
			tx.AfterCommit(func() {
				total = Dropped{total.Servers + part.Servers, total.Parked + part.Parked, total.Withdrawn + part.Withdrawn}
				o.mail.dropped()
			})
			return nil
		})
		if err != nil {
			return total, fmt.Errorf("drop: %w", err)
		}
	}
	return total, nil
}

// concerned lists the servers that have something queued or parked.
func (d Drop) concerned(tx *persistence.Tx) (servers []ident.ServerName, err error) {
	behind, err := tx.Behind()
	if err != nil {
		return nil, err
	}
	parked, err := tx.NextParked()
	if err != nil {
		return nil, err
	}
	for server := range parked {
		behind[server] = true
	}
	for server := range behind {
		if d.Servers.Matches(server) {
			servers = append(servers, server)
		}
	}
	slices.Sort(servers)
	return servers, nil
}

// from drops what one server would get.
func (d Drop) from(tx *persistence.Tx, server ident.ServerName, through persistence.Position, part *Dropped) error {
	rule := persistence.Drop{Server: server, After: d.After, Through: through, Kind: d.Kind, Room: d.Room, Event: d.Event}
	if err := tx.AddDrop(rule); err != nil {
		return err
	}
	parked, err := tx.ParkedItems(server, persistence.MaxParked)
	if err != nil {
		return err
	}
	for _, p := range parked {
		if rule.Fits(p.Outbound) {
			if err := tx.Unpark(server, p.Position); err != nil {
				return err
			}
			part.Parked++
		}
	}
	open, found, err := tx.OpenTransaction(server)
	if err != nil || !found {
		return err
	}
	positions := open.Items
	if open.Parked != 0 {
		positions = append(positions, open.Parked)
	}
	for _, position := range positions {
		item, found, err := tx.OutboundItem(position)
		if err != nil {
			return err
		}
		// The log's row of a parked item may be gone, and with it what it was; it is no longer parked, if it is one to drop.
		if !found {
			_, parked, err := tx.ParkedItem(server, position)
			if err != nil || parked {
				return err
			}
		} else if !rule.Fits(item) {
			continue
		}
		part.Withdrawn++
		_, err = tx.Withdraw(open.Position, time.Now().UnixMilli())
		return err
	}
	return nil
}
