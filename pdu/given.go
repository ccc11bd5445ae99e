// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// givenState is a state with its auth chain as another server gave it, verified on its own terms (P-91). It belongs to the
// goroutine that verifies, and is read-only after that.
type givenState struct {
	version  *event.Version
	room     ident.RoomID
	via      ident.ServerName // who gave it
	create   ident.EventID
	here     map[ident.EventID]*record      // of the events, those that were stored before: their signatures are good
	given    map[ident.EventID]*event.Event // what has its signatures
	state    map[event.StateKey]ident.EventID
	outcomes map[ident.EventID]Outcome // Accepted or Rejected, of those whose auth events are all there
	order    []*event.Event            // those that were judged here and now, each after its auth events
	verdicts []Verdict                 // of the others, and of the rejected
	history  bool                      // its events are from before a join of ours
	strict   bool                      // it is refused when the key of an event of it is not to be had now
	unkeyed  int                       // events that were left out because the key that they are signed with is not to be had
}

func newGivenState(version *event.Version, id ident.RoomID, via ident.ServerName, here map[ident.EventID]*record) *givenState {
	return &givenState{
		version: version, room: id, via: via, here: here, given: map[ident.EventID]*event.Event{},
		state: map[event.StateKey]ident.EventID{}, outcomes: map[ident.EventID]Outcome{},
	}
}

// gather refuses what is no state of this room at all. What was judged here before keeps its outcome.
func (g *givenState) gather(events, chain []*event.Event) error {
	for _, x := range slices.Concat(events, chain) {
		if x.RoomID() != g.room || x.Version() != g.version {
			return fmt.Errorf("event %s is of room %s", x.ID(), x.RoomID())
		}
		g.given[x.ID()] = x
		if r := g.here[x.ID()]; r != nil && r.known() {
			g.outcomes[x.ID()] = Accepted // also what has soft-failed: others may rest on it (P-33)
			if r.outcome == Rejected {
				g.outcomes[x.ID()] = Rejected
			}
		}
	}
	for _, x := range events {
		slot, isState := x.Slot()
		if !isState {
			return fmt.Errorf("event %s in the state is no state event", x.ID())
		}
		if other, taken := g.state[slot]; taken && other != x.ID() {
			return fmt.Errorf("the state has two events for (%s, %q): %s and %s", slot.Type, slot.Key, other, x.ID())
		}
		g.state[slot] = x.ID()
	}
	g.create = g.state[createSlot]
	if g.create == "" {
		return errors.New("the state has no create event")
	}
	return nil
}

// unverified is the events whose signatures nobody has checked here.
func (g *givenState) unverified() (list []*event.Event) {
	for id, x := range g.given {
		if g.here[id] == nil {
			list = append(list, x)
		}
	}
	return list
}

// verifySignatures leaves out what is badly signed.
func (g *givenState) verifySignatures(ctx context.Context, source keyring) error {
	events := g.unverified()
	faults := event.VerifySignatures(ctx, events, source)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for i, fault := range faults {
		if g.strict && errors.Is(fault, event.ErrNoKey) {
			return fmt.Errorf("its event %s: %w", events[i].ID(), fault)
		}
	}
	g.leaveOut(events, faults)
	return nil
}

func (g *givenState) leaveOut(events []*event.Event, faults []error) {
	for i, x := range events {
		if faults[i] != nil {
			delete(g.given, x.ID())
			g.drop(x, Check{ID: "P-26", Rule: "P-15", Detail: faults[i].Error()})
			if errors.Is(faults[i], event.ErrNoKey) {
				g.unkeyed++
			}
		}
	}
}

func (g *givenState) drop(x *event.Event, why Check) {
	g.verdicts = append(g.verdicts, Verdict{Event: x.ID(), Outcome: Dropped, Checks: []Check{why}})
}

// traceDropped tells what was left out, as of the arrival that it was given with.
func (g *givenState) traceDropped(sink trace.Sink, how string) {
	for _, v := range g.verdicts {
		sink.Emit(trace.PDUReceived{
			Room: string(g.room), Event: string(v.Event), Origin: string(g.via), Arrival: how, Problem: v.Checks[0].Detail,
		})
	}
}

// judgeAll judges the state with all that it rests on, and takes out of it what was not accepted.
func (g *givenState) judgeAll(also ...ident.EventID) {
	for _, id := range g.state {
		g.judge(id)
	}
	for _, id := range also {
		g.judge(id)
	}
	g.settle()
}

// judge checks an event against its auth events, which are judged before it. Chains may be long, so it does not recur.
func (g *givenState) judge(id ident.EventID) {
	for pending := []ident.EventID{id}; len(pending) > 0; {
		next := pending[len(pending)-1]
		x, given := g.given[next]
		if _, seen := g.outcomes[next]; given && !seen {
			g.outcomes[next] = Staged // stays so if an auth event is missing, or rests on this one
			pending = append(pending, g.unseen(x.AuthEvents())...)
			continue
		}
		pending = pending[:len(pending)-1]
		if given && g.outcomes[next] == Staged {
			g.decide(x)
		}
	}
}

func (g *givenState) unseen(ids []ident.EventID) (list []ident.EventID) {
	for _, id := range ids {
		if _, seen := g.outcomes[id]; !seen && g.given[id] != nil {
			list = append(list, id)
		}
	}
	return list
}

// decide judges an event if its auth events are.
func (g *givenState) decide(x *event.Event) {
	listed := make([]*event.Event, 0, len(x.AuthEvents())+1)
	for _, id := range x.AuthEvents() {
		if g.outcomes[id] == Staged {
			return
		}
		listed = append(listed, g.given[id])
	}
	result := g.check(x, listed)
	outcome := Accepted
	if !result.OK {
		outcome = Rejected
		check := checkOf("P-27", result)
		check.Inputs = x.AuthEvents()
		rejected := func(id ident.EventID) bool { return g.outcomes[id] == Rejected }
		g.verdicts = append(g.verdicts, Verdict{
			Event: x.ID(), Outcome: Rejected, Checks: []Check{check}, Causes: rejectedOf(x, rejected),
		})
	}
	g.outcomes[x.ID()] = outcome
	g.order = append(g.order, x)
}

func (g *givenState) check(x *event.Event, listed []*event.Event) auth.Result {
	if x.IsState(createSlot) && x.ID() != g.create {
		return auth.Result{Rule: "P-40", Detail: "the room has been created by " + string(g.create)}
	}
	result := auth.CheckAuthEvents(x, listed, func(id ident.EventID) bool { return g.outcomes[id] == Rejected })
	if !result.OK {
		return result
	}
	if g.version.HashRoomID {
		if create := g.given[g.create]; create != nil {
			listed = append(listed, create)
		}
	}
	return auth.Check(x, auth.StateOf(listed))
}

// settle takes out of the state what was not accepted, and records what could not be judged.
func (g *givenState) settle() {
	for id, outcome := range g.outcomes {
		if outcome == Staged {
			g.drop(g.given[id], Check{ID: "P-27", Rule: "P-41", Detail: "an event that it rests on was not given, or is badly signed"})
		}
	}
	for slot, id := range g.state {
		if g.outcomes[id] != Accepted {
			delete(g.state, slot)
		}
	}
}

// adoptGiven stores the events of a verified state as outliers, and gives the state.
func (b *batch) adoptGiven(g *givenState) (state.Root, error) {
	if b.head.create != "" && b.head.create != g.create {
		return state.Root{}, fmt.Errorf("the create event of the room is %s, not %s", b.head.create, g.create)
	}
	sent, err := b.sentAmong(g)
	if err != nil {
		return state.Root{}, err
	}
	for _, x := range g.order {
		stands := live
		if g.history {
			stands = history
		}
		if sent[x.ID()] {
			stands = followed
		}
		if err := b.adoptOutlier(x, g.outcomes[x.ID()], stands); err != nil {
			return state.Root{}, err
		}
	}
	b.from = came{g.via, arrivedWithState}
	if g.history {
		b.from.how = arrivedWithJoin
	}
	for _, v := range g.verdicts {
		v.Via = b.from.how
		v.Origin, v.Room, v.ReceivedAt, v.JudgedAt = g.via, b.id, b.now.UnixMilli(), b.now.UnixMilli()
		if r, err := b.record(v.Event); err != nil {
			return state.Root{}, err
		} else if r == nil || b.fresh[v.Event] != nil && v.Outcome == Rejected {
			b.settled[v.Event] = judged{verdict: v}
		}
	}
	accepted := maps.Clone(g.state)
	for slot, id := range accepted {
		if r, _ := b.have(id); r != nil && r.outcome == Rejected {
			delete(accepted, slot) // it was judged here meanwhile
		}
	}
	root, nodes := state.Build(accepted)
	b.addNodes(nodes)
	return root, nil
}

// sentAmong is those events of a given state that wait for their place in the graph, since they were sent to us or lead to one that was:
// they are to be judged and delivered, whatever state they are in elsewhere.
func (b *batch) sentAmong(g *givenState) (sent map[ident.EventID]bool, err error) {
	if err := b.load(idsOf(g.order)); err != nil || !g.history {
		return nil, err
	}
	sent = map[ident.EventID]bool{}
	for chunk := range slices.Chunk(g.order, loadChunk) {
		err := b.e.store.View(b.ctx, func(tx *persistence.Tx) error {
			for _, x := range chunk {
				r, _ := b.have(x.ID())
				if r == nil || r.nid == 0 || r.inGraph || r.past != live {
					continue
				}
				s, staged, err := tx.StagedEvent(r.nid)
				if err != nil {
					return err
				}
				sent[x.ID()] = staged && Arrival(s.Arrival) != arrivedAsAuthEvent
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look for staged events: %w", err)
		}
	}
	return sent, nil
}

// adoptOutlier stores an event of a state or auth chain. What is known keeps the outcome that it has.
func (b *batch) adoptOutlier(x *event.Event, outcome Outcome, stands past) error {
	r, err := b.record(x.ID())
	if err != nil {
		return err
	}
	if r == nil {
		r = &record{event: x, redacted: x.HashMismatch()}
	}
	b.restore(r, x)
	if r.inGraph || r.known() && r.past >= stands {
		return nil
	}
	own := b.change(r)
	own.past = max(own.past, stands)
	if !r.known() {
		own.outcome = outcome
		b.cite(own)
	}
	return nil
}
