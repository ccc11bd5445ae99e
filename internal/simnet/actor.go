// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	maxTold     = 1000             // things an actor may have been told at a time
	maxGap      = 3 * time.Second  // between two things that an actor does
	tryAgain    = 10 * time.Second // after a join or leave that did not work
	maxAttempts = 1000             // nearly three hours of them
)

// actor is the user of one server: a goroutine that does what the script tells it, one thing after the other. When the server
// dies it waits for the next life, as a client would.
type actor struct {
	world *World
	node  *node
	rand  *rand.Rand
	told  chan func()
	said  int
}

func newActor(w *World, n *node) *actor {
	a := &actor{world: w, node: n, rand: w.Seed.Stream("actor", string(n.name)), told: make(chan func(), maxTold)}
	go func() {
		for do := range a.told {
			do()
			w.doing.Done()
		}
	}()
	return a
}

func (a *actor) tell(do func()) {
	a.world.doing.Add(1)
	a.told <- do
}

func (a *actor) end() { close(a.told) }

// breathe waits a little, as users do, and until the server is up.
func (a *actor) breathe() *messaging.Server {
	time.Sleep(time.Duration(a.rand.Float64() * float64(maxGap)))
	return a.node.await()
}

func (a *actor) rest() { time.Sleep(tryAgain) }

func (a *actor) create() {
	for range maxAttempts {
		room, err := a.breathe().CreateRoom(context.Background(), messaging.CreateRoom{
			Creator: a.node.user, Version: a.world.Version, Public: true, Name: "simulation",
		})
		if err == nil {
			a.world.mu.Lock()
			a.world.room = room
			a.world.granted[a.node.user] = creatorPower
			a.world.mu.Unlock()
			return
		}
		if !dying(err) {
			a.world.fault("%s: %v", a.node.name, err)
			return
		}
	}
}

// join joins over others, again and again until the server is in the room.
func (a *actor) join(via []ident.ServerName) {
	a.until("join", pdu.Joined, func(s *messaging.Server) error {
		return s.Join(context.Background(), a.node.user, a.world.Room(), via)
	})
}

func (a *actor) leave() {
	a.until("leave", pdu.Left, func(s *messaging.Server) error {
		return s.Leave(context.Background(), a.node.user, a.world.Room())
	})
}

func (a *actor) until(what string, want pdu.Membership, do func(*messaging.Server) error) {
	var err error
	for range maxAttempts {
		server := a.breathe()
		info, unknown := server.Engine().Room(context.Background(), a.world.Room())
		if unknown == nil && info.Membership == want {
			return
		}
		if err = do(server); err != nil {
			a.world.Timeline.Add(string(a.node.name), "%s: %v", what, err)
			a.rest()
		}
		if a.world.keptOut(err) {
			return
		}
	}
	a.world.fault("%s: %s did not work in %d attempts: %v", a.node.name, what, maxAttempts, err)
}

// keptOut says whether a join was refused because the user was banned meanwhile.
func (w *World) keptOut(err error) bool {
	var failure *transport.Failure
	return w.Script.Revokes && errors.As(err, &failure) && failure.Status == http.StatusForbidden
}

// say sends messages.
func (a *actor) say(n int) {
	for range n {
		a.said++
		content := map[string]string{"msgtype": "m.text", "body": fmt.Sprintf("%s says %d", a.node.name, a.said)}
		a.note(a.breathe().Send(context.Background(), a.world.Room(), a.node.user, "m.room.message", content))
	}
}

// setTopic changes a piece of state that all servers change.
func (a *actor) setTopic(n int) {
	for range n {
		a.said++
		content := map[string]string{"topic": fmt.Sprintf("%s, topic %d", a.node.name, a.said)}
		a.note(a.breathe().SendState(context.Background(), a.world.Room(), a.node.user, "m.room.topic", "", content))
	}
}

// note takes down what a call gave: an event, or an error. That the rules refuse, or that a server is dying, may happen.
func (a *actor) note(id ident.EventID, err error) {
	var refused *pdu.NotAllowed
	switch {
	case err == nil:
		a.world.Timeline.Add(string(a.node.name), "SENT %s", id)
		if a.node.liar == nil {
			a.world.acknowledge(a.node.name, id)
		}
	case dying(err), a.node.liar != nil, withoutPolicy(err), a.world.Script.Revokes && (errors.As(err, &refused) || errors.Is(err, pdu.ErrNotJoined) || errors.Is(err, pdu.ErrUnknownRoom)):
		a.world.Timeline.Add(string(a.node.name), "not sent: %v", err)
	default:
		a.world.fault("%s: %v", a.node.name, err)
	}
}
