// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// commit stores what the batch decided, in one job, and publishes it. A batch is of no use after it, whether it succeeds or not.
func (b *batch) commit() error {
	return b.e.commit(b.ctx, []*batch{b}, func(*persistence.Tx) error { return nil })
}

// commit is that of several batches in one job, with what also stores.
func (e *Engine) commit(ctx context.Context, batches []*batch, also func(*persistence.Tx) error) error {
	for _, b := range batches {
		if err := b.finish(); err != nil {
			return err
		}
		if err := b.redact(); err != nil {
			return fmt.Errorf("redactions in %s: %w", b.id, err)
		}
		if err := b.planSteps(); err != nil {
			return fmt.Errorf("states of %s: %w", b.id, err)
		}
	}
	released := make([]int, len(batches))
	err := e.store.Update(ctx, func(tx *persistence.Tx) (err error) {
		for i, b := range batches {
			tx.AfterCommit(b.publish)
			if released[i], err = b.write(tx); err != nil {
				return fmt.Errorf("events of %s: %w", b.id, err)
			}
		}
		return also(tx)
	})
	if err != nil {
		return fmt.Errorf("store what was judged: %w", err)
	}
	for i, b := range batches {
		b.conclude(released[i])
	}
	return nil
}

// conclude sets going what follows from a batch that is stored.
func (b *batch) conclude(released int) {
	b.tell()
	b.e.askPolicyServer(b.id, b.unsigned)
	b.e.mergeLater(&b.head)
	if b.lookBack {
		b.e.fetchHistoryLater(b.id)
	}
	b.wakeAgain()
	if released > 0 || len(b.untold) > 0 || b.adopted || b.head.membership == Left {
		b.e.wake(b.id)
	}
}

// write stores everything; released is the number of quarantined events that can be judged now.
func (b *batch) write(tx *persistence.Tx) (released int, err error) {
	if b.head.nid == 0 {
		if b.head.nid, err = tx.PutRoom(b.row()); err != nil {
			return 0, err
		}
	}
	if b.forget {
		forgotten, err := tx.ForgetStaged(b.head.nid)
		if err != nil {
			return 0, err
		}
		tx.AfterCommit(func() { b.e.cache.forgetRecords(forgotten...) })
	}
	for hash, n := range b.nodes {
		if err := tx.AddStateNode(hash[:], n.Data); err != nil {
			return 0, err
		}
	}
	if err := b.writeEvents(tx); err != nil {
		return 0, err
	}
	if err := b.writeEffects(tx); err != nil {
		return 0, err
	}
	if err := b.writeStaging(tx); err != nil {
		return 0, err
	}
	if released, err = b.release(tx); err != nil {
		return 0, err
	}
	for _, s := range b.sends {
		if err := b.e.outbox.EnqueuePDU(tx, b.id, s.event.ID(), s.event.JSON(), s.to); err != nil {
			return 0, err
		}
	}
	for _, f := range b.with {
		if err := f(tx); err != nil {
			return 0, err
		}
	}
	return released, b.writeHead(tx)
}

// writeEvents stores what became of the events. Of those that did not come by themselves, but with a state, say, a copy may have
// been dropped or waits for a key: that is not so any more.
func (b *batch) writeEvents(tx *persistence.Tx) error {
	var given []ident.EventID
	for _, r := range b.order {
		if r.nid == 0 && !b.isOwn(r) {
			given = append(given, r.event.ID())
		}
		if err := b.writeEvent(tx, r); err != nil {
			return err
		}
	}
	return tx.ForgetDropped(given)
}

// isOwn says whether an event is of this server, and was not brought by another.
func (b *batch) isOwn(r *record) bool {
	return r.event.Sender().Server() == b.e.self && b.settled[r.event.ID()].verdict.Via != arrivedInTransaction
}

// writeEvent stores what became of an event, and gives it its position if it is to be delivered and has none.
func (b *batch) writeEvent(tx *persistence.Tx, r *record) (err error) {
	delivered := r.position != 0
	if b.delivers(r) {
		if err := b.position(tx, r); err != nil {
			return err
		}
		b.told = append(b.told, told{at: r.position, room: b.id, event: r.event.ID()})
	}
	row := persistence.Event{
		NID: r.nid, RoomNID: b.head.nid, ID: r.event.ID(), Outcome: int(r.outcome), Redacted: r.redacted, Past: int(r.past),
		TS: r.event.OriginServerTS(), Position: r.position, JSON: r.event.JSON(), JudgedAt: b.judgedAt(r),
	}
	if r.inGraph {
		row.Before, row.After = r.before[:], r.after[:]
	}
	r.room = b.head.nid
	if r.nid != 0 {
		err = b.settleEvent(tx, r, row)
	} else {
		err = b.addEvent(tx, r, row)
	}
	if err == nil {
		err = b.writeRelation(tx, r)
	}
	if err == nil {
		err = b.writeRestored(tx, r, delivered)
	}
	if err != nil || len(b.cites) == 0 {
		return err
	}
	return b.writeCitations(tx, r)
}

// settleEvent is for an event that is stored already.
func (b *batch) settleEvent(tx *persistence.Tx, r *record, row persistence.Event) error {
	if r.rewritten {
		if err := tx.SetEventJSON(r.nid, row.JSON); err != nil {
			return err
		}
	}
	return tx.SettleEvent(row)
}

// addEvent stores an event that was not stored when the turn began. It may have been staged since: then it is settled, but when it was
// judged at once, since it may have been another copy.
func (b *batch) addEvent(tx *persistence.Tx, r *record, row persistence.Event) error {
	if err := b.setArrival(tx, &row); err != nil {
		return err
	}
	nid, added, err := tx.AddEvent(row)
	if err != nil {
		return err
	}
	r.nid, row.NID = nid, nid
	if added {
		return nil
	}
	if b.settled[row.ID].verdict.Via == arrivedInTransaction {
		return fmt.Errorf("%s was staged while it was judged", row.ID)
	}
	if err := tx.SettleEvent(row); err != nil {
		return err
	}
	if !r.inGraph {
		return nil
	}
	return tx.Unstage(nid, true)
}

// numbered is a server with the number under which it is stored.
type numbered struct {
	name ident.ServerName
	nid  int64
}

// setArrival says how an event came that was not staged.
func (b *batch) setArrival(tx *persistence.Tx, row *persistence.Event) (err error) {
	from := b.from
	row.ReceivedAt = b.now.UnixMilli()
	if j, ok := b.settled[row.ID]; ok {
		from = came{j.verdict.Origin, j.verdict.Via}
		row.ReceivedAt = j.verdict.ReceivedAt
	}
	row.Arrival = int(from.how)
	origin := cmp.Or(from.origin, b.e.self)
	if b.origin.nid == 0 || b.origin.name != origin {
		b.origin.name = origin
		b.origin.nid, err = tx.ServerNID(origin)
	}
	row.Origin = b.origin.nid
	return err
}

// judgedAt is when an event was judged, 0 if it was not, or not by all that it waits for.
func (b *batch) judgedAt(r *record) int64 {
	if !r.known() || b.settled[r.event.ID()].verdict.Outcome == Quarantined {
		return 0
	}
	return b.now.UnixMilli()
}

func (b *batch) writeCitations(tx *persistence.Tx, r *record) error {
	if _, isState := r.event.Slot(); !isState {
		return nil
	}
	cited := make([]int64, 0, len(r.event.AuthEvents()))
	for _, id := range r.event.AuthEvents() {
		a, err := b.nidOf(tx, id)
		if err != nil {
			return err
		}
		if a != 0 {
			cited = append(cited, a)
		}
	}
	return tx.Cite(r.nid, cited)
}

// nidOf is the number of an event, 0 when it is not stored.
func (b *batch) nidOf(tx *persistence.Tx, id ident.EventID) (int64, error) {
	if r, ok := b.have(id); ok && r != nil && r.nid != 0 {
		return r.nid, nil
	}
	nid, _, _, _, err := tx.EventExists(id)
	return nid, err
}

func (b *batch) writeStaging(tx *persistence.Tx) error {
	if err := tx.DropCopies(b.copies); err != nil {
		return err
	}
	var ready []int64
	for _, u := range b.unstaged {
		if !u.waited {
			ready = append(ready, u.nid)
		} else if err := tx.Unstage(u.nid, true); err != nil {
			return err
		}
	}
	if err := tx.UnstageReady(ready); err != nil {
		return err
	}
	for _, q := range b.unsigned {
		if err := tx.Retry(q.staging.Event, q.staging.Attempts, b.now.Add(policyLease).UnixMilli(), q.note()); err != nil {
			return err
		}
	}
	if err := b.writeGivenUp(tx); err != nil {
		return err
	}
	if err := b.stageUntold(tx); err != nil {
		return err
	}
	for id, missing := range b.waits {
		r, _ := b.have(id)
		if err := tx.Wait(r.nid, missing); err != nil {
			return err
		}
	}
	for _, j := range b.settled {
		if err := writeVerdict(tx, j); err != nil {
			return err
		}
	}
	return nil
}

// release lets those go on that waited for what the batch judged.
func (b *batch) release(tx *persistence.Tx) (released int, err error) {
	if _, any, err := tx.NextRetry(b.head.nid); err != nil || !any {
		return 0, err
	}
	for _, r := range b.order {
		if !r.known() {
			continue
		}
		n, err := tx.Arrived(r.event.ID(), r.inGraph)
		if err != nil {
			return 0, err
		}
		released += n
	}
	return released, nil
}

func (b *batch) writeHead(tx *persistence.Tx) error {
	if err := b.recordSilent(tx, b.head.current); err != nil {
		return err
	}
	for _, gap := range b.opened {
		if err := tx.AddGap(b.head.nid, gap); err != nil {
			return err
		}
	}
	for _, id := range b.closed {
		if err := tx.CloseGap(b.head.nid, id); err != nil {
			return err
		}
	}
	for name := range b.moved {
		if err := tx.SetRoomServer(b.head.nid, name, b.head.servers[name]); err != nil {
			return err
		}
	}
	if err := b.writeResidents(tx); err != nil {
		return err
	}
	if err := b.writeAlarm(tx); err != nil {
		return err
	}
	if err := b.writePartial(tx); err != nil {
		return err
	}
	if err := b.writeAgain(tx); err != nil {
		return err
	}
	_, err := tx.PutRoom(b.row())
	return err
}

func (b *batch) writeResidents(tx *persistence.Tx) error {
	if b.recounts {
		if err := tx.ClearResidents(b.head.nid); err != nil {
			return err
		}
	}
	for user, joined := range b.housed {
		if err := tx.SetResident(b.head.nid, user, joined); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) row() persistence.Room {
	row := persistence.Room{
		NID: b.head.nid, ID: b.id, Version: b.head.version.ID, Membership: int(b.head.membership), Create: b.head.create,
		State: b.head.current[:],
	}
	for _, x := range b.head.extremities {
		row.Extremities = append(row.Extremities, x.record.nid)
	}
	for _, x := range b.head.held {
		row.Held = append(row.Held, x.record.nid)
	}
	return row
}

// publish runs on the store's goroutine when the batch is durable.
func (b *batch) publish() {
	b.e.cache.putRecords(b.order...)
	b.e.recent.add(b.told)
	b.keepResolutions()
	for _, n := range b.nodes {
		b.e.cache.putNode(n)
	}
	head := b.head
	b.e.publish(&head)
}

// tell wakes subscribers and traces the verdicts.
func (b *batch) tell() {
	news := false
	for _, r := range b.order {
		news = news || r.position != 0
		j, ok := b.settled[r.event.ID()]
		if !ok {
			continue
		}
		check := j.verdict.Decisive()
		b.e.trace.Emit(trace.PDUJudged{
			Room: string(b.id), Event: string(j.verdict.Event), Outcome: j.verdict.Outcome.String(), Check: check.ID, Rule: check.Rule,
			Position: int64(r.position), Waited: time.Duration(j.verdict.JudgedAt-j.verdict.ReceivedAt) * time.Millisecond,
		})
	}
	b.tellEffects()
	if b.alarm != nil {
		b.e.trace.Emit(b.alarm.event())
	}
	if news {
		b.e.news.tell()
	}
}
