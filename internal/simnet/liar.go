// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// liar is what makes a server hostile: a mouth between its handlers and the network, and a hand that makes events as it likes.
// Behind it runs an honest server, which knows the room. It holds the keys of its own server and no others. mu guards it: its
// actor forges, the network's goroutines ask.
type liar struct {
	node   *node
	client *transport.Client // by which it sends transactions of its own making, outside its server's queue

	mu     sync.Mutex
	allies []*liar // who know at once what this one makes and remembers, and answer for it too
	rand   *rand.Rand
	lies   map[string]bool
	views  []view // what it remembers of the room, oldest first
	made   map[ident.EventID]*event.Event
	txns   int
}

// view is the room as a liar's server once knew it.
type view struct {
	version     *event.Version
	room        ident.RoomID
	extremities []*event.Event
	state       map[event.StateKey]*event.Event
}

// lies are what a liar can be told to do with what it is asked for.
var lies = map[string]string{
	"withholds":          "has nothing of what it is asked for",
	"lies about state":   "leaves bans out of states, of those for joiners too, gives old power levels and members that it made up",
	"answers garbage":    "answers with what is no answer",
	"never ends":         "answers without an end",
	"answers with lots":  "answers with more than it was asked for",
	"answers honestly":   "takes back the above",
	"answers with forks": "puts events of its own making into every answer",
}

// hostileVerbs are those of users whose servers are liars.
var hostileVerbs = []string{"remembers", "remember", "forges", "forge", "forks", "hides", "hide", "chains"}

// parseLiar declares a server hostile, from the beginning on, or gives it another lie to tell from here on:
//
//	liar d                           honest in its answers; but its user can do the following
//	liar d withholds                 see lies for what there is
//	liar d with e                    what one of them makes and remembers the other does too, from here on
//	d remembers                      the room as it is now, to forge events that begin there
//	d forges 10                      events of any kind that must not count, to some or all of the honest servers
//	d forks 10                       well-made messages on the oldest view that it remembers, each to one honest server
//	d hides 3                        a chain of messages of which it shows the last one only
//	d chains 200                     an event with an auth chain of that length that leads nowhere
func (s *Script) parseLiar(words []string) (func(*World), error) {
	if len(words) == 0 || !slices.Contains(s.Servers, words[0]) {
		return nil, errors.New("a server is needed")
	}
	letter, lie := words[0], strings.Join(words[1:], " ")
	if !slices.Contains(s.Liars, letter) {
		s.Liars = append(s.Liars, letter)
	}
	if lie == "" {
		return func(*World) {}, nil
	}
	if other, ok := strings.CutPrefix(lie, "with "); ok {
		if !slices.Contains(s.Liars, other) || other == letter {
			return nil, errors.New("another liar is needed")
		}
		return func(w *World) {
			d, e := w.actors[letter].node.liar, w.actors[other].node.liar
			d.joinForces(e)
			e.joinForces(d)
		}, nil
	}
	if _, known := lies[lie]; !known {
		return nil, fmt.Errorf("%q is no lie", lie)
	}
	return func(w *World) { w.actors[letter].node.liar.tell(lie) }, nil
}

func (s *Script) allLie(letters []string) bool {
	return !slices.ContainsFunc(letters, func(letter string) bool { return !slices.Contains(s.Liars, letter) })
}

func newLiar(n *node) *liar {
	return &liar{
		node: n, rand: n.world.Seed.Stream("liar", string(n.name)), lies: map[string]bool{}, made: map[ident.EventID]*event.Event{},
		client: transport.NewClient(transport.ClientConfig{
			ServerName: n.name, Key: n.key, RoundTripper: n.world.Net.From(string(n.name), &Life{}),
		}),
	}
}

func (l *liar) tell(lie string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lie == "answers honestly" {
		l.lies = map[string]bool{}
		return
	}
	l.lies[lie] = true
}

// remember takes a view of the room, if its server is in it.
func (l *liar) remember(room ident.RoomID) {
	engine := l.node.await().Engine()
	ctx := context.Background()
	info, err := engine.Room(ctx, room)
	if err != nil {
		return
	}
	v := view{version: info.Version, room: room, state: map[event.StateKey]*event.Event{}}
	for _, id := range info.Extremities {
		if stored, err := engine.Event(ctx, id); err == nil {
			v.extremities = append(v.extremities, stored.Event)
		}
	}
	state, err := engine.State(ctx, room)
	if err != nil || len(v.extremities) == 0 {
		return
	}
	for _, e := range state {
		slot, _ := e.Slot()
		v.state[slot] = e
	}
	l.each(func(one *liar) { one.views = append(one.views, v) })
}

func (l *liar) joinForces(other *liar) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.allies = append(l.allies, other)
}

// each does something to this liar and to its allies, one after the other.
func (l *liar) each(do func(*liar)) {
	l.mu.Lock()
	all := append([]*liar{l}, l.allies...)
	l.mu.Unlock()
	for _, one := range all {
		one.mu.Lock()
		do(one)
		one.mu.Unlock()
	}
}

// oldest and newest are views that it has, nil for none.
func (l *liar) oldest() *view {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.views) == 0 {
		return nil
	}
	return &l.views[0]
}

func (l *liar) newest() *view {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.views) == 0 {
		return nil
	}
	return &l.views[len(l.views)-1]
}

// victims is some of the honest servers, at least one.
func (l *liar) victims() (list []ident.ServerName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	honest := l.node.world.honest()
	for _, n := range honest {
		if l.rand.IntN(2) == 0 {
			list = append(list, n.name)
		}
	}
	if len(list) == 0 && len(honest) > 0 {
		list = append(list, honest[l.rand.IntN(len(honest))].name)
	}
	return list
}

// keep takes down an event that it made, to answer for it.
func (l *liar) keep(e *event.Event) {
	l.each(func(one *liar) { one.made[e.ID()] = e })
}

// inOrder is the events that it made, in an order that a seed repeats.
func (l *liar) inOrder() []*event.Event {
	list := slices.Collect(maps.Values(l.made))
	slices.SortFunc(list, func(x, y *event.Event) int { return cmp.Compare(x.ID(), y.ID()) })
	return list
}

// send puts events into a transaction for each of some servers, and does not care what becomes of them.
func (l *liar) send(to []ident.ServerName, pdus ...[]byte) {
	list := make([]json.RawMessage, len(pdus))
	for i, p := range pdus {
		list[i] = p
	}
	body, err := json.Marshal(map[string]any{"origin": l.node.name, "origin_server_ts": time.Now().UnixMilli(), "pdus": list})
	if err != nil {
		l.node.world.fault("%s: %v", l.node.name, err)
		return
	}
	for _, name := range to {
		l.mu.Lock()
		l.txns++
		txn := "forged" + strconv.Itoa(l.txns)
		l.mu.Unlock()
		path := transport.Path("_matrix", "federation", "v1", "send", txn)
		_, err := l.client.Do(context.Background(), name, transport.Call{Method: http.MethodPut, Path: path, Body: body, Timeout: forgedTimeout})
		l.node.world.Timeline.Add(string(l.node.name), "FORGED %s to %s: %v", txn, name, err)
	}
}
