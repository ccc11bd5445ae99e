// SPDX-License-Identifier: Apache-2.0

package accounts

import "sync"

// cache keeps whose tokens are, so that a request does not have to ask the store. The goroutines of all requests use it; the mutex
// is held for map accesses only.
type cache struct {
	mu    sync.Mutex
	kept  map[tokenHash]grant
	drops uint64 // how often something was dropped: what was read before that may not be kept
}

func newCache() *cache { return &cache{kept: map[tokenHash]grant{}} }

func (c *cache) get(hash tokenHash) (grant, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g, found := c.kept[hash]
	return g, found
}

// epoch is to be taken before the store is read, and given to put.
func (c *cache) epoch() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.drops
}

// put keeps what was read, unless something was dropped since: it might have been that. One that is full gives up any other.
func (c *cache) put(hash tokenHash, g grant, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drops != epoch {
		return
	}
	if len(c.kept) >= maxCached {
		for victim := range c.kept {
			delete(c.kept, victim)
			break
		}
	}
	c.kept[hash] = g
}

func (c *cache) drop(match func(grant) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	for hash, g := range c.kept {
		if match(g) {
			delete(c.kept, hash)
		}
	}
}
