// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// A room that was joined with members left out is partial: the state before the join, and so every state after it, lacks member
// events, until the whole is fetched (see completion.go). So is one of whose state something had to be left out for want of the key
// that it is signed with. Until then
//
//   - the members that an event names among its auth events count where the state has none: they pass for what they were when it
//     was made, and what has become of them since is found out when the event is judged again;
//   - no event soft-fails;
//   - the servers in the room are those that the resident named and those of members that are known, each until the end;
//   - what needs the whole state is not answered: the state at an event, and joins over us.
type partial struct {
	join  ident.EventID
	first int64            // no event that follows the join has a smaller number; 0 is the join's own
	via   ident.ServerName // who let us in
}

// Completion is how far the whole state of a partial room has been sought.
type Completion struct {
	Join     ident.EventID // the state before which is sought
	Attempts int
	RetryAt  int64  // ms
	Note     string // how the last attempt ended
}

// Completion says how the search for the whole state of a room stands; false when nothing is missing. ErrUnknownRoom.
func (e *Engine) Completion(ctx context.Context, id ident.RoomID) (c Completion, partial bool, err error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return Completion{}, false, err
	}
	err = e.store.View(ctx, func(tx *persistence.Tx) error {
		row, found, err := tx.Partial(head.nid)
		c, partial = Completion{Join: row.Join, Attempts: row.Attempts, RetryAt: row.RetryAt, Note: row.Note}, found
		return err
	})
	if err != nil {
		return Completion{}, false, fmt.Errorf("completion of %s: %w", id, err)
	}
	return c, partial, nil
}

// AdoptPartialRoom is AdoptRoom for an answer from which members were left out (M-10). servers is who was in the room before the
// join. The room can be used at once; its whole state is fetched in the background, however long that takes (M-12).
func (e *Engine) AdoptPartialRoom(ctx context.Context, version string, join *event.Event, state, authChain []*event.Event,
	via ident.ServerName, servers []ident.ServerName,
) error {
	return e.adoptRoom(ctx, version, join, state, authChain, via, &omission{servers})
}

// TakeHandedOver takes in an event of a room that we are in, which another server has got or made in a handshake, as if that one had
// sent it: it is staged when this returns, and judged when what it follows is known.
func (e *Engine) TakeHandedOver(ctx context.Context, to ident.ServerName, made *event.Event) error {
	i := &intake{e: e, origin: to, arrival: arrivedInTransaction, now: nowMS(), results: map[ident.EventID]string{}}
	err := i.take(ctx, made.JSON())
	if err == nil {
		err = i.check(ctx)
	}
	if err == nil {
		err = e.store.Update(ctx, i.stage)
	}
	if err == nil && i.results[made.ID()] != "" {
		err = errors.New(i.results[made.ID()])
	}
	if err != nil {
		return fmt.Errorf("take in %s, handed over to %s: %w", made.ID(), to, err)
	}
	return nil
}

// omission is what is told in place of the members.
type omission struct{ servers []ident.ServerName }

// beginPartial marks a room that was just adopted. Each server that was named counts one member more than are known, so that what
// becomes of those cannot take it off the list.
func (b *batch) beginPartial(join *event.Event, via ident.ServerName, o *omission) error {
	b.recount()
	b.head.partial = nil
	if o == nil {
		return nil
	}
	for _, name := range o.servers {
		if name != b.e.self {
			b.head.servers[name] = 1
			b.moved[name] = true
		}
	}
	b.head.servers[via] = 1
	b.moved[via] = true
	p := &partial{join: join.ID(), via: via}
	b.head.partial = p
	r, err := b.stored(p.join)
	if err != nil {
		return err
	}
	p.first = r.nid
	if b.head.nid == 0 {
		return nil
	}
	return b.e.store.View(b.ctx, func(tx *persistence.Tx) error {
		staged, any, err := tx.FirstStaged(b.head.nid)
		if any && (p.first == 0 || staged < p.first) {
			p.first = staged
		}
		return err
	})
}

// endPartial ends a stay in the room that was left before its state was whole, when it is joined again. The states of that stay lack
// members and are never completed, so that nothing may be built on them. Its events get their place back when history is fetched, or
// what follows them is sought.
func (b *batch) endPartial() error {
	if b.head.partial == nil {
		return nil
	}
	if err := b.displaceSince(b.head.partial); err != nil {
		return fmt.Errorf("end the stay that began with %s: %w", b.head.partial.join, err)
	}
	return nil
}

// recount has the members of all servers counted from the beginning.
func (b *batch) recount() {
	for name := range b.head.servers {
		b.moved[name] = true
	}
	b.head.servers, b.counted = map[ident.ServerName]int{}, state.Root{}
	b.housed, b.recounts = map[ident.UserID]bool{}, true
}

// writePartial stores whether the room is partial, if that has changed.
func (b *batch) writePartial(tx *persistence.Tx) error {
	var was *partial
	if b.was != nil {
		was = b.was.partial
	}
	now := b.head.partial
	switch {
	case was == now:
		return nil
	case now == nil:
		return tx.DropPartial(b.head.nid)
	}
	nid, err := b.nidOf(tx, now.join)
	if err != nil {
		return err
	}
	if now.first == 0 {
		now.first = nid
	}
	return tx.PutPartial(persistence.PartialRoom{Room: b.head.nid, Event: nid, First: now.first, Via: now.via})
}

func partialOf(tx *persistence.Tx, room int64) (*partial, error) {
	row, found, err := tx.Partial(room)
	if err != nil || !found {
		return nil, err
	}
	return &partial{join: row.Join, first: row.First, via: row.Via}, nil
}

// assume completes a state for the judgement of an event: in a partial room by the members that the event itself rests on.
func (b *batch) assume(e *event.Event, at *stateAt) auth.State {
	if b.head.partial == nil {
		return at
	}
	return &assumed{at, e}
}

type assumed struct {
	*stateAt
	event *event.Event
}

// Event implements auth.State.
func (s *assumed) Event(slot event.StateKey) *event.Event {
	found := s.stateAt.Event(slot)
	if found != nil || slot.Type != memberType || s.err != nil {
		return found
	}
	for _, id := range s.event.AuthEvents() {
		r, err := s.b.record(id)
		if err != nil {
			s.err = err
			return nil
		}
		if r != nil && r.event.IsState(slot) {
			return r.event
		}
	}
	return nil
}

// assumedMembers adds the member events among those that an event rests on to a state that lacks them.
func assumedMembers(known map[event.StateKey]ident.EventID, listed []*event.Event) (list []*event.Event) {
	for _, x := range listed {
		slot, _ := x.Slot()
		if _, has := known[slot]; slot.Type == memberType && !has {
			list = append(list, x)
		}
	}
	return list
}

// servesState is nil if the states of the room can be told to others.
func (r *room) servesState() error {
	if r.partial != nil {
		return notFound("this server does not know the whole state of the room yet")
	}
	return nil
}

// serversOf is a copy of a room's servers but one's own.
func serversOf(head *room, self ident.ServerName) map[ident.ServerName]int {
	servers := maps.Clone(head.servers)
	delete(servers, self)
	return servers
}
