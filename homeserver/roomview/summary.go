// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	memberType = "m.room.member"
	// maxHeroes is the spec's "first 5 members".
	maxHeroes = 5
	// countsKept is how many states' counts are remembered, some 100 bytes each.
	countsKept = 4096
	// maxForHeroes is how many members are looked through for heroes: a room of more has a name, or is called by those found so far.
	maxForHeroes = 1000
)

// Summary is what a room without a name is called by, and how many are in it (S-14).
type Summary struct {
	Joined, Invited int
	Heroes          []ident.UserID // nil where the room has a name or an alias
}

// countsByRoot remembers how many are joined and invited in a state. mu guards the maps; the older one goes when the newer is full.
type countsByRoot struct {
	mu         sync.Mutex
	young, old map[state.Root]Summary
	last       map[int64]state.Root // of each room, the state counted last
}

func newCounts() *countsByRoot {
	return &countsByRoot{young: map[state.Root]Summary{}, old: map[state.Root]Summary{}, last: map[int64]state.Root{}}
}

func (c *countsByRoot) get(root state.Root) (Summary, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.young[root]
	if !ok {
		s, ok = c.old[root]
	}
	return s, ok
}

func (c *countsByRoot) put(room int64, root state.Root, s Summary) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.young) >= countsKept {
		c.young, c.old = map[state.Root]Summary{}, c.young
		clear(c.last)
	}
	c.young[root], c.last[room] = s, root
}

func (c *countsByRoot) lastOf(room int64) state.Root {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last[room]
}

// Summary is that of a room in a state, for a user.
func (v *View) Summary(ctx context.Context, room int64, root state.Root, user ident.UserID) (Summary, error) {
	s, err := v.count(ctx, room, root)
	if err != nil {
		return Summary{}, fmt.Errorf("count members of room %d: %w", room, err)
	}
	named, err := v.isNamed(ctx, root)
	if err != nil || named {
		return s, err
	}
	s.Heroes, err = v.heroes(ctx, root, user)
	return s, err
}

// JoinedIn is how many are joined to a room in a state.
func (v *View) JoinedIn(ctx context.Context, room int64, root state.Root) (int, error) {
	s, err := v.count(ctx, room, root)
	return s.Joined, err
}

// count goes from the state of the room that was counted last, when it is remembered; its cost is then that of the difference.
func (v *View) count(ctx context.Context, room int64, root state.Root) (Summary, error) {
	if s, ok := v.counts.get(root); ok {
		return s, nil
	}
	from := v.counts.lastOf(room)
	s, _ := v.counts.get(from) // of the empty state there is nothing to remember
	changes, err := v.engine.StateChanges(ctx, from, root)
	if err != nil {
		return Summary{}, err
	}
	var ids []ident.EventID
	for _, c := range changes {
		if c.Key.Type == memberType {
			ids = append(ids, c.A, c.B)
		}
	}
	members, err := v.engine.PlacedAll(ctx, slices.DeleteFunc(ids, func(id ident.EventID) bool { return id == "" }))
	if err != nil {
		return Summary{}, err
	}
	for _, c := range changes {
		if c.Key.Type == memberType {
			s.add(members, c.A, -1)
			s.add(members, c.B, 1)
		}
	}
	v.counts.put(room, root, s)
	return s, nil
}

func (s *Summary) add(members map[ident.EventID]pdu.Placed, id ident.EventID, n int) {
	p, ok := members[id]
	if !ok {
		return
	}
	switch m, _ := p.Event.Membership(); m.Membership {
	case "join":
		s.Joined += n
	case "invite":
		s.Invited += n
	}
}

// isNamed says whether a room has a name or a canonical alias in a state.
func (v *View) isNamed(ctx context.Context, root state.Root) (bool, error) {
	for typ, field := range map[string]string{"m.room.name": "name", "m.room.canonical_alias": "alias"} {
		e, err := v.Slot(ctx, root, event.StateKey{Type: typ})
		if err != nil {
			return false, err
		}
		if e == nil {
			continue
		}
		if text, _ := e.Content().Get(field).Text(); text != "" {
			return true, nil
		}
	}
	return false, nil
}

// heroes is the first members of a room who are joined or invited, or if there are none, of those who were; never the user.
func (v *View) heroes(ctx context.Context, root state.Root, user ident.UserID) ([]ident.UserID, error) {
	var ids []ident.EventID
	err := v.engine.MembersOf(ctx, root, func(member ident.UserID, id ident.EventID) bool {
		if member != user {
			ids = append(ids, id)
		}
		return len(ids) < maxForHeroes
	})
	if err != nil {
		return nil, err
	}
	found, err := v.engine.PlacedAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	var here, gone []*event.Event
	for _, p := range found {
		switch m, _ := p.Event.Membership(); m.Membership {
		case "join", "invite":
			here = append(here, p.Event)
		case "leave", "ban":
			gone = append(gone, p.Event)
		}
	}
	if len(here) == 0 {
		here = gone
	}
	slices.SortFunc(here, func(x, y *event.Event) int {
		return cmp.Or(cmp.Compare(x.Depth(), y.Depth()), cmp.Compare(x.OriginServerTS(), y.OriginServerTS()), cmp.Compare(x.ID(), y.ID()))
	})
	heroes := []ident.UserID{}
	for _, e := range here[:min(len(here), maxHeroes)] {
		key, _ := e.StateKey()
		heroes = append(heroes, ident.UserID(key))
	}
	return heroes, nil
}
