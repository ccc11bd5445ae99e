// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// aftermath is a destination after an attempt.
type aftermath struct {
	persistence.Destination
	parkedAt int64 // as in turn
	parked   []trace.TransactionParked
}

// record stores the outcome of an attempt, and what follows from it, in one job: after a crash either all of it is known or the
// attempt was not made.
func (t turn) record(ctx context.Context, txn persistence.SentTransaction, answer answer) (after aftermath, err error) {
	err = t.outbox.convoy.run(ctx, func(tx *persistence.Tx, _ *persistence.LogReader) (err error) {
		after = aftermath{Destination: t.stored, parkedAt: t.parkedAt}
		after.NotBefore = 0
		if answer.delivered {
			if err = t.delivered(tx, txn, answer, &after); err == nil {
				err = tx.SetDelivered(after.Destination, answer.attempt)
			}
			return err
		}
		if err = t.failed(tx, txn, answer, &after); err == nil {
			err = tx.SetDestination(after.Destination)
		}
		return err
	})
	if err != nil {
		return aftermath{}, fmt.Errorf("record attempt for %s: %w", t.stored.Server, err)
	}
	for _, event := range after.parked {
		t.outbox.trace.Emit(event)
	}
	return after, nil
}

func (t turn) delivered(tx *persistence.Tx, txn persistence.SentTransaction, answer answer, after *aftermath) error {
	now := time.Now().UnixMilli()
	if err := tx.RecordSuccess(txn, answer.attempt, now, answer.reply); err != nil {
		return err
	}
	after.Destination = afterDelivery(after.Destination, txn)
	after.Cursor, after.Failures, after.RetryAt, after.LastSuccess, after.FailingSince = txn.Through, 0, 0, now, 0
	if t.parkedAt != 0 {
		err := t.trust(tx, txn, now)
		if err == nil {
			after.parkedAt, err = t.nextParked(tx)
		}
		if err != nil {
			return err
		}
	}
	if txn.Ahead() {
		return tx.ForgetPresent(txn.Items...)
	}
	return nil
}

// trust takes note for what is parked that a transaction was taken: the room that it was of is no longer suspect, and if it held
// a parked item, all others may be taken now as well.
func (t turn) trust(tx *persistence.Tx, txn persistence.SentTransaction, now int64) error {
	name := t.stored.Server
	var item persistence.Outbound
	var err error
	switch {
	case txn.Parked != 0:
		var parked persistence.Parked
		parked, _, err = tx.ParkedItem(name, txn.Parked)
		item = parked.Outbound
		if err == nil {
			err = tx.Unpark(name, txn.Parked)
		}
		if err == nil {
			_, err = tx.RetryParked(name, now)
		}
	case len(txn.Items) > 0: // all of it is of one suspect room, or none is: see batch.take
		item, _, err = tx.OutboundItem(txn.Items[0])
	}
	if err != nil || item.RoomID == "" {
		return err
	}
	return tx.TrustRoom(name, item.RoomID)
}

func (t turn) failed(tx *persistence.Tx, txn persistence.SentTransaction, answer answer, after *aftermath) error {
	now, policy := time.Now(), t.outbox.policy
	if err := tx.RecordFailure(txn, answer.attempt); err != nil {
		return err
	}
	after.Cursor = max(after.Cursor, t.from)
	if after.Failures++; after.Failures == 1 {
		after.FailingSince = now.UnixMilli()
	}
	after.LastFailure, after.LastClass = now.UnixMilli(), answer.attempt.Class
	failure := answer.failure
	failure.streak = after.Failures
	if failure.asked > 0 {
		after.NotBefore = now.Add(min(failure.asked, policy.Max)).UnixMilli()
	}
	attempts, err := tx.Attempts(txn)
	if err != nil {
		return err
	}
	if after.Suspects > 0 && !after.Control { // it takes others: what counts is how often it refused this one
		failure.streak = min(after.Failures, answer.attempt.Number)
	}
	if refuses(attempts) && (implicates(answer.attempt) == 1 || answer.alive) {
		acted, err := t.refused(tx, txn, answer.attempt, after)
		if err != nil {
			return err
		}
		if acted {
			failure.streak = 1 // what comes next has not failed yet
		}
	}
	after.RetryAt = now.Add(policy.wait(failure, t.random)).UnixMilli()
	return nil
}

// refused takes the step that follows the refusal of a transaction; acted is false when that is to send it again.
func (t turn) refused(tx *persistence.Tx, txn persistence.SentTransaction, why persistence.Attempt, after *aftermath) (acted bool, err error) {
	items, refusedRoom, err := t.contents(tx, txn)
	if err != nil {
		return false, err
	}
	next, step := afterRefusal(after.Destination, txn, refusedRoom)
	if step == keep {
		return false, nil
	}
	open, err := tx.Withdraw(txn.Position, time.Now().UnixMilli())
	if err != nil || !open { // an operator has withdrawn it meanwhile
		return true, err
	}
	after.Destination = next
	switch step {
	case park:
		after.Cursor = max(after.Cursor, txn.Through)
		for _, item := range items {
			if err := t.park(tx, persistence.Parked{Outbound: item, Suspect: true}, why, after); err != nil {
				return true, err
			}
		}
		if err := tx.ForgetPresent(txn.Items...); err != nil {
			return true, err
		}
	case postpone:
		parked, found, err := tx.ParkedItem(t.stored.Server, txn.Parked)
		if err != nil {
			return true, err
		}
		if found {
			parked.Tries++
			if err := t.park(tx, parked, why, after); err != nil {
				return true, err
			}
		}
	}
	after.parkedAt, err = tx.NextParkedOf(t.stored.Server)
	return true, err
}

// contents gives the items of a transaction that are still in the log, and tells whether they are of one room that it refuses.
func (t turn) contents(tx *persistence.Tx, txn persistence.SentTransaction) (items []persistence.Outbound, refusedRoom bool, err error) {
	for _, position := range txn.Items {
		item, found, err := tx.OutboundItem(position)
		if err != nil {
			return nil, false, err
		}
		if found {
			items = append(items, item)
		}
	}
	if t.parkedAt == 0 || len(items) == 0 {
		return items, false, nil
	}
	rooms, err := tx.SuspectRooms(t.stored.Server)
	return items, err == nil && oneOf(rooms, items), err
}

// oneOf tells whether all items are of the same one of the rooms of which enough is parked.
func oneOf(suspects map[ident.RoomID]int, items []persistence.Outbound) bool {
	for _, item := range items {
		if item.RoomID != items[0].RoomID || suspects[item.RoomID] < refusedInARow {
			return false
		}
	}
	return true
}

// park sets an item aside, or keeps it there after another try.
func (t turn) park(tx *persistence.Tx, p persistence.Parked, why persistence.Attempt, after *aftermath) error {
	now := time.Now()
	p.Server, p.ParkedAt = t.stored.Server, now.UnixMilli()
	p.RetryAt = now.Add(parkedWait(p.Tries, t.random)).UnixMilli()
	p.Class, p.Status, p.Message = why.Class, why.Status, why.Message
	forgotten, err := tx.Park(p)
	if err != nil {
		return err
	}
	after.parked = append(after.parked, trace.TransactionParked{
		Destination: string(p.Server), Room: string(p.RoomID), Event: string(p.EventID), Class: p.Class, Status: p.Status,
		Message: p.Message, Forgotten: forgotten,
	})
	return nil
}
