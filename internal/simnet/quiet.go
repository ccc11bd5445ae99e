// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// maxQuiet is how long a whole network may take to become quiet. Missing events are asked for again after an hour at most.
	maxQuiet = 12 * time.Hour
	// triedOften is the number of searches after which an event that a liar made may wait for ever.
	triedOften = 8
	maxWaiting = 1_000 // quarantined events that are looked at
)

// settle waits until everyone has done what they were told and nothing is left to send, to judge or to call back.
func (w *World) settle() {
	w.doing.Wait()
	begun := time.Now()
	var why string
	for wait := time.Second; time.Since(begun) < maxQuiet; wait = min(2*wait, 5*time.Minute) {
		time.Sleep(wait)
		if why = w.unquiet(); why == "" {
			return
		}
	}
	w.fault("not quiet after %v: %s", maxQuiet, why)
}

// unquiet is what there is still to do, "" for nothing.
func (w *World) unquiet() string {
	if n := w.Net.Flying(); n > 0 {
		return fmt.Sprintf("%d requests on their way", n)
	}
	for _, n := range w.nodes {
		server := n.await()
		if server == nil {
			return fmt.Sprintf("%s is down for good", n.name)
		}
		var why string
		err := server.Store().View(context.Background(), func(tx *persistence.Tx) (err error) {
			if why, err = n.unsent(tx); err == nil && why == "" && n.liar == nil {
				why, err = n.undone(tx)
			}
			return err
		})
		if err != nil {
			return fmt.Sprintf("%s: %v", n.name, err)
		}
		if why != "" {
			return fmt.Sprintf("%s: %s", n.name, why)
		}
	}
	return ""
}

// unsent is what a server has still to send to honest servers.
func (n *node) unsent(tx *persistence.Tx) (string, error) {
	destinations, err := tx.Destinations()
	if err != nil {
		return "", err
	}
	for _, d := range destinations {
		if n.world.lies(d.Server) {
			continue
		}
		queued, err := tx.QueueLength(d, 100)
		if err != nil || queued > 0 {
			return fmt.Sprintf("%d events for %s are not sent, after %d failures", queued, d.Server, d.Failures), err
		}
		if open, found, err := tx.OpenTransaction(d.Server); err != nil || found {
			return fmt.Sprintf("transaction %s to %s is not answered", open.TxnID, d.Server), err
		}
	}
	return "", nil
}

// undone is what a server has still to judge and to call back.
func (n *node) undone(tx *persistence.Tx) (string, error) {
	rooms, err := tx.Rooms()
	if err != nil {
		return "", err
	}
	for _, room := range rooms {
		if room.Membership == persistence.RoomLeft {
			continue // what is staged for it stays until it is joined again
		}
		if lost, err := n.lost(tx, room.NID); err != nil || lost {
			return "", err
		}
		if why, err := n.unjudged(tx, room.NID); err != nil || why != "" {
			return why, err
		}
		if again, _, err := tx.AskedAgain(room.NID); err != nil || len(again) > 0 {
			return fmt.Sprintf("%d events are to be judged again", len(again)), err
		}
	}
	partial, err := tx.PartialRooms(1)
	if err != nil || len(partial) > 0 {
		return fmt.Sprintf("the whole state is not known: %+v", partial), err
	}
	stale, err := tx.StaleDeviceLists(1)
	if err != nil || len(stale) > 0 {
		return fmt.Sprintf("device lists are to be fetched: %+v", stale), err
	}
	rest, err := tx.EventsSince(n.journal.last(), 100)
	if err != nil || len(rest) > 0 {
		return fmt.Sprintf("%d events are not called back", len(rest)), err
	}
	return "", nil
}

// lost says whether a server was put out of a room, and looks in vain for what it has not found of it: its whole state, or what
// follows. Nobody gives it that now.
func (n *node) lost(tx *persistence.Tx, room int64) (bool, error) {
	if inVain, err := n.inVain(tx, room); err != nil || !inVain {
		return false, err
	}
	for _, other := range n.world.honest() {
		if other == n || !other.joined() {
			continue
		}
		servers, err := other.await().Engine().Servers(context.Background(), n.world.Room())
		if err == nil && !slices.Contains(servers, n.name) {
			return true, nil
		}
	}
	return false, nil
}

// inVain says whether a server has asked often enough for what it misses of a room.
func (n *node) inVain(tx *persistence.Tx, room int64) (bool, error) {
	p, found, err := tx.Partial(room)
	if err != nil || found {
		return p.Attempts >= triedOften, err
	}
	waiting, err := tx.QuarantineOf(room, maxWaiting)
	seldom := func(w persistence.Staging) bool { return w.Attempts < triedOften }
	return len(waiting) > 0 && !slices.ContainsFunc(waiting, seldom), err
}

// unjudged is the events of a room that are still to be judged. What liars made may wait for ever: for what no one has. But that
// they make us find out, by asking all others, for each event; and what waits only for such events rests on what they find.
func (n *node) unjudged(tx *persistence.Tx, room int64) (string, error) {
	staged, err := tx.StagedCount(room, 0, math.MaxInt32, maxWaiting)
	if err != nil || staged == 0 {
		return "", err
	}
	waiting, err := tx.QuarantineOf(room, maxWaiting)
	if err != nil {
		return "", err
	}
	if staged > len(waiting) {
		return fmt.Sprintf("%d events are not judged", staged-len(waiting)), nil
	}
	for _, w := range waiting {
		if why, err := n.unsought(tx, w); err != nil || why != "" {
			return why, err
		}
	}
	return "", nil
}

// unsought says why a quarantined event may not be left as it is.
func (n *node) unsought(tx *persistence.Tx, w persistence.Staging) (string, error) {
	row, _, err := tx.Event(w.ID)
	if err != nil {
		return "", err
	}
	version, _ := event.VersionOf(row.RoomVersion)
	e, err := event.ParseStored(version, w.ID, row.JSON)
	if err != nil {
		return "", err
	}
	if !n.world.lies(e.Sender().Server()) {
		return fmt.Sprintf("%s of %s is not judged after %d attempts: %s", w.ID, e.Sender(), w.Attempts, w.Note), nil
	}
	if w.Attempts >= triedOften {
		return "", nil
	}
	missing, err := tx.Awaited(w.Event)
	if err != nil {
		return "", err
	}
	for _, m := range missing {
		nid, _, _, found, err := tx.EventExists(m.ID)
		if found {
			_, found, err = tx.StagedEvent(nid)
		}
		if err != nil {
			return "", err
		}
		if !found {
			return fmt.Sprintf("%s, which %s misses, was sought for %d times only: %s", m.ID, w.ID, w.Attempts, w.Note), nil
		}
	}
	return "", nil
}

// honest is the servers that are.
func (w *World) honest() (list []*node) {
	for _, n := range w.nodes {
		if n.liar == nil {
			list = append(list, n)
		}
	}
	return list
}

func (w *World) lies(name ident.ServerName) bool {
	return slices.ContainsFunc(w.nodes, func(n *node) bool { return n.name == name && n.liar != nil })
}

// joined reports whether the server is in the room.
func (n *node) joined() bool {
	server := n.await()
	if server == nil {
		return false
	}
	info, err := server.Engine().Room(context.Background(), n.world.Room())
	return err == nil && info.Membership == pdu.Joined
}
