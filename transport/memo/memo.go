// SPDX-License-Identifier: Apache-2.0

package memo

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// evictionSample is how many answers are compared to find one to give up when there is no room.
const evictionSample = 16

// Memo is a bounded map of answers that expire. The goroutines of all requests use it; the mutex is held for map accesses only: an
// owning goroutine would cost two channel hops for one map read.
type Memo[V any] struct {
	max     int
	expires func(V) time.Time
	flights singleflight.Group

	mu      sync.Mutex
	entries map[string]V
}

// New makes a Memo of at most max answers. expires says of one until when it is good.
func New[V any](max int, expires func(V) time.Time) *Memo[V] {
	return &Memo[V]{max: max, expires: expires, entries: make(map[string]V)}
}

// Ask gives the answer for key: the kept one while it is good and fresh is false, else what work finds. work is given what was kept
// before, the zero value if nothing; it runs once for all who ask at the same time, at most for timeout, also when some of them
// give up. Its error is given to all who wait and not kept. kept tells whether nobody had to work.
func (m *Memo[V]) Ask(
	ctx context.Context, key string, fresh bool, timeout time.Duration, work func(ctx context.Context, before V) (V, error),
) (v V, kept bool, err error) {
	if v, found := m.Get(key); found && !fresh && time.Now().Before(m.expires(v)) {
		return v, true, nil
	}
	result := m.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		before, _ := m.Get(key)
		v, err := work(ctx, before)
		if err == nil {
			m.put(key, v)
		}
		return v, err
	})
	select {
	case <-ctx.Done():
		return v, false, ctx.Err()
	case r := <-result:
		return r.Val.(V), false, r.Err
	}
}

// Len is how many answers are kept, the expired included.
func (m *Memo[V]) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.entries)
}

// Get gives what is kept, also when it has expired.
func (m *Memo[V]) Get(key string) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, found := m.entries[key]
	return v, found
}

// Drop forgets the answers that match and tells how many there were.
func (m *Memo[V]) Drop(match func(key string, v V) bool) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := len(m.entries)
	for key, v := range m.entries {
		if match(key, v) {
			delete(m.entries, key)
		}
	}
	return before - len(m.entries)
}

// DropKey forgets one answer if there is one and match says so.
func (m *Memo[V]) DropKey(key string, match func(V) bool) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, found := m.entries[key]
	if found = found && match(v); found {
		delete(m.entries, key)
	}
	return found
}

// All gives what is kept, in no order, the expired included.
func (m *Memo[V]) All() []V {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]V, 0, len(m.entries))
	for _, v := range m.entries {
		all = append(all, v)
	}
	return all
}

// put keeps v. A full Memo gives up what expires first among a few taken at random.
func (m *Memo[V]) put(key string, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, found := m.entries[key]; !found && len(m.entries) >= m.max {
		m.evict()
	}
	m.entries[key] = v
}

// evict relies on map iteration starting at a random place.
func (m *Memo[V]) evict() {
	var victim string
	var first time.Time
	seen := 0
	for key, v := range m.entries {
		if t := m.expires(v); seen == 0 || t.Before(first) {
			victim, first = key, t
		}
		if seen++; seen == evictionSample {
			break
		}
	}
	delete(m.entries, victim)
}
