// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// ErrAccepted: the event is accepted, and nothing speaks for judging it again.
var ErrAccepted = errors.New("event is accepted")

// atOnce is when an event is to be judged again that a crash may have left half done.
const atOnce int64 = 0

// JudgeAgain judges an event that was not accepted once more, by what is known now, and with it what rests on it or follows it. It
// gives the new verdict. It reads the whole room, which has to wait for it: some 30 s for a million events. ErrUnknownEvent;
// ErrAccepted.
func (e *Engine) JudgeAgain(ctx context.Context, id ident.EventID) (Verdict, error) {
	r, err := e.storedRecord(ctx, id)
	if err == nil {
		err = e.do(ctx, r.event.RoomID(), true, func(b *batch) error { return b.judgeOnDemand(id) })
	}
	if err != nil {
		return Verdict{}, fmt.Errorf("judge %s again: %w", id, err)
	}
	v, _, err := e.Verdict(ctx, id)
	return v, err
}

func (b *batch) judgeOnDemand(id ident.EventID) error {
	r, err := b.stored(id)
	if err != nil {
		return err
	}
	switch r.outcome {
	case Accepted:
		return ErrAccepted
	case Staged:
		return fmt.Errorf("nothing but its text is known yet: %w", ErrUnknownEvent)
	}
	return b.judgeAgainFrom("asked for", false, false, id)
}

// askAgain promises to judge events again, with what rests on them.
func (b *batch) askAgain(due int64, ids ...ident.EventID) {
	if b.asked == nil {
		b.asked = map[ident.EventID]int64{}
	}
	for _, id := range ids {
		b.asked[id] = due
	}
	b.head.again = true
}

// askIfTurned sees to those that rest on an event which was judged by its own auth events only, and now that its place in the
// graph is known is rejected, or no longer is. They wait a while: what turns them soon may turn them back.
func (b *batch) askIfTurned(was Outcome, own *record) {
	if was != Staged && (was == Rejected) != (own.outcome == Rejected) {
		b.askAgain(b.now.Add(rescueAfter).UnixMilli(), own.event.ID())
	}
}

// writeAgain stores the promises that the batch makes, and takes back those that it has kept.
func (b *batch) writeAgain(tx *persistence.Tx) error {
	if b.kept {
		if err := tx.JudgedAgain(b.head.nid); err != nil {
			return err
		}
	}
	for id, due := range b.asked {
		if err := tx.AskAgain(b.head.nid, id, due); err != nil {
			return err
		}
	}
	return nil
}

// wakeAgain has the room looked at when a promise is due.
func (b *batch) wakeAgain() {
	for _, due := range b.asked {
		b.e.wakeAt(b.id, time.UnixMilli(due))
	}
}

// keepPromises judges again what was promised, if it is due; done says that the batch was used for that.
func (b *batch) keepPromises() (done bool, err error) {
	if !b.head.again {
		return false, nil
	}
	var ids []ident.EventID
	var due int64
	err = b.e.store.View(b.ctx, func(tx *persistence.Tx) (err error) {
		ids, due, err = tx.AskedAgain(b.head.nid)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("list events to judge again: %w", err)
	}
	if at := time.UnixMilli(due); at.After(b.now) {
		b.e.wakeAt(b.id, at)
		return false, nil
	}
	if err := b.judgeAgainFrom("what it was judged by is otherwise now", due == atOnce, true, ids...); err != nil {
		return false, err
	}
	b.kept, b.head.again = true, false
	return true, b.commit()
}
