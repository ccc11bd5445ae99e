// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// adoption is the state that came with a join of ours, verified.
type adoption struct {
	*givenState
	join    *event.Event
	partial bool // members are left out
}

// verifyAdoption checks the answer to a join (M-17, P-91). Of the chain only that counts on which the state or the join rests: what
// is adopted is taken to be before the join, and a resident must not say that of whatever it likes.
func (e *Engine) verifyAdoption(ctx context.Context, version string, join *event.Event, state, chain []*event.Event,
	via ident.ServerName, partial bool,
) (*adoption, error) {
	v, ok := event.VersionOf(version)
	if !ok || join.Version() != v {
		return nil, fmt.Errorf("room version %q is not that of the join", version)
	}
	a := &adoption{givenState: newGivenState(v, join.RoomID(), via, nil), join: join, partial: partial}
	a.history = true
	if err := a.gather(state, chain); err != nil {
		return nil, err
	}
	if err := a.verifySignatures(ctx, keyring{source: e.keys, notary: via}); err != nil {
		return nil, err
	}
	a.traceDropped(e.trace, "join")
	a.judgeAll(join.AuthEvents()...)
	if err := a.judgeJoin(e.self); err != nil {
		return nil, err
	}
	a.addPredecessor()
	return a, nil
}

// addPredecessor puts what the user was before their join, an invitation say, in a state that lacks members: the join rests on it.
func (a *adoption) addPredecessor() {
	slot, _ := a.join.Slot()
	if _, has := a.state[slot]; has || !a.partial {
		return
	}
	for _, id := range a.join.AuthEvents() {
		if x := a.given[id]; x.IsState(slot) && a.outcomes[id] == Accepted {
			a.state[slot] = id
		}
	}
}

// verifySignatures leaves out what is badly signed. The join itself must be well signed, and the resident's own keys to be had: if
// it went away before we could ask, it told us nobody else's keys either, and another may know more.
func (a *adoption) verifySignatures(ctx context.Context, source keyring) error {
	events := a.unverified()
	faults := event.VerifySignatures(ctx, append(events, a.join), source)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := keysOf(source.notary, events, faults); err != nil {
		return err
	}
	a.leaveOut(events, faults)
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
	if a.partial {
		state = assumedMembers(a.state, listed)
	}
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
