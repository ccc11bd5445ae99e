// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

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

	mu       sync.Mutex
	room     ident.RoomID
	acks     []Acknowledged
	faults   []string
	granted  Power
	verified map[string]string // by text of an event: what is wrong with its signature
	doing    sync.WaitGroup    // what actors were told to do
}

// NewWorld opens the servers of a script. dir gives each a directory.
func NewWorld(seed Seed, script *Script, version string, dir func() string) (*World, error) {
	timeline := &Timeline{start: time.Now()}
	w := &World{
		Seed: seed, Script: script, Version: version, Timeline: timeline, Net: NewNetwork(seed, timeline), dir: dir,
		actors: map[string]*actor{}, granted: Power{}, verified: map[string]string{},
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
// thing, so that all of them have seen the same. Liars go on lying, but have no last word, nor has a policy server, whom nobody would
// sign it.
func (w *World) Run() {
	for _, step := range w.Script.Steps {
		w.Timeline.Add("script", "%d: %s", step.Line, step.Text)
		step.run(w)
	}
	w.doing.Wait()
	w.Net.Heal()
	w.Net.SetFaults(Calm)
	w.Net.Cure()
	for _, n := range w.nodes {
		n.planCrash(nil)
		n.journal.setFail(0)
	}
	w.settle()
	for range 2 { // the second round references what the first one brought
		for _, letter := range w.Script.Servers {
			a := w.actors[letter]
			if a.node.liar != nil || a.node.police != nil || !a.node.joined() {
				continue
			}
			a.tell(func() { a.say(1) })
			if w.Script.Devices {
				a.tell(func() { a.changeDevices(1) })
			}
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

// Judge takes the servers' snapshots, closes the world and gives what is to be judged.
func (w *World) Judge() (End, error) {
	snapshots, err := w.Snapshots()
	misparked, parkErr := w.misparked()
	w.Close()
	end := End{
		Snapshots: snapshots, Acknowledged: w.Acknowledged(), Links: w.Net.Faults(), Faults: w.Faults(), Revokes: w.Script.Revokes,
		Veiled: w.Script.Veiled, Expected: w.Script.Expected, Granted: w.granted, Misparked: misparked,
	}
	for _, n := range w.nodes {
		if n.liar != nil {
			end.Liars = append(end.Liars, n.name)
		}
	}
	end.putOut()
	return end, errors.Join(err, parkErr)
}

// Acknowledged is every promise that was made, in order of time.
func (w *World) Acknowledged() []Acknowledged {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Acknowledged(nil), w.acks...)
}
