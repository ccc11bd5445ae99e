// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/turns"
)

// ReceivePDUs takes in the PDUs of a transaction: each is parsed once, the signatures of all are verified together, and what
// is good is judged at once or staged, in the job that keeps the reply (see atonce.go). It implements transaction.PDUReceiver. A PDU
// that is refused is an entry in the results, never a failure of the transaction (T-04, T-05); one whose id cannot be told has none
// (T-08, T-09).
func (e *Engine) ReceivePDUs(ctx context.Context, in transaction.Inbound) (transaction.Staged, error) {
	i := &intake{e: e, origin: in.Origin, txn: in.TxnID, arrival: arrivedInTransaction, now: nowMS(), results: map[ident.EventID]string{}}
	if err := i.take(ctx, in.PDUs...); err != nil {
		return transaction.Staged{}, err
	}
	if err := i.check(ctx); err != nil {
		return transaction.Staged{}, err
	}
	return transaction.Staged{Results: i.results, Keep: i.keep}, nil
}

// intake takes events in from another server. It belongs to the goroutine that received them.
type intake struct {
	e       *Engine
	origin  ident.ServerName // who handed them to us, which says nothing about who made them (T-07)
	txn     string           // "" for none
	arrival Arrival
	now     int64

	arrived []*incoming              // well-formed
	results map[ident.EventID]string // an id with a good copy has a good result, whatever else came under it
	dropped []Verdict
	again   bool // the events are those that were kept unverified

	waiting map[int64]bool        // rooms, by number, in which events wait for others
	judged  map[ident.RoomID]bool // rooms in which nothing needs to be staged
}

// incoming is one event that is being taken in.
type incoming struct {
	event *event.Event
	room  *room
	nid   int64 // if it is stored already
	skip  bool  // it is known, and nothing is to be done about it
	bad   bool  // it is not taken in
	noKey bool  // because no key was to be had: it is kept unverified
	full  bool  // because there is no space
	count bool  // it takes a place among the staged events of its room
}

// reading is one PDU on its way to being an event of a room.
type reading struct {
	wire    []byte
	id      ident.RoomID
	version *event.Version
	known   bool  // what it says about its room makes sense
	room    *room // nil if there is none here
	event   *event.Event
	refusal *Check
}

// take reads PDUs and finds their rooms. What keeps the processor busy has the turns of whoever sent them; the store is asked between.
// Only a failure of our own is an error.
func (i *intake) take(ctx context.Context, wires ...[]byte) error {
	list := make([]reading, len(wires))
	err := turns.Do(ctx, func() {
		for n, wire := range wires {
			list[n].wire = wire
			list[n].id, list[n].version, list[n].known = event.Peek(wire)
		}
	})
	if err != nil {
		return err
	}
	for n := range list {
		if err := i.place(ctx, &list[n]); err != nil {
			return err
		}
	}
	err = turns.Do(ctx, func() {
		for n := range list {
			if r := &list[n]; r.version != nil {
				r.event, r.refusal = parseFormat(r.version, r.wire)
			}
		}
	})
	if err != nil {
		return err
	}
	for _, r := range list {
		if err := i.admit(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// place finds the room, and with it the version by which the PDU is to be read.
func (i *intake) place(ctx context.Context, r *reading) (err error) {
	if !r.known || r.version != nil {
		return nil
	}
	if r.room, err = i.e.readHead(ctx, r.id, false); err == nil && r.room != nil {
		r.version = r.room.version
	}
	return err
}

// admit drops what cannot be an event of a room that we are in.
func (i *intake) admit(ctx context.Context, r reading) (err error) {
	switch {
	case !r.known:
		i.drop(Verdict{}, Check{ID: "P-25", Rule: "P-25", Detail: "not a JSON object with a room id"})
		return nil
	case r.version == nil:
		i.drop(Verdict{Event: event.PeekID(r.wire), Room: r.id}, Check{ID: "P-25", Rule: "T-09", Detail: "unknown room"})
		return nil
	case r.refusal != nil:
		i.drop(Verdict{Event: event.PeekID(r.wire), Room: r.id}, *r.refusal)
		return nil
	}
	if r.room == nil { // a create event of room version 12 names its room only by its own hash
		if r.room, err = i.e.readHead(ctx, r.event.RoomID(), false); err != nil {
			return err
		}
	}
	about := Verdict{Event: r.event.ID(), Room: r.event.RoomID()}
	if r.room == nil || r.room.membership == Left {
		i.drop(about, Check{ID: "P-25", Rule: "T-09", Detail: "this server is not in the room"})
		return nil
	}
	denied, err := i.denied(ctx, r.room)
	if err != nil {
		return err
	}
	if denied != "" {
		i.drop(about, Check{ID: "P-25", Rule: "M-95", Detail: denied})
		return nil
	}
	i.arrived = append(i.arrived, &incoming{event: r.event, room: r.room})
	return nil
}

// denied says why the room takes nothing in transactions of the origin, "" when it does (M-95). What was asked for is taken from
// whoever has it (M-96).
func (i *intake) denied(ctx context.Context, head *room) (why string, err error) {
	if i.arrival != arrivedInTransaction {
		return "", nil
	}
	err = i.e.checkAccess(ctx, head, i.origin)
	var refusal *transport.Error
	if errors.As(err, &refusal) {
		return refusal.Message, nil
	}
	return "", err
}

// check drops what is badly signed, and leaves out what is known already. What a transaction brings is nearly always new: it is verified
// while the store is asked. Of what was asked for much may be known, so there the store is asked first.
func (i *intake) check(ctx context.Context) error {
	for _, in := range i.arrived {
		r, ok := i.e.cache.record(in.event.ID())
		in.skip = ok && r.inGraph
	}
	verified := i.unknown()
	recognised := make(chan error, 1)
	go func() { recognised <- i.recognise(ctx) }()
	if i.arrival != arrivedInTransaction {
		if err := <-recognised; err != nil {
			return err
		}
		close(recognised)
		verified = i.unknown()
	}
	faults := i.verify(ctx, verified)
	if err := <-recognised; err != nil {
		return err
	}
	if err := i.dropFaulty(ctx, verified, faults); err != nil {
		return err
	}
	for _, in := range i.arrived {
		if !in.bad {
			i.results[in.event.ID()] = ""
		}
	}
	return nil
}

// unknown is what is new, as far as is known, and has a place.
func (i *intake) unknown() (list []*incoming) {
	for _, in := range i.arrived {
		if in.isUnknown() {
			list = append(list, in)
		}
	}
	return list
}

func (in *incoming) isUnknown() bool { return in.nid == 0 && !in.skip && !in.bad }

// recognise finds which events are stored already. Those whose place in the graph is not known, and now wanted, are staged
// for it without being verified again. Those for which a room has no space are refused.
func (i *intake) recognise(ctx context.Context) error {
	full := map[int64]bool{}
	i.waiting = map[int64]bool{}
	var ids []ident.EventID
	for _, in := range i.unknown() {
		ids = append(ids, in.event.ID())
	}
	err := i.e.store.View(ctx, func(tx *persistence.Tx) error {
		known, err := tx.KnownEvents(ids)
		if err != nil {
			return err
		}
		for _, in := range i.arrived {
			if in.skip {
				continue
			}
			k, found := known[in.event.ID()]
			in.count = !found
			if found {
				in.nid, in.skip = k.NID, k.InGraph || i.arrival == arrivedAsAuthEvent
			}
			if found && !in.skip {
				_, staged, err := tx.StagedEvent(k.NID)
				if err != nil {
					return err
				}
				in.count = !staged
			}
			if !in.count {
				continue
			}
			if _, counted := full[in.room.nid]; !counted {
				if full[in.room.nid], err = i.isFull(tx, in.room.nid); err != nil {
					return err
				}
				if _, i.waiting[in.room.nid], err = tx.NextRetry(in.room.nid); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for known events: %w", err)
	}
	for _, in := range i.arrived {
		if in.count && full[in.room.nid] {
			in.bad, in.full = true, true
			i.results[in.event.ID()] = "too many events of the room wait to be judged"
		}
	}
	return nil
}

// isFull says whether a room has no space for what is being taken in. No server can fill it alone, and however many do, there is some
// left for servers that have taken little: a search then gives up what came from those that have taken most.
func (i *intake) isFull(tx *persistence.Tx, room int64) (bool, error) {
	if i.arrival != arrivedInTransaction {
		staged, err := tx.StagedCount(room, int(arrivedFromGap), int(arrivedAsAuthEvent), maxFetched)
		return staged >= maxFetched, err
	}
	const limit = maxStaged + reservedStaged
	staged, err := tx.StagedCount(room, int(arrivedInTransaction), int(arrivedInTransaction), limit)
	if err != nil || staged >= limit || staged < maxQuarantined {
		return staged >= limit, err
	}
	most := maxQuarantined
	if staged >= maxStaged {
		most = fairShare
	}
	quarantined, err := tx.QuarantinedCount(room, i.origin, int(arrivedInTransaction), most)
	return quarantined >= most, err
}

// drop records an event that is not taken in. The id may be a lie, so a good copy of the event overrides the result.
func (i *intake) drop(v Verdict, why Check) {
	v.Outcome, v.Origin, v.Via, v.Txn, v.ReceivedAt, v.JudgedAt = Dropped, i.origin, i.arrival, i.txn, i.now, i.now
	v.Checks = append(v.Checks, why)
	i.dropped = append(i.dropped, v)
	if v.Event != "" {
		i.results[v.Event] = fmt.Sprintf("%s (%s)", why.Detail, why.Rule)
	}
	i.traceOf(v.Room, v.Event, why.Detail)
}

func (i *intake) traceOf(room ident.RoomID, id ident.EventID, problem string) {
	i.e.trace.Emit(trace.PDUReceived{
		Room: string(room), Event: string(id), Origin: string(i.origin), Arrival: i.arrival.String(), Problem: problem,
	})
}

// stage makes durable what was taken in. It runs in a job of the caller's.
func (i *intake) stage(tx *persistence.Tx) error {
	var added []*record
	var ids []ident.EventID
	var stagings []persistence.Staging
	rooms := map[ident.RoomID]bool{}                   // to be looked into
	handed := map[ident.RoomID][]persistence.Staging{} // by room
	origin, err := tx.ServerNID(i.origin)
	if err != nil {
		return err
	}
	for _, in := range i.arrived {
		if in.bad || i.judged[in.room.id] && !in.skip {
			continue
		}
		r := &record{nid: in.nid, room: in.room.nid, event: in.event, redacted: in.event.HashMismatch()}
		isNew, wanted, err := i.add(tx, r, in.skip, origin)
		if err != nil {
			return err
		}
		if isNew {
			added, ids = append(added, r), append(ids, in.event.ID())
		} else if kept, err := i.keepCopy(tx, in); err != nil {
			return err
		} else if kept {
			rooms[in.room.id] = true
		}
		if !wanted {
			continue
		}
		s := i.staging(r)
		stagings = append(stagings, s)
		if isNew && i.arrival == arrivedInTransaction {
			handed[in.room.id] = append(handed[in.room.id], s)
		} else {
			rooms[in.room.id] = true
		}
	}
	if err := tx.Stage(stagings...); err != nil {
		return err
	}
	if err := tx.ForgetDropped(ids); err != nil {
		return err
	}
	for _, v := range i.dropped {
		if err := i.keepDropped(tx, v); err != nil {
			return err
		}
	}
	if err := i.keepUnverified(tx); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		i.e.cache.putRecords(added...)
		for id := range rooms {
			i.e.wake(id)
		}
		for id, staged := range handed {
			i.e.handOver(id, staged)
		}
	})
	return nil
}

func (i *intake) staging(r *record) persistence.Staging {
	return persistence.Staging{
		Event: r.nid, ID: r.event.ID(), Room: r.room, Origin: i.origin, Arrival: int(i.arrival), Txn: i.txn, ReceivedAt: i.now,
	}
}

// add stores an event that is not stored yet; wanted says that it is to be judged, which it was not meanwhile.
func (i *intake) add(tx *persistence.Tx, r *record, skip bool, origin int64) (isNew, wanted bool, err error) {
	if skip {
		return false, false, nil
	}
	if r.nid == 0 {
		r.nid, isNew, err = tx.AddEvent(persistence.Event{
			RoomNID: r.room, ID: r.event.ID(), Outcome: int(Staged), Redacted: r.redacted, TS: r.event.OriginServerTS(),
			JSON: r.event.JSON(), Origin: origin, Arrival: int(i.arrival), ReceivedAt: i.now,
		})
		if err != nil || isNew {
			return isNew, isNew, err
		}
	}
	nid, _, inGraph, found, err := tx.EventExists(r.event.ID())
	if err == nil && !found {
		err = fmt.Errorf("%s was given up while it was taken in anew", r.event.ID()) // it is sent again, and verified then
	}
	r.nid = nid
	return false, !inGraph, err
}

// keepDropped records a dropped event, unless there is a better copy of it: a bad copy says nothing about the event.
func (i *intake) keepDropped(tx *persistence.Tx, v Verdict) error {
	if v.Event != "" {
		if _, _, _, found, err := tx.EventExists(v.Event); err != nil || found {
			return err
		}
	}
	row, err := verdictRow(v)
	if err != nil {
		return err
	}
	return tx.PutVerdict(row)
}
