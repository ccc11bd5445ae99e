// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"sync"

	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxKnown is of how many users the memberships are remembered: some 30 KB for one in 300 rooms.
const maxKnown = 1000

// memberships remembers how users stand to rooms. A batch of the feed makes it forget those of whom it tells, before anyone asks for
// what it tells. mu guards all of it; generation goes up with each forgetting, so that what was read before is not put in after.
type memberships struct {
	mu         sync.Mutex
	generation int
	users      map[ident.UserID][]Membership
}

func newMemberships() *memberships { return &memberships{users: map[ident.UserID][]Membership{}} }

// get gives what is remembered of a user, never to be written to, or the generation for putting in what is read now.
func (k *memberships) get(user ident.UserID) (rows []Membership, generation int, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	rows, ok = k.users[user]
	return rows, k.generation, ok
}

func (k *memberships) put(user ident.UserID, rows []Membership, generation int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.generation != generation {
		return
	}
	if len(k.users) >= maxKnown {
		clear(k.users)
	}
	k.users[user] = rows
}

// forget forgets those whose memberships a batch changes.
func (k *memberships) forget(batch stream.Batch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	drop := func(user ident.UserID) {
		delete(k.users, user)
		k.generation++
	}
	for _, c := range batch.Changes {
		for _, m := range c.Members {
			drop(m.User)
		}
		if c.Kind == stream.Invite || c.Kind == stream.Knock || c.Kind == stream.Forgotten {
			drop(c.User)
		}
	}
}
