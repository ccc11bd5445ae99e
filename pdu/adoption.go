// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// adoption is the state and auth chain that came with a join, verified on their own terms. It belongs to the goroutine that
// verifies, and is read-only after that.
type adoption struct {
	version  *event.Version
	join     *event.Event
	create   ident.EventID
	given    map[ident.EventID]*event.Event // what has its signatures
	state    map[event.StateKey]ident.EventID
	outcomes map[ident.EventID]Outcome // Accepted or Rejected, of those whose auth events are all there
	order    []*event.Event            // those, each after its auth events
	verdicts []Verdict                 // of the others, and of the rejected
}

// verifyAdoption checks the answer to a join (M-17, P-91). Of the chain only that counts on which the state or the join rests: what
// is adopted is taken to be before the join, and a resident must not say that of whatever it likes.
func (e *Engine) verifyAdoption(ctx context.Context, version string, join *event.Event, state, chain []*event.Event,
	via ident.ServerName,
) (*adoption, error) {
	v, ok := event.VersionOf(version)
	if !ok || join.Version() != v {
		return nil, fmt.Errorf("room version %q is not that of the join", version)
	}
	a := &adoption{
		version: v, join: join, given: map[ident.EventID]*event.Event{},
		state: map[event.StateKey]ident.EventID{}, outcomes: map[ident.EventID]Outcome{},
	}
	if err := a.gather(state, chain); err != nil {
		return nil, err
	}
	if err := a.verifySignatures(ctx, keyring{source: e.keys, notary: via}); err != nil {
		return nil, err
	}
	for _, v := range a.verdicts {
		e.trace.Emit(trace.PDUReceived{
			Room: string(join.RoomID()), Event: string(v.Event), Origin: string(via), Arrival: "join", Problem: v.Checks[0].Detail,
		})
	}
	for _, x := range state {
		a.judge(x.ID())
	}
	for _, id := range join.AuthEvents() {
		a.judge(id)
	}
	a.settle()
	return a, a.judgeJoin(e.self)
}

// gather refuses what is no state of this room at all.
func (a *adoption) gather(state, chain []*event.Event) error {
	for _, x := range slices.Concat(state, chain) {
		if x.RoomID() != a.join.RoomID() || x.Version() != a.version {
			return fmt.Errorf("event %s is of room %s", x.ID(), x.RoomID())
		}
		a.given[x.ID()] = x
	}
	for _, x := range state {
		slot, isState := x.Slot()
		if !isState {
			return fmt.Errorf("event %s in the state is no state event", x.ID())
		}
		if other, taken := a.state[slot]; taken && other != x.ID() {
			return fmt.Errorf("the state has two events for (%s, %q): %s and %s", slot.Type, slot.Key, other, x.ID())
		}
		a.state[slot] = x.ID()
	}
	a.create = a.state[createSlot]
	if a.create == "" {
		return errors.New("the state has no create event")
	}
	return nil
}

// verifySignatures leaves out what is badly signed. The join itself must be well signed, and the resident's own keys to be had: if
// it went away before we could ask, it told us nobody else's keys either, and another may know more.
func (a *adoption) verifySignatures(ctx context.Context, source keyring) error {
	events := make([]*event.Event, 0, len(a.given)+1)
	for _, x := range a.given {
		events = append(events, x)
	}
	faults := event.VerifySignatures(ctx, append(events, a.join), source)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := keysOf(source.notary, events, faults); err != nil {
		return err
	}
	for i, x := range events {
		if faults[i] != nil {
			delete(a.given, x.ID())
			a.drop(x, Check{ID: "P-26", Rule: "P-15", Detail: faults[i].Error()})
		}
	}
	if err := faults[len(events)]; err != nil {
		return fmt.Errorf("the join: %w", err)
	}
	return nil
}

// keysOf is an error if no key of the server that signed any of its events could be had.
func keysOf(server ident.ServerName, events []*event.Event, faults []error) (missing error) {
	for i, x := range events {
		if x.Sender().Server() != server {
			continue
		}
		if !errors.Is(faults[i], event.ErrNoKey) {
			return nil
		}
		missing = fmt.Errorf("the resident's own events: %w", faults[i])
	}
	return missing
}

func (a *adoption) drop(x *event.Event, why Check) {
	a.verdicts = append(a.verdicts, Verdict{Event: x.ID(), Outcome: Dropped, Checks: []Check{why}})
}

// judge checks an event against its auth events, which are judged before it. Chains may be long, so it does not recur.
func (a *adoption) judge(id ident.EventID) {
	for pending := []ident.EventID{id}; len(pending) > 0; {
		next := pending[len(pending)-1]
		x, given := a.given[next]
		if _, seen := a.outcomes[next]; given && !seen {
			a.outcomes[next] = Staged // stays so if an auth event is missing, or rests on this one
			pending = append(pending, a.unseen(x.AuthEvents())...)
			continue
		}
		pending = pending[:len(pending)-1]
		if given && a.outcomes[next] == Staged {
			a.decide(x)
		}
	}
}

func (a *adoption) unseen(ids []ident.EventID) (list []ident.EventID) {
	for _, id := range ids {
		if _, seen := a.outcomes[id]; !seen && a.given[id] != nil {
			list = append(list, id)
		}
	}
	return list
}

// decide judges an event if its auth events are.
func (a *adoption) decide(x *event.Event) {
	listed := make([]*event.Event, 0, len(x.AuthEvents())+1)
	for _, id := range x.AuthEvents() {
		if a.outcomes[id] == Staged {
			return
		}
		listed = append(listed, a.given[id])
	}
	result := a.check(x, listed)
	outcome := Accepted
	if !result.OK {
		outcome = Rejected
		a.verdicts = append(a.verdicts, Verdict{Event: x.ID(), Outcome: Rejected, Checks: []Check{checkOf("P-27", result)}})
	}
	a.outcomes[x.ID()] = outcome
	a.order = append(a.order, x)
}

func (a *adoption) check(x *event.Event, listed []*event.Event) auth.Result {
	if x.IsState(createSlot) && x.ID() != a.create {
		return auth.Result{Rule: "P-40", Detail: "the room has been created by " + string(a.create)}
	}
	result := auth.CheckAuthEvents(x, listed, func(id ident.EventID) bool { return a.outcomes[id] == Rejected })
	if !result.OK {
		return result
	}
	if a.version.HashRoomID {
		if create := a.given[a.create]; create != nil {
			listed = append(listed, create)
		}
	}
	return auth.Check(x, auth.StateOf(listed))
}

// settle takes out of the state what was not accepted, and records what could not be judged.
func (a *adoption) settle() {
	for id, outcome := range a.outcomes {
		if outcome == Staged {
			a.drop(a.given[id], Check{ID: "P-27", Rule: "P-41", Detail: "an event that it rests on was not given, or is badly signed"})
		}
	}
	for slot, id := range a.state {
		if a.outcomes[id] != Accepted {
			delete(a.state, slot)
		}
	}
}

// judgeJoin checks our own join against its auth events and against the state.
func (a *adoption) judgeJoin(self ident.ServerName) error {
	if a.outcomes[a.create] != Accepted {
		return fmt.Errorf("the create event %s is not valid", a.create)
	}
	if name := roomVersionOf(a.given[a.create]); name != a.version.ID {
		return fmt.Errorf("the create event says that the room version is %.40q, not %s", name, a.version.ID)
	}
	member, isMember := a.join.Membership()
	key, _ := a.join.StateKey()
	if !isMember || member.Membership != "join" || ident.UserID(key).Server() != self {
		return errors.New("the event is no join of a user of this server")
	}
	listed := make([]*event.Event, 0, len(a.join.AuthEvents()))
	for _, id := range a.join.AuthEvents() {
		if outcome := a.outcomes[id]; outcome != Accepted && outcome != Rejected {
			return fmt.Errorf("the join rests on %s, which was not given, or is not valid", id)
		}
		listed = append(listed, a.given[id])
	}
	if result := a.check(a.join, listed); !result.OK {
		return fmt.Errorf("the join is not allowed by its auth events: %s (%s)", result.Detail, result.Rule)
	}
	state := make([]*event.Event, 0, len(a.state))
	for _, id := range a.state {
		state = append(state, a.given[id])
	}
	if result := auth.Check(a.join, auth.StateOf(state)); !result.OK {
		return fmt.Errorf("the join is not allowed by the state: %s (%s)", result.Detail, result.Rule)
	}
	return nil
}

// roomVersionOf is the version that a create event sets; without one it is "1".
func roomVersionOf(create *event.Event) string {
	if !create.Content().Has("room_version") {
		return "1"
	}
	name, _ := create.Content().Get("room_version").Text()
	return name
}
