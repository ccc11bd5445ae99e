// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxQuiet is how long a whole network may take to become quiet. Missing events are asked for again after an hour at most.
const maxQuiet = 12 * time.Hour

// Acknowledged is an event that a server promised to keep: Send returned its id.
type Acknowledged struct {
	Server ident.ServerName
	Event  ident.EventID
}

// World is one run: servers, their network and the room that they share. It must be used inside a synctest bubble, by one
// goroutine; mu guards what that shares with the actors.
type World struct {
	Seed     Seed
	Script   *Script
	Version  string // of the room
	Net      *Network
	Timeline *Timeline

	dir    func() string // a new directory
	nodes  []*node
	actors map[string]*actor

	mu     sync.Mutex
	room   ident.RoomID
	acks   []Acknowledged
	faults []string
	doing  sync.WaitGroup // what actors were told to do
}

// NewWorld opens the servers of a script. dir gives each a directory.
func NewWorld(seed Seed, script *Script, version string, dir func() string) (*World, error) {
	timeline := &Timeline{start: time.Now()}
	w := &World{
		Seed: seed, Script: script, Version: version, Timeline: timeline, Net: NewNetwork(seed, timeline), dir: dir,
		actors: map[string]*actor{},
	}
	for _, letter := range script.Servers {
		n, err := newNode(w, letter)
		if err != nil {
			return nil, err
		}
		w.nodes = append(w.nodes, n)
		w.actors[letter] = newActor(w, n)
		go n.keep()
	}
	return w, nil
}

// Run plays the script, then lets everything that is still under way end on a calm network, and has every server say one last
// thing, so that all of them have seen the same.
func (w *World) Run() {
	for _, step := range w.Script.Steps {
		w.Timeline.Add("script", "%d: %s", step.Line, step.Text)
		step.run(w)
	}
	w.doing.Wait()
	w.Net.Heal()
	w.Net.SetFaults(Calm)
	for _, n := range w.nodes {
		n.planCrash(nil)
		n.journal.setFail(0)
	}
	w.settle()
	for range 2 { // the second round references what the first one brought
		for _, letter := range w.Script.Servers {
			a := w.actors[letter]
			if !a.node.joined() {
				continue
			}
			a.tell(func() { a.say(1) })
			w.settle()
		}
	}
}

// Close ends every server and waits for what is on its way. No goroutine of the world is left.
func (w *World) Close() {
	for _, a := range w.actors {
		a.end()
	}
	for _, n := range w.nodes {
		n.planCrash(nil)
		n.close(true)
	}
	for _, n := range w.nodes {
		<-n.ended
	}
	w.Net.Wait()
}

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
			why, err = n.undone(tx)
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

// undone is what a server has still to do.
func (n *node) undone(tx *persistence.Tx) (string, error) {
	destinations, err := tx.Destinations()
	if err != nil {
		return "", err
	}
	for _, d := range destinations {
		queued, err := tx.QueueLength(d, 100)
		if err != nil || queued > 0 {
			return fmt.Sprintf("%d events for %s are not sent, after %d failures", queued, d.Server, d.Failures), err
		}
		if open, found, err := tx.OpenTransaction(d.Server); err != nil || found {
			return fmt.Sprintf("transaction %s to %s is not answered", open.TxnID, d.Server), err
		}
	}
	rooms, err := tx.Rooms()
	if err != nil {
		return "", err
	}
	for _, room := range rooms {
		if room.Membership == persistence.RoomLeft {
			continue // what is staged for it stays until it is joined again
		}
		if staged, err := tx.StagedCount(room.NID, 100); err != nil || staged > 0 {
			return fmt.Sprintf("%d events are not judged", staged), err
		}
	}
	rest, err := tx.EventsSince(n.journal.last(), 100)
	if err != nil || len(rest) > 0 {
		return fmt.Sprintf("%d events are not called back", len(rest)), err
	}
	return "", nil
}

// joined reports whether the server is in the room.
func (n *node) joined() bool {
	info, err := n.await().Engine().Room(context.Background(), n.world.Room())
	return err == nil && info.Membership == pdu.Joined
}

// Room is the room's id, "" before it was created.
func (w *World) Room() ident.RoomID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.room
}

// Faults is what went wrong on the way.
func (w *World) Faults() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.faults...)
}

func (w *World) fault(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.Timeline.Add("FAULT", "%s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = append(w.faults, text)
}

func (w *World) acknowledge(server ident.ServerName, event ident.EventID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks = append(w.acks, Acknowledged{server, event})
}

// Acknowledged is every promise that was made, in order of time.
func (w *World) Acknowledged() []Acknowledged {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Acknowledged(nil), w.acks...)
}
