// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Waiting is a quarantined event with what is done about what it misses.
type Waiting struct {
	Event      ident.EventID
	Origin     ident.ServerName // who handed it to us
	Arrival    string
	ReceivedAt time.Time
	Missing    []ident.EventID
	Attempts   int // searches that were in vain
	NextTry    time.Time
	Note       string // how the last search ended
	Requests   int    // to other servers, for its sake
	Bytes      int64  // of their answers
	Spent      time.Duration
	Asked      []Asked // whom, the last one first
}

// Asked is how the last question to a server ended.
type Asked struct {
	Server ident.ServerName
	At     time.Time
	Result string
}

// SearchBudget is what searches for a room's missing events have spent in the present period, and may spend (P-93).
type SearchBudget struct {
	Until       time.Time // the end of the period; zero when nothing was ever spent
	Requests    int
	MaxRequests int
	Bytes       int64
	MaxBytes    int64
	Spent       time.Duration
}

// Quarantine lists up to limit quarantined events of a room, those that are due first, with the room's budget. ErrUnknownRoom.
func (e *Engine) Quarantine(ctx context.Context, id ident.RoomID, limit int) (list []Waiting, budget SearchBudget, err error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return nil, SearchBudget{}, err
	}
	err = e.store.View(ctx, func(tx *persistence.Tx) (err error) {
		list, budget, err = QuarantineIn(tx, head.nid, limit)
		return err
	})
	if err != nil {
		return nil, SearchBudget{}, fmt.Errorf("list quarantined events of %s: %w", id, err)
	}
	return list, budget, nil
}

// QuarantineIn is Quarantine for a reader of the store.
func QuarantineIn(tx *persistence.Tx, room int64, limit int) ([]Waiting, SearchBudget, error) {
	since, cost, err := tx.SpentOnRoom(room)
	if err != nil {
		return nil, SearchBudget{}, err
	}
	budget := SearchBudget{
		Requests: cost.Requests, MaxRequests: maxRoomRequests, Bytes: cost.Bytes, MaxBytes: maxRoomBytes,
		Spent: time.Duration(cost.Spent) * time.Millisecond,
	}
	if since != 0 {
		budget.Until = time.UnixMilli(since).Add(budgetPeriod)
	}
	stagings, err := tx.QuarantineOf(room, limit)
	if err != nil {
		return nil, SearchBudget{}, err
	}
	list := make([]Waiting, len(stagings))
	for i, s := range stagings {
		if list[i], err = waitingOf(tx, s); err != nil {
			return nil, SearchBudget{}, err
		}
	}
	return list, budget, nil
}

func waitingOf(tx *persistence.Tx, s persistence.Staging) (Waiting, error) {
	w := Waiting{
		Event: s.ID, Origin: s.Origin, Arrival: Arrival(s.Arrival).String(), ReceivedAt: time.UnixMilli(s.ReceivedAt),
		Attempts: s.Attempts, NextTry: time.UnixMilli(s.RetryAt), Note: s.Note,
	}
	missing, err := tx.Awaited(s.Event)
	if err != nil {
		return Waiting{}, err
	}
	for _, m := range missing {
		w.Missing = append(w.Missing, m.ID)
	}
	cost, answers, err := tx.Search(s.Event)
	if err != nil {
		return Waiting{}, err
	}
	w.Requests, w.Bytes, w.Spent = cost.Requests, cost.Bytes, time.Duration(cost.Spent)*time.Millisecond
	for _, a := range answers {
		w.Asked = append(w.Asked, Asked{Server: a.Server, At: time.UnixMilli(a.AskedAt), Result: a.Result})
	}
	return w, nil
}

// giveUpOverdue gives up quarantined events that have waited too long, and, when the room has more than its places, the oldest of
// those of the server that has taken most of them; what was sent to us and what we asked for have their own places. It leaves a record of each. So many servers that fill a room with
// what nobody can judge push out their own events, not those of the others.
func (e *Engine) giveUpOverdue(ctx context.Context, head *room, now time.Time) error {
	var overdue, excess []persistence.Staging
	err := e.store.View(ctx, func(tx *persistence.Tx) (err error) {
		if overdue, err = tx.WaitingSince(head.nid, now.Add(-keptWaiting).UnixMilli(), keptSearches, maxGivenUp); err != nil {
			return err
		}
		sent, err := excessOf(tx, head.nid, arrivedInTransaction, arrivedInTransaction, maxStaged)
		if err != nil {
			return err
		}
		asked, err := excessOf(tx, head.nid, arrivedFromGap, arrivedAsAuthEvent, excessFetched)
		excess = append(sent, asked...)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for overdue events: %w", err)
	}
	if len(overdue)+len(excess) == 0 {
		return nil
	}
	return e.do(ctx, head.id, true, func(b *batch) error {
		why := fmt.Sprintf("what it misses was not found in %d days", int(keptWaiting.Hours()/24))
		if err := b.giveUp(overdue, why); err != nil {
			return err
		}
		return b.giveUp(excess, "the room has too many quarantined events, and most of them came from the same server")
	})
}

// forgetAfterLeaving forgets what is staged of a room that was left so long ago that nobody will join it for that.
func (b *batch) forgetAfterLeaving() error {
	var last int64
	var staged bool
	err := b.e.store.View(b.ctx, func(tx *persistence.Tx) (err error) {
		last, staged, err = tx.LastStaged(b.head.nid)
		return err
	})
	if err != nil || !staged {
		return err
	}
	if until := time.UnixMilli(last).Add(keptWaiting); until.After(b.now) {
		b.e.wakeAt(b.id, until)
		return nil
	}
	b.forget = true
	return b.commit()
}

// excessOf lists those to be given up so that no more than limit of the staged events came in one of the ways from first to last.
func excessOf(tx *persistence.Tx, room int64, first, last Arrival, limit int) ([]persistence.Staging, error) {
	staged, err := tx.StagedCount(room, int(first), int(last), limit+maxGivenUp)
	if err != nil || staged <= limit {
		return nil, err
	}
	return tx.LargestShare(room, int(first), int(last), staged-limit)
}

// giveUp ends the wait of quarantined events.
func (b *batch) giveUp(list []persistence.Staging, why string) error {
	for _, s := range list {
		r, err := b.record(s.ID)
		if err != nil {
			return err
		}
		if _, done := b.gaveUp[s.ID]; r == nil || r.inGraph || done {
			continue
		}
		s, staged, err := b.stagingOf(r)
		if err != nil {
			return err
		}
		if !staged || s.Waits == 0 {
			continue
		}
		v := b.newVerdict(r, s)
		v.Checks = append(v.Checks, Check{ID: "P-93", Rule: "P-93", Detail: why})
		_, isState := r.event.Slot()
		if v.Outcome = Dropped; isState && r.known() {
			v.Outcome = r.outcome // a state may hold it, and others may rest on it: it stays as an outlier
		}
		b.settled[s.ID] = judged{verdict: v, waited: true}
		b.gaveUp[s.ID] = v.Outcome == Dropped
		if err := b.letGo(r); err != nil {
			return err
		}
	}
	return nil
}

// writeGivenUp stores that quarantined events wait no longer. Those that waited for them have them asked for.
func (b *batch) writeGivenUp(tx *persistence.Tx) error {
	if len(b.gaveUp) == 0 {
		return nil
	}
	ids := make([]ident.EventID, 0, len(b.gaveUp))
	for id, forget := range b.gaveUp {
		r, _ := b.have(id)
		if err := tx.GiveUp(r.nid, forget); err != nil {
			return err
		}
		if err := tx.Hurry(id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	tx.AfterCommit(func() { b.e.cache.forgetRecords(ids...) })
	return nil
}
