// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/strata-matrix/strata/transport/ident"
)

// admission is what the requests of one Server share: how many run, the memory of their bodies, and how many each origin has
// running. A request that finds no room is sent away with a 429 at once; waiting would only hold its connection. The goroutines
// of all requests use it; the mutex guards the map and is held for one access.
type admission struct {
	requests *semaphore.Weighted
	bodies   *semaphore.Weighted // bytes

	perOrigin int
	mu        sync.Mutex
	running   map[ident.ServerName]int // no entry is 0, so it has as many entries as there are requests
}

// enter takes a place until leave is called.
func (a *admission) enter() (leave func(), err error) {
	if !a.requests.TryAcquire(1) {
		return nil, errBusy("too many requests")
	}
	return func() { a.requests.Release(1) }, nil
}

// reserve sets memory aside for a body.
func (a *admission) reserve(bytes int64) (release func(), err error) {
	if !a.bodies.TryAcquire(bytes) {
		return nil, errBusy("too many request bodies at one time")
	}
	return func() { a.bodies.Release(bytes) }, nil
}

// share takes one of origin's places.
func (a *admission) share(origin ident.ServerName) (done func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running[origin] >= a.perOrigin {
		return nil, errBusy("too many requests of your server at one time")
	}
	a.running[origin]++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.running[origin]--; a.running[origin] == 0 {
			delete(a.running, origin)
		}
	}, nil
}
