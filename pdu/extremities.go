// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// Every forward extremity makes each resolution of the room dearer, and a server that wants to can make as many as it likes. Two
// things keep them in check.
//
//	more than mergeAbove ──► wait, a random time ──► still? ──► a user of ours sends an event that merges the deepest
//	                             ▲                     │ yes           │
//	                             └─────────────────────┴───────────────┘
//	maxExtremities ──► what follows none of them becomes none
//
// Each server of the room may merge: the time is random so that one does, and the others find that it has been done.
//
// Of too many extremities those stay that were there first. To prefer the deepest, or the newest, would let a server push out the
// honest ones, and with them the state of the room, since depth and time are what it says they are. An honest event follows
// an extremity and takes its place, whatever the number. One that does not is in the graph, is delivered, and counts for the current
// state as soon as another follows both it and an extremity.

// mergeType is the type of an event that has nothing to say. Synapse's, so that clients that know it show nothing.
const mergeType = "org.matrix.dummy_event"

// addExtremity adds an event that supersedes those which were taken away already.
func (b *batch) addExtremity(extremities []*extremity, r *record, follows bool) []*extremity {
	if !follows && len(extremities) >= maxExtremities {
		return extremities
	}
	return append(extremities, extremityOf(r))
}

// mergeLater has a room's extremities merged if there are too many of them.
func (e *Engine) mergeLater(head *room) {
	if len(head.extremities) <= mergeAbove || head.membership != Joined {
		return
	}
	now := time.Now()
	e.appointOnce(appointment{head.id, merge}, now.Add(mergeDelay(len(head.extremities), e.jitter.Share(string(head.id), now))))
}

// mergeDelay is how long a room waits for its next merge, for a random number below 1. Where there are so many extremities that new
// ones may be left out it is short.
func mergeDelay(extremities int, random float64) time.Duration {
	wait := mergeWait
	if extremities > maxExtremities/2 {
		wait = mergeWaitUrgent
	}
	return wait + time.Duration(random*float64(mergeSpread)*float64(wait))
}

// merge sends one event that merges, if that is still needed.
func (e *Engine) merge(id ident.RoomID) {
	ctx, cancel := context.WithTimeout(e.stopped, mergeTimeout)
	defer cancel()
	err := e.sendMerge(ctx, id)
	if e.stopped.Err() != nil || errors.Is(err, persistence.ErrClosed) {
		return
	}
	head, readErr := e.readHead(ctx, id, false)
	switch {
	case errors.Is(err, errNobodyMerges):
		e.appointOnce(appointment{id, merge}, time.Now().Add(mergeRest))
		return
	case err != nil:
		e.trace.Emit(trace.PDURoomFailed{Room: string(id), Err: err})
	}
	if readErr == nil && head != nil {
		e.mergeLater(head)
	}
}

// errNobodyMerges: none of our users who were tried may send, or the room's policy server does not let them.
var errNobodyMerges = errors.New("no user of this server may send")

func (e *Engine) sendMerge(ctx context.Context, id ident.RoomID) error {
	head, err := e.readHead(ctx, id, false)
	if err != nil || head == nil || head.membership != Joined || len(head.extremities) <= mergeAbove {
		return err
	}
	users, err := e.senders(ctx, head)
	if err != nil {
		return err
	}
	for _, user := range users {
		_, err := e.Send(ctx, id, Draft{Type: mergeType, Content: []byte(`{}`), Sender: user})
		var refused *NotAllowed
		var unsigned *PolicyError
		if !errors.As(err, &refused) && !errors.As(err, &unsigned) {
			return err
		}
	}
	return errNobodyMerges
}

// senders is a few joined users of ours, those before whom the power levels name.
func (e *Engine) senders(ctx context.Context, head *room) ([]ident.UserID, error) {
	var powerful, others []ident.UserID
	nodes := storedNodes{ctx, e}
	named := map[ident.UserID]bool{}
	id, found, err := state.Get(nodes, head.current, event.StateKey{Type: "m.room.power_levels"})
	if err != nil {
		return nil, err
	}
	if found {
		r, err := e.storedRecord(ctx, id)
		if err != nil {
			return nil, err
		}
		for user := range r.event.Content().Get("users").Members() {
			named[ident.UserID(user)] = ident.UserID(user).Server() == e.self
		}
	}
	var failure error
	err = state.ScanType(nodes, head.current, memberType, func(key string, id ident.EventID) bool {
		user := ident.UserID(key)
		if user.Server() != e.self || len(others) >= maxSenders && !named[user] {
			return true
		}
		r, err := e.storedRecord(ctx, id)
		if err != nil {
			failure = err
			return false
		}
		if !isJoin(r.event) {
			return true
		}
		if named[user] {
			powerful = append(powerful, user)
		} else {
			others = append(others, user)
		}
		return len(powerful) < maxSenders
	})
	users := slices.Concat(powerful, others)
	return users[:min(len(users), maxSenders)], errors.Join(err, failure)
}
