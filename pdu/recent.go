// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"slices"
	"sync"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// told is that an event was given a position.
type told struct {
	at    persistence.Position
	room  ident.RoomID
	event ident.EventID
	anew  bool // it had one before, and is whole now
}

// recent is the last of the positions that events were given, without a gap, for subscribers, who mostly want to know what has just been
// committed. What an event is now the memory knows.
type recent struct {
	mu    sync.Mutex
	after persistence.Position // every event with a position after it is in the list
	list  []told               // by position
}

// add is called by the store's goroutine, in the order of the commits.
func (r *recent) add(list []told) {
	if len(list) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == 0 {
		r.after = list[0].at - 1
	}
	r.list = append(r.list, list...)
	if excess := len(r.list) - maxRecent; excess > 0 {
		forget := min(excess+maxRecent/2, len(r.list)-1)
		r.after = r.list[forget-1].at
		r.list = slices.Clone(r.list[forget:])
	}
}

// since is up to limit of those after a position; ok is false when the store has to be asked.
func (r *recent) since(after persistence.Position, limit int) (list []told, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == 0 || after < r.after {
		return nil, false
	}
	from, _ := slices.BinarySearchFunc(r.list, after+1, func(t told, at persistence.Position) int { return cmp.Compare(t.at, at) })
	return slices.Clone(r.list[from:min(len(r.list), from+limit)]), true
}
