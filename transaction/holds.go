// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// holds tells whether a rule keeps a server from being sent to.
func (o *Outbox) holds(server ident.ServerName) bool {
	return slices.ContainsFunc(o.rules, func(p Pattern) bool { return p.Matches(server) })
}

func patterns(holds []persistence.Hold) []Pattern {
	list := []Pattern{}
	for _, h := range holds {
		list = append(list, Pattern(h.Pattern))
	}
	return list
}

// setRules changes which servers are held. What is on its way to one of them still gets there.
func (o *Outbox) setRules(rules []Pattern) {
	o.rules = rules
	for _, l := range []*lane{&o.sound, &o.failing} {
		line := l.line
		l.line = nil
		for _, d := range line {
			o.makeReady(d)
		}
	}
	for _, d := range o.destinations {
		if d.phase == held {
			o.makeReady(d)
		}
	}
}

// Hold has nothing sent to the servers that match a pattern, from now on and after every restart, until Unhold takes it back. What
// is queued for them waits.
func (o *Outbox) Hold(ctx context.Context, pattern Pattern, reason string) error {
	return o.changeRules(ctx, func(tx *persistence.Tx) error {
		return tx.SetHold(persistence.Hold{Pattern: string(pattern), Reason: reason, Since: time.Now().UnixMilli()})
	})
}

// Unhold takes a rule back; found is false when there is none of just this pattern.
func (o *Outbox) Unhold(ctx context.Context, pattern Pattern) (found bool, err error) {
	err = o.changeRules(ctx, func(tx *persistence.Tx) (err error) {
		found, err = tx.RemoveHold(string(pattern))
		return err
	})
	return found, err
}

func (o *Outbox) changeRules(ctx context.Context, change func(*persistence.Tx) error) error {
	return o.store.Update(ctx, func(tx *persistence.Tx) error {
		if err := change(tx); err != nil {
			return err
		}
		holds, err := tx.Holds()
		if err != nil {
			return err
		}
		tx.AfterCommit(func() { o.mail.hold(patterns(holds)) })
		return nil
	})
}

// Retry says which servers are to be tried again before their time.
type Retry struct {
	Servers Selector
	Class   string        // only those that failed so the last time, "" for all
	Parked  bool          // what is parked for them as well
	Spread  time.Duration // over which they are spread evenly, 0 for all at once
}

// Retry brings the next try of servers that are backing off forward, and tells how many those are. It overrides what they asked
// for themselves (Retry-After), and forgets no streak of failures. Run must be running.
func (o *Outbox) Retry(ctx context.Context, r Retry) (servers int, err error) {
	var parked map[ident.ServerName]int64
	if r.Parked {
		if parked, err = o.unparkNow(ctx, r.Servers); err != nil {
			return 0, err
		}
	}
	err = o.order(ctx, func() {
		for _, name := range slices.Sorted(maps.Keys(o.destinations)) {
			d := o.destinations[name]
			if r.Servers.Matches(name) && (r.Class == "" || r.Class == d.stored.LastClass) && o.retry(d, parked[name], r.Spread) {
				servers++
			}
		}
	})
	return servers, err
}

// retry brings one server's next try forward, if it waits for one.
func (o *Outbox) retry(d *destination, parkedAt int64, spread time.Duration) bool {
	now := time.Now()
	at := now.Add(o.jitter.Of(spread, string(d.name()), now)).UnixMilli()
	if parkedAt != 0 {
		d.parkedAt = parkedAt
	}
	switch {
	case d.phase == waiting, d.phase == dozing && parkedAt != 0:
		o.bringForward(d, at)
		return true
	}
	return false
}

// unparkNow makes what is parked for servers due, and tells for which something was.
func (o *Outbox) unparkNow(ctx context.Context, servers Selector) (parked map[ident.ServerName]int64, err error) {
	now := time.Now().UnixMilli()
	err = o.store.Update(ctx, func(tx *persistence.Tx) error {
		next, err := tx.NextParked()
		if err != nil {
			return err
		}
		parked = map[ident.ServerName]int64{}
		for server := range next {
			if !servers.Matches(server) {
				continue
			}
			if _, err := tx.RetryParked(server, now); err != nil {
				return err
			}
			parked[server] = now
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("retry what is parked: %w", err)
	}
	return parked, nil
}

// order has the dispatcher do something, and waits until it is done.
func (o *Outbox) order(ctx context.Context, do func()) error {
	done := make(chan struct{})
	select {
	case o.orders <- func() { do(); close(done) }:
	case <-ctx.Done():
		return fmt.Errorf("reach the dispatcher: %w", ctx.Err())
	}
	<-done
	return nil
}
