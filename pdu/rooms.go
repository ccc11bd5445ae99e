// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Rooms lists the rooms by id.
func (e *Engine) Rooms(ctx context.Context) ([]RoomInfo, error) {
	var rows []persistence.Room
	err := e.store.View(ctx, func(tx *persistence.Tx) (err error) {
		rows, err = tx.Rooms()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list rooms: %w", err)
	}
	list := make([]RoomInfo, 0, len(rows))
	for _, row := range rows {
		info, err := e.Room(ctx, row.ID)
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	return list, nil
}

// Room is the head of a room. ErrUnknownRoom.
func (e *Engine) Room(ctx context.Context, id ident.RoomID) (RoomInfo, error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return RoomInfo{}, err
	}
	info := RoomInfo{ID: head.id, Version: head.version, Membership: head.membership, Servers: len(head.servers), Partial: head.partial != nil}
	for _, x := range head.extremities {
		info.Extremities = append(info.Extremities, x.record.event.ID())
		info.Depth = max(info.Depth, x.record.event.Depth())
	}
	for _, joined := range head.servers {
		info.Members += joined
	}
	return info, nil
}

func (e *Engine) knownRoom(ctx context.Context, id ident.RoomID) (*room, error) {
	head, err := e.readHead(ctx, id, false)
	if err == nil && head == nil {
		err = fmt.Errorf("%s: %w", id, ErrUnknownRoom)
	}
	return head, err
}

// State is the current state of a room, in no order. ErrUnknownRoom.
func (e *Engine) State(ctx context.Context, id ident.RoomID) ([]*event.Event, error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return nil, err
	}
	return e.stateEvents(ctx, head.current)
}

// StateEvent is one slot of the current state, nil when it is empty. ErrUnknownRoom.
func (e *Engine) StateEvent(ctx context.Context, id ident.RoomID, slot event.StateKey) (*event.Event, error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return nil, err
	}
	found, ok, err := state.Get(storedNodes{ctx, e}, head.current, slot)
	if err != nil || !ok {
		return nil, err
	}
	r, err := e.storedRecord(ctx, found)
	if err != nil {
		return nil, err
	}
	return r.event, nil
}

// StateOfType is the events of one type of the current state, in no order. ErrUnknownRoom.
func (e *Engine) StateOfType(ctx context.Context, id ident.RoomID, eventType string) ([]*event.Event, error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return nil, err
	}
	var ids []ident.EventID
	err = state.ScanType(storedNodes{ctx, e}, head.current, eventType, func(_ string, id ident.EventID) bool {
		ids = append(ids, id)
		return true
	})
	if err != nil {
		return nil, err
	}
	return e.eventsOf(ctx, ids)
}

// StateAt is the state before an event. ErrUnknownEvent when the event, or its place in the graph, is not known.
func (e *Engine) StateAt(ctx context.Context, id ident.EventID) ([]*event.Event, error) {
	r, err := e.storedRecord(ctx, id)
	if err != nil {
		return nil, err
	}
	if !r.inGraph {
		return nil, fmt.Errorf("state at %s: %w", id, ErrUnknownEvent)
	}
	return e.stateEvents(ctx, r.before)
}

// Event is one stored event. ErrUnknownEvent.
func (e *Engine) Event(ctx context.Context, id ident.EventID) (Stored, error) {
	r, err := e.storedRecord(ctx, id)
	if err != nil {
		return Stored{}, err
	}
	return Stored{Event: r.event, RedactedBy: r.by, Outcome: r.outcome, Outlier: !r.inGraph, Position: r.position}, nil
}

// storedRecord finds an event that must be stored.
func (e *Engine) storedRecord(ctx context.Context, id ident.EventID) (*record, error) {
	found, err := e.records(ctx, []ident.EventID{id})
	if err != nil {
		return nil, err
	}
	r, ok := found[id]
	if !ok {
		return nil, fmt.Errorf("%s: %w", id, ErrUnknownEvent)
	}
	return r, nil
}

// Servers is the servers with joined members by the current state, this one included, sorted. ErrUnknownRoom.
func (e *Engine) Servers(ctx context.Context, id ident.RoomID) ([]ident.ServerName, error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(head.servers)), nil
}

// Since gives up to limit accepted events with positions after after, in order.
func (e *Engine) Since(ctx context.Context, after persistence.Position, limit int) ([]Delivery, error) {
	if list, ok := e.recentSince(after, limit); ok {
		return list, nil
	}
	var rows, restored []persistence.Event
	err := e.store.View(ctx, func(tx *persistence.Tx) (err error) {
		if rows, err = tx.EventsSince(after, limit); err != nil {
			return err
		}
		restored, err = tx.RestoredSince(after, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read events since %d: %w", after, err)
	}
	anew := make(map[persistence.Position]bool, len(restored))
	for _, row := range restored {
		anew[row.Position] = true
	}
	rows = append(rows, restored...)
	slices.SortFunc(rows, func(x, y persistence.Event) int { return cmp.Compare(x.Position, y.Position) })
	list := make([]Delivery, 0, len(rows))
	for _, row := range rows[:min(len(rows), limit)] {
		r, ok := e.cache.record(row.ID)
		if !ok {
			if r, err = recordOf(row); err != nil {
				return nil, err
			}
		}
		list = append(list, r.delivery(told{row.Position, row.Room, row.ID, anew[row.Position]}))
	}
	return list, nil
}

// recentSince is Since for what is in the memory, whole; ok is false when it is not.
func (e *Engine) recentSince(after persistence.Position, limit int) (list []Delivery, ok bool) {
	recent, ok := e.recent.since(after, limit)
	for _, t := range recent {
		r, found := e.cache.record(t.event)
		if !found {
			return nil, false
		}
		list = append(list, r.delivery(t))
	}
	return list, ok
}

func (r *record) delivery(t told) Delivery {
	return Delivery{
		Position: t.at, Room: t.room, Event: r.event, RedactedBy: r.by, Mismatch: r.reduced(), Restored: t.anew,
	}
}

// News is closed when an event is accepted after the call. Take it, read Since, then wait for it.
func (e *Engine) News() <-chan struct{} { return e.news.wait() }

// Verdict is the record of an event that was not plainly accepted; false when there is none.
func (e *Engine) Verdict(ctx context.Context, id ident.EventID) (v Verdict, found bool, err error) {
	err = e.store.View(ctx, func(tx *persistence.Tx) error {
		row, ok, err := tx.Verdict(id)
		if err != nil || !ok {
			return err
		}
		found = true
		if v, err = VerdictOf(row); err != nil {
			return err
		}
		if v.Causes, err = tx.Causes(row.NID); err != nil {
			return err
		}
		v.Waits, err = waitsOf(tx, id)
		return err
	})
	if err != nil {
		return Verdict{}, false, fmt.Errorf("verdict on %s: %w", id, err)
	}
	return v, found, nil
}

func waitsOf(tx *persistence.Tx, id ident.EventID) (waits []ident.EventID, err error) {
	nid, _, _, found, err := tx.EventExists(id)
	if err != nil || !found {
		return nil, err
	}
	missing, err := tx.Awaited(nid)
	for _, m := range missing {
		waits = append(waits, m.ID)
	}
	return waits, err
}

// VerdictOf reads a stored verdict, without Waits and Causes.
func VerdictOf(row persistence.Verdict) (Verdict, error) {
	v := Verdict{
		Event: row.Event, Room: row.Room, Outcome: Outcome(row.Outcome), Redacted: row.Redacted, Origin: row.Origin,
		Via: Arrival(row.Arrival), Txn: row.Txn, ReceivedAt: row.ReceivedAt, JudgedAt: row.JudgedAt, FirstAt: row.FirstAt,
		Judgements: row.Judgements, Searches: row.Searches, SearchNote: row.Note,
	}
	if err := json.Unmarshal(row.Checks, &v.Checks); err != nil {
		return Verdict{}, fmt.Errorf("%w: checks on %s: %w", persistence.ErrCorrupt, row.Event, err)
	}
	return v, nil
}

// stateEvents is the events of a state, in no order.
func (e *Engine) stateEvents(ctx context.Context, root state.Root) ([]*event.Event, error) {
	all, err := e.stateIDs(ctx, root)
	if err != nil {
		return nil, err
	}
	return e.eventsOf(ctx, slices.Collect(maps.Values(all)))
}

// eventsOf is events that must be stored.
func (e *Engine) eventsOf(ctx context.Context, ids []ident.EventID) ([]*event.Event, error) {
	found, err := e.records(ctx, ids)
	if err != nil {
		return nil, err
	}
	events := make([]*event.Event, 0, len(ids))
	for _, id := range ids {
		r, ok := found[id]
		if !ok {
			return nil, fmt.Errorf("%w: event %s of a state or auth chain is not stored", persistence.ErrCorrupt, id)
		}
		events = append(events, r.event)
	}
	return events, nil
}

func nowMS() int64 { return time.Now().UnixMilli() }
