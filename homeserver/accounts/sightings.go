// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// sighting is when and where a device last asked for something.
type sighting struct {
	At      int64  // ms; 0: never
	Address string // an IP address
}

// deviceKey is a device among all.
type deviceKey struct {
	user   ident.UserID
	device string
}

// sightings is what is not written yet. The goroutines of all requests use it; the mutex is held for map accesses only.
type sightings struct {
	mu      sync.Mutex
	waiting map[deviceKey]sighting
}

func newSightings() *sightings { return &sightings{waiting: map[deviceKey]sighting{}} }

// note keeps the latest sighting of a device, unless too many other devices wait to be written.
func (s *sightings) note(k deviceKey, seen sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, waits := s.waiting[k]; waits || len(s.waiting) < maxSightings {
		s.waiting[k] = seen
	}
}

// of is what waits of a device.
func (s *sightings) of(k deviceKey) (seen sighting, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen, waits = s.waiting[k]
	return seen, waits
}

func (s *sightings) all() map[deviceKey]sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.waiting)
}

// written forgets what has been written and is not newer by now.
func (s *sightings) written(done map[deviceKey]sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, seen := range done {
		if s.waiting[k] == seen {
			delete(s.waiting, k)
		}
	}
}

func (s *sightings) forget(k deviceKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, k)
}

// Seen implements api.Witness: it notes where a device is, in memory.
func (a *Accounts) Seen(caller api.Caller, remote string) {
	address, _, err := net.SplitHostPort(remote)
	if err != nil || caller.Device == "" {
		return // a listener without addresses: there is nothing to say
	}
	a.sightings.note(deviceKey{caller.User, caller.Device}, sighting{At: time.Now().UnixMilli(), Address: address})
}

// Run writes when and where devices were seen, now and then until ctx ends, and what is left then. An error is the store's.
func (a *Accounts) Run(ctx context.Context) error {
	ticks := time.NewTicker(sightingsEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return a.writeSightings(context.WithoutCancel(ctx))
		case <-ticks.C:
			if err := a.writeSightings(ctx); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// writeSightings writes what waits, in jobs of a few: requests wait for no more than one of them.
func (a *Accounts) writeSightings(ctx context.Context) error {
	batch := map[deviceKey]sighting{}
	write := func() error {
		err := a.store.Update(ctx, func(tx *persistence.Tx) error { return putSightings(tx, batch) })
		if err == nil {
			a.sightings.written(batch)
			clear(batch)
		}
		return err
	}
	for k, seen := range a.sightings.all() {
		if batch[k] = seen; len(batch) < sightingsAtOnce {
			continue
		}
		if err := write(); err != nil {
			return err
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return write()
}

// putSightings writes them into the rows of the devices; one whose device is gone has none.
func putSightings(tx *persistence.Tx, all map[deviceKey]sighting) error {
	for k, seen := range all {
		_, err := tx.Exec(`UPDATE hs_devices SET seen = ?, address = ? WHERE user = ? AND device = ?`, seen.At, seen.Address, string(k.user), k.device)
		if err != nil {
			return fmt.Errorf("sighting of %s: %w", k.user, err)
		}
	}
	return nil
}

// sightingsOf is when and where the devices of a user were last seen, by id; what was never seen is left out.
func (a *Accounts) sightingsOf(tx *persistence.Tx, user ident.UserID) (map[string]sighting, error) {
	found := map[string]sighting{}
	err := tx.Query(`SELECT device, seen, address FROM hs_devices WHERE user = ?`, []any{string(user)}, func(r persistence.Row) error {
		var device string
		var seen sighting
		if err := r.Scan(&device, &seen.At, &seen.Address); err != nil {
			return err
		}
		if later, waits := a.sightings.of(deviceKey{user, device}); waits {
			seen = later
		}
		if seen.At != 0 {
			found[device] = seen
		}
		return nil
	})
	return found, err
}
