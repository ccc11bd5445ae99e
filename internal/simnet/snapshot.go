// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Snapshot is what one server knows of the room at the end of a run. The invariants are judged by snapshots alone.
type Snapshot struct {
	Server      ident.ServerName
	User        ident.UserID
	Joined      bool
	Root        string // of the current state, in hex
	Slots       map[event.StateKey]ident.EventID
	Extremities []ident.EventID
	Servers     []ident.ServerName // in the room
	Events      map[ident.EventID]Known
	Delivered   []Callback // what the store says is to be called back, in order
	Callbacks   []Callback // what was
	Waiting     []string   // quarantined events with what they wait for
	Verdicts    []pdu.Verdict
}

// Known is one stored event.
type Known struct {
	ID      ident.EventID
	Outcome pdu.Outcome
	InGraph bool
	Parents []ident.EventID
	About   string // "m.room.topic of @a:a.example"
	Join    ident.UserID
	Leave   ident.UserID
}

// Snapshots takes one of each server, in the script's order.
func (w *World) Snapshots() ([]Snapshot, error) {
	var all []Snapshot
	for _, n := range w.nodes {
		s, err := n.snapshot()
		if err != nil {
			return nil, fmt.Errorf("snapshot of %s: %w", n.name, err)
		}
		all = append(all, s)
	}
	return all, nil
}

func (n *node) snapshot() (Snapshot, error) {
	server := n.await()
	if server == nil {
		return Snapshot{}, fmt.Errorf("it is down")
	}
	s := Snapshot{
		Server: n.name, User: n.user, Callbacks: n.journal.all(), Slots: map[event.StateKey]ident.EventID{},
		Events: map[ident.EventID]Known{},
	}
	ctx, room := context.Background(), n.world.Room()
	if err := server.Store().View(ctx, func(tx *persistence.Tx) error { return s.read(tx, room) }); err != nil {
		return Snapshot{}, err
	}
	info, err := server.Engine().Room(ctx, room)
	if err != nil {
		return Snapshot{}, err
	}
	s.Joined = info.Membership == pdu.Joined
	s.Extremities = slices.Sorted(slices.Values(info.Extremities))
	state, err := server.Engine().State(ctx, room)
	if err != nil {
		return Snapshot{}, err
	}
	for _, e := range state {
		slot, _ := e.Slot()
		s.Slots[slot] = e.ID()
	}
	s.Servers, err = server.Engine().Servers(ctx, room)
	return s, err
}

// read takes from the file what the engine does not tell.
func (s *Snapshot) read(tx *persistence.Tx, id ident.RoomID) error {
	room, found, err := tx.Room(id)
	if err != nil || !found {
		return fmt.Errorf("room %s: found %t, %w", id, found, err)
	}
	s.Root = fmt.Sprintf("%x", room.State)
	if err := s.readEvents(tx); err != nil {
		return err
	}
	waiting, err := tx.Quarantine(0, 100)
	if err != nil {
		return err
	}
	for _, w := range waiting {
		missing, err := tx.Awaited(w.Event)
		if err != nil {
			return err
		}
		s.Waiting = append(s.Waiting, fmt.Sprintf("%s waits for %v after %d attempts (%s)", w.ID, missing, w.Attempts, w.Note))
	}
	verdicts, err := tx.Verdicts(0, 10_000)
	if err != nil {
		return err
	}
	for _, row := range verdicts {
		v, err := pdu.VerdictOf(row)
		if err != nil {
			return err
		}
		s.Verdicts = append(s.Verdicts, v)
	}
	return nil
}

// readEvents reads every event; they are numbered without gaps.
func (s *Snapshot) readEvents(tx *persistence.Tx) error {
	for nid := int64(1); ; nid++ {
		row, found, err := tx.EventByNID(nid)
		if err != nil {
			return err
		}
		if !found {
			break
		}
		version, _ := event.VersionOf(row.RoomVersion)
		e, err := event.ParseStored(version, row.ID, row.JSON)
		if err != nil {
			return err
		}
		s.Events[row.ID] = known(e, row)
		if row.Position != 0 {
			s.Delivered = append(s.Delivered, Callback{Position: row.Position, Event: row.ID})
		}
	}
	slices.SortFunc(s.Delivered, func(x, y Callback) int { return int(x.Position - y.Position) })
	return nil
}

func known(e *event.Event, row persistence.Event) Known {
	k := Known{
		ID: row.ID, Outcome: pdu.Outcome(row.Outcome), InGraph: row.Before != nil, Parents: e.PrevEvents(),
		About: fmt.Sprintf("%s of %s", e.Type(), e.Sender()),
	}
	if member, ok := e.Membership(); ok {
		key, _ := e.StateKey()
		switch member.Membership {
		case "join":
			k.Join = ident.UserID(key)
		case "leave":
			k.Leave = ident.UserID(key)
		}
	}
	return k
}
