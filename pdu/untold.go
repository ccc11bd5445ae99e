// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// A state that was given before an event, since what is between is not to be had, may say that a user of ours was removed, say. Who
// follows the room event by event would not hear of it: an event that is known as part of a state only is not delivered. So what it says
// anew of our own users is staged, as if it had been sent to us: it gets its place, on the state before it if need be, and is delivered.

// seekUntold stages what the current state says of our own users, and did not say before, and nobody was told. g is what was given.
func (b *batch) seekUntold(before state.Root, g *givenState) error {
	if b.head.partial != nil { // it is not known what was said before
		return nil
	}
	changes, err := state.Diff(b, before, b.head.current)
	if err != nil {
		return fmt.Errorf("compare states: %w", err)
	}
	for _, c := range changes {
		if c.Key.Type != memberType || c.B == "" || ident.UserID(c.Key.Key).Server() != b.e.self {
			continue
		}
		r, err := b.stored(c.B)
		if err != nil {
			return err
		}
		same, err := b.sameMembership(c.A, r.event)
		if err != nil {
			return err
		}
		if same || r.inGraph || r.position != 0 || r.outcome != Accepted || r.past == history {
			continue
		}
		own := b.change(r)
		own.past = followed
		b.untold = append(b.untold, untold{own, g.via})
	}
	return nil
}

// untold is an event that is to be delivered, and is known as part of a state only.
type untold struct {
	record *record
	via    ident.ServerName // who gave the state
}

// sameMembership says whether a member event gives the membership that another, "" for none, gave before.
func (b *batch) sameMembership(before ident.EventID, now *event.Event) (bool, error) {
	if before == "" {
		return false, nil
	}
	r, err := b.stored(before)
	if err != nil {
		return false, err
	}
	was, _ := r.event.Membership()
	is, _ := now.Membership()
	return was.Membership == is.Membership, nil
}

// stageUntold stores that they wait for their places.
func (b *batch) stageUntold(tx *persistence.Tx) error {
	for _, u := range b.untold {
		if _, staged, err := tx.StagedEvent(u.record.nid); err != nil {
			return err
		} else if staged {
			continue
		}
		err := tx.Stage(persistence.Staging{
			Event: u.record.nid, Room: b.head.nid, Origin: u.via, Arrival: int(arrivedAlone), ReceivedAt: b.now.UnixMilli(),
		})
		if err != nil {
			return err
		}
	}
	return nil
}
