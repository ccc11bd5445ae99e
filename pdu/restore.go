// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/policy"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// A further copy of an event may say more than the one that is stored: it is whole where the content hash of the first one did not
// match (P-15), or a policy server has signed it since (P-30). Whoever tampers with an event and comes first does not have the last
// word. A copy that may be worth it is kept, in the job that keeps the reply, until its room has its turn.
//
//	copy of a known event ──worth it?──► kept ──room's turn──► content hash matches ──► whole text, told anew
//	                                                     └───► policy server's signature is good ──► judged again

// keepCopy keeps a copy of an event that is stored already, if it may say more.
func (i *intake) keepCopy(tx *persistence.Tx, in *incoming) (kept bool, err error) {
	outcome, reduced, err := tx.EventStanding(in.event.ID())
	if err != nil {
		return false, err
	}
	if !(reduced && !in.event.HashMismatch()) && !(Outcome(outcome) == SoftFailed && signedForPolicy(in.event)) {
		return false, nil
	}
	return true, tx.KeepCopy(in.room.nid, in.event.ID(), in.event.JSON(), maxCopies)
}

// keepCopies keeps those of the events that are whole where the ones that are known are not.
func (e *Engine) keepCopies(ctx context.Context, head *room, events map[ident.EventID]*event.Event, known map[ident.EventID]*record) error {
	whole := func(id ident.EventID) bool {
		return known[id].reduced() && events[id] != nil && !events[id].HashMismatch()
	}
	kept := false
	for id := range known {
		kept = kept || whole(id)
	}
	if !kept {
		return nil
	}
	err := e.store.Update(ctx, func(tx *persistence.Tx) error {
		for id := range known {
			if !whole(id) {
				continue
			}
			if err := tx.KeepCopy(head.nid, id, events[id].JSON(), maxCopies); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep copies of events: %w", err)
	}
	e.wake(head.id)
	return nil
}

// reduced says that no more is here of the event than redaction leaves, for no other reason than that its content hash did not match.
func (r *record) reduced() bool { return r.redacted && r.by == "" }

// signedForPolicy says that an event has a signature of a policy server, good or bad.
func signedForPolicy(x *event.Event) bool {
	for _, keys := range x.Signatures().Members() {
		if keys.Has(string(policy.KeyID)) {
			return true
		}
	}
	return false
}

// takeCopies makes use of the copies that are kept of the room's events; done says that the batch was used for that.
func (b *batch) takeCopies() (done bool, err error) {
	var copies []persistence.Copy
	err = b.e.store.View(b.ctx, func(tx *persistence.Tx) (err error) {
		copies, err = tx.Copies(b.head.nid, maxJudged)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("list copies of events: %w", err)
	}
	for _, c := range copies {
		if err := b.takeCopy(c); err != nil {
			return false, fmt.Errorf("take a copy of %s: %w", c.Event, err)
		}
		b.copies = append(b.copies, c.NID)
	}
	if len(copies) == 0 {
		return false, nil
	}
	return true, b.commit()
}

func (b *batch) takeCopy(c persistence.Copy) error {
	r, err := b.record(c.Event)
	if err != nil || r == nil { // it was given up meanwhile
		return err
	}
	x, err := event.ParseBackfilled(b.head.version, c.JSON)
	if err != nil || x.ID() != c.Event {
		return nil
	}
	b.restore(r, x)
	return b.takeSignature(x)
}

// restore replaces what redaction leaves of an event by a copy that is whole. The rules look at what redaction takes in few places, so
// what has been accepted stays so; only what others rest on, and what was refused, is judged again.
func (b *batch) restore(r *record, x *event.Event) {
	if !r.reduced() {
		return
	}
	whole, err := r.event.Restored(x)
	if err != nil {
		return // the copy is no better
	}
	own := b.change(r)
	own.event, own.rewritten, own.redacted = whole, true, false
	b.replaceExtremity(own)
	b.restored[x.ID()] = true
	if _, isState := x.Slot(); own.known() && (isState || own.outcome != Accepted) {
		b.askAgain(b.now.Add(rescueAfter).UnixMilli(), x.ID())
	}
}

// writeRestored stores that an event is whole now. One that was delivered, at a position before this turn, is told anew.
func (b *batch) writeRestored(tx *persistence.Tx, r *record, delivered bool) (err error) {
	id := r.event.ID()
	if !b.restored[id] {
		return nil
	}
	var at persistence.Position
	if delivered && r.outcome == Accepted {
		if at, err = tx.NextPosition(); err != nil {
			return err
		}
		b.told = append(b.told, told{at, b.id, id, true})
	}
	tx.AfterCommit(func() {
		b.e.trace.Emit(trace.PDURestored{Room: string(b.id), Event: string(id), Position: int64(at)})
	})
	if err := tx.RestoreEvent(r.nid, at); err != nil {
		return err
	}
	row, found, err := tx.Verdict(id)
	if _, anew := b.settled[id]; err != nil || !found || anew {
		return err
	}
	v, err := VerdictOf(row)
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(v.Checks, func(c Check) bool { return c.ID == "P-26" }); i >= 0 {
		v.Checks[i] = restoredCheck(b.now)
	}
	checks, err := json.Marshal(v.Checks)
	if err != nil {
		return errors.Join(fmt.Errorf("encode checks on %s", id), err)
	}
	return tx.AmendVerdict(id, checks)
}

func restoredCheck(now time.Time) Check {
	return Check{
		ID: "P-26", OK: true, Rule: "P-15", Detail: "the content hash of the first copy did not match; one whose hash is good took its place at " +
			now.UTC().Format(time.RFC3339),
	}
}
