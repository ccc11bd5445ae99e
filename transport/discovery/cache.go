// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"sync"
	"time"
)

// evictionSample is how many entries are compared to find one to drop from a full cache.
const evictionSample = 16

// cache is a bounded map of values that expire. It is shared by the goroutines of all requests under a mutex, which is held
// for map accesses only: an owning goroutine would cost two channel hops for one map read.
type cache[V any] struct {
	max     int
	expires func(V) time.Time

	mu      sync.Mutex
	entries map[string]V
}

func newCache[V any](max int, expires func(V) time.Time) *cache[V] {
	return &cache[V]{max: max, expires: expires, entries: make(map[string]V)}
}

// get gives the value also when it has expired; the caller looks at its time.
func (c *cache[V]) get(key string) (V, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, found := c.entries[key]
	return v, found
}

// put stores v. A full cache gives up the entry that expires first among a few taken at random.
func (c *cache[V]) put(key string, v V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.entries[key]; !found && len(c.entries) >= c.max {
		c.evict()
	}
	c.entries[key] = v
}

// drop removes the entry if may says so.
func (c *cache[V]) drop(key string, may func(V) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, found := c.entries[key]; found && may(v) {
		delete(c.entries, key)
	}
}

// evict relies on map iteration starting at a random place.
func (c *cache[V]) evict() {
	var victim string
	var first time.Time
	seen := 0
	for key, v := range c.entries {
		if t := c.expires(v); seen == 0 || t.Before(first) {
			victim, first = key, t
		}
		if seen++; seen == evictionSample {
			break
		}
	}
	delete(c.entries, victim)
}

func (c *cache[V]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries)
}
