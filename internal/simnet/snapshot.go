// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	Partial     bool   // its whole state was not found
	Root        string // of the current state, in hex
	Slots       map[event.StateKey]ident.EventID
	Extremities []ident.EventID
	Servers     []ident.ServerName // in the room
	Events      map[ident.EventID]Known
	Delivered   []Callback // what the store says is to be called back, in order
	Callbacks   []Callback // what was
	Waiting     []string   // quarantined events of honest senders with what they wait for
	Verdicts    []pdu.Verdict
	Power       Power // of users, by the current power levels

	Written  map[ident.UserID][]int64 // to devices of others, by receiver, in order
	Received map[ident.UserID][]int64 // by the user's device, by sender, in order
	Desk     *Desk                    // nil where the script needs none

	Outside, Told string // how its user stands to the room from outside: as the server knows, and as it last told
}

// Known is one stored event.
type Known struct {
	ID      ident.EventID
	Outcome pdu.Outcome
	InGraph bool
	Parents []ident.EventID
	About   string // "m.room.topic of @a:a.example"
	Sender  ident.UserID
	Forged  string // what is wrong with the signature of the sender's server, "" for nothing
	Join    ident.UserID
	Leave   ident.UserID // by leaving, or by being made to

	Membership string // that it gives, if it gives any

	Unsigned bool          // by the room's policy server, which there is
	Said     bool          // a message with something in it
	Veil     bool          // it shows history to those only who were there
	Redacts  ident.EventID // what it redacts, if anything
	Redacted bool          // a redaction took effect on it
}

// Snapshots takes one of each honest server, in the script's order.
func (w *World) Snapshots() ([]Snapshot, error) {
	var all []Snapshot
	for _, n := range w.honest() {
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
	err := server.Store().View(ctx, func(tx *persistence.Tx) (err error) {
		if n.world.Script.Devices {
			s.Desk, err = readDesk(tx)
		}
		return errors.Join(err, s.readDevices(tx), s.read(tx, n.world, room))
	})
	if err != nil {
		return Snapshot{}, err
	}
	info, err := server.Engine().Room(ctx, room)
	if errors.Is(err, pdu.ErrUnknownRoom) { // it was kept out from the beginning
		return s, nil
	}
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
	if err == nil {
		s.Power, err = powerOf(state)
	}
	return s, err
}

// powerOf is the users whom the power levels in a state name, with what they have.
func powerOf(state []*event.Event) (Power, error) {
	for _, e := range state {
		if !e.IsState(event.StateKey{Type: "m.room.power_levels"}) {
			continue
		}
		levels, err := e.PowerLevels()
		if err != nil {
			return nil, err
		}
		held := Power{}
		for user, level := range levels.Users {
			held[user] = int(level)
		}
		return held, nil
	}
	return nil, nil
}

// read takes from the file what the engine does not tell.
func (s *Snapshot) read(tx *persistence.Tx, world *World, id ident.RoomID) error {
	if err := s.readOutside(tx, id); err != nil {
		return err
	}
	room, found, err := tx.Room(id)
	if err != nil || !found {
		return err
	}
	if _, s.Partial, err = tx.Partial(room.NID); err != nil {
		return err
	}
	s.Root = fmt.Sprintf("%x", room.State)
	if err := s.readEvents(tx, world); err != nil {
		return err
	}
	waiting, err := tx.Quarantine(0, maxWaiting)
	if err != nil {
		return err
	}
	for _, w := range waiting {
		if world.lies(s.Events[w.ID].Sender.Server()) {
			continue
		}
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
func (s *Snapshot) readEvents(tx *persistence.Tx, w *World) error {
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
		s.Events[row.ID] = w.known(e, row)
		if row.Position != 0 {
			s.Delivered = append(s.Delivered, Callback{Position: row.Position, Event: row.ID})
		}
	}
	restored, err := tx.RestoredSince(0, math.MaxInt)
	if err != nil {
		return err
	}
	for _, row := range restored {
		s.Delivered = append(s.Delivered, Callback{Position: row.Position, Event: row.ID, Restored: true})
	}
	slices.SortFunc(s.Delivered, func(x, y Callback) int { return int(x.Position - y.Position) })
	return nil
}

func (w *World) known(e *event.Event, row persistence.Event) Known {
	k := Known{
		Sender: e.Sender(), Forged: w.forged(e),
		ID: row.ID, Outcome: pdu.Outcome(row.Outcome), InGraph: row.Before != nil, Parents: e.PrevEvents(),
		About: fmt.Sprintf("%s of %s", e.Type(), e.Sender()),
	}
	k.Unsigned = w.unsigned(e)
	k.Redacts, _ = e.Redacts()
	k.Said = e.Type() == "m.room.message" && e.Content().Has("body")
	shown, _ := e.Content().Get("history_visibility").Text()
	k.Veil = e.Type() == visibilityType && shown == "joined"
	k.Redacted = row.RedactedBy != ""
	if member, ok := e.Membership(); ok {
		key, _ := e.StateKey()
		k.Membership = member.Membership
		switch member.Membership {
		case "join":
			k.Join = ident.UserID(key)
		case "leave", "ban":
			k.Leave = ident.UserID(key)
		}
	}
	return k
}
