// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"container/list"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// maxCached bounds the memory of all remote keys together: each server counts one, and each of its keys one, of about 150
// bytes. A server that was let go is read from the store again.
const maxCached = 65_536

// maxTold bounds likewise what notaries told, apart from the rest: they can make up servers at will.
const maxTold = 16_384

// source is a server whose keys are wanted, and the notary that tells them: none if the server does so itself.
type source struct{ server, notary ident.ServerName }

// record is what is known about one server from one source. Its fields are guarded by the ring's mutex. A caller may hold on to
// a record that the cache has let go.
type record struct {
	source
	loaded   bool // the store has been asked; it has nothing of notaries
	history  history
	basis    int64     // of a notary's: FetchedAt of the server's own newest document when the notary was asked, see judgeTold
	failures int       // fetches that failed since the last success
	nextAsk  time.Time // no fetch before
	flight   *flight   // the fetch under way, nil if none
}

// cache holds the records used most recently. It is guarded by the ring's mutex.
type cache struct {
	limit   int
	weight  int
	order   *list.List // of *cached, the most recently used in front
	entries map[source]*list.Element
}

type cached struct {
	record *record
	weight int
}

func newCache(limit int) *cache {
	return &cache{limit: limit, order: list.New(), entries: make(map[source]*list.Element)}
}

// get finds the source's record or makes an empty one.
func (c *cache) get(from source) *record {
	if element, ok := c.entries[from]; ok {
		c.order.MoveToFront(element)
		return element.Value.(*cached).record
	}
	rec := &record{source: from}
	c.entries[from] = c.order.PushFront(&cached{record: rec})
	c.settle(rec)
	return rec
}

// settle weighs a record that was made or changed and lets go of the least recently used ones that no longer fit.
func (c *cache) settle(rec *record) {
	element, ok := c.entries[rec.source]
	if !ok || element.Value.(*cached).record != rec {
		return // let go meanwhile
	}
	entry := element.Value.(*cached)
	c.weight -= entry.weight
	entry.weight = 1 + rec.history.size()
	c.weight += entry.weight
	for c.weight > c.limit && c.order.Len() > 1 {
		last := c.order.Back()
		c.weight -= last.Value.(*cached).weight
		delete(c.entries, last.Value.(*cached).record.source)
		c.order.Remove(last)
	}
}
