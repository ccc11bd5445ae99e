// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errReset   = errors.New("connection reset")
	errRefused = errors.New("connection refused")
	errDead    = errors.New("the process is dead")
)

// Life is one run of a server's process, from its opening to its end or crash.
type Life struct {
	ended   atomic.Bool
	handler http.Handler
}

// End ends the life: nothing goes out or comes in any more, and replies that are on the way from it are lost.
func (l *Life) End() { l.ended.Store(true) }

// Network carries requests between servers. Each request and each second copy travels on a goroutine of its own; mu guards what
// they share.
type Network struct {
	seed     Seed
	timeline *Timeline
	links    *Ledger

	flights sync.WaitGroup

	mu     sync.Mutex
	faults Faults
	side   map[string]int     // of the partition; those on no side are on side 0
	broken map[[2]string]bool // pairs that cannot reach each other
	lives  map[string]*Life
	ailing map[string]*ailment
	sent   map[string]int // requests so far by link and endpoint
	flying int
}

// NewNetwork makes a calm network of no servers.
func NewNetwork(seed Seed, timeline *Timeline) *Network {
	return &Network{
		seed: seed, timeline: timeline, links: NewLedger(), faults: Calm,
		side: map[string]int{}, broken: map[[2]string]bool{}, lives: map[string]*Life{}, ailing: map[string]*ailment{}, sent: map[string]int{},
	}
}

// SetFaults changes what happens to requests that are sent from now on.
func (n *Network) SetFaults(f Faults) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = f
}

// Heal lets everyone reach everyone.
func (n *Network) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.side, n.broken = map[string]int{}, map[[2]string]bool{}
}

// Sever breaks the link between two servers, until Heal.
func (n *Network) Sever(a, b string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.broken[[2]string{min(a, b), max(a, b)}] = true
}

// Cut lets only servers of one group reach each other, until the next Cut or Heal.
func (n *Network) Cut(groups ...[]string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.side = map[string]int{}
	for i, group := range groups {
		for _, name := range group {
			n.side[name] = i
		}
	}
}

// Attach makes a server reachable in a life of which no one knows yet.
func (n *Network) Attach(name string, life *Life, handler http.Handler) {
	life.handler = handler
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lives[name] = life
}

// Distrust exempts what a server sends from the order that the ledger watches.
func (n *Network) Distrust(name string) { n.links.Distrust(name) }

// Flying is how many requests and replies are on their way.
func (n *Network) Flying() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.flying
}

// Wait returns when nothing is on its way any more.
func (n *Network) Wait() { n.flights.Wait() }

// From is the way out into the network of a server in one of its lives.
func (n *Network) From(name string, life *Life) http.RoundTripper { return uplink{n, name, life} }

type uplink struct {
	network *Network
	name    string
	life    *Life
}

// message is one request as it is on the wire.
type message struct {
	from, to string
	request  *http.Request
	body     []byte
	fate     Fate
	replays  []time.Duration
}

func (m *message) String() string {
	return fmt.Sprintf("-> %s %s %s", m.to, m.request.Method, m.request.URL.RequestURI())
}

// RoundTrip implements http.RoundTripper.
func (u uplink) RoundTrip(r *http.Request) (*http.Response, error) {
	m := &message{from: u.name, to: r.URL.Host, request: r}
	if r.Body != nil {
		defer r.Body.Close()
		var err error
		if m.body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	if u.life.ended.Load() {
		return nil, errDead
	}
	n := u.network
	m.fate, m.replays = n.draw(m)
	defer n.links.Begin(m.from, m.to, r.Method, r.URL, m.body)()
	replies := make(chan reply, 1)
	n.fly(func() { n.carry(m, replies) })
	if m.fate.Again > 0 {
		n.fly(func() {
			time.Sleep(m.fate.There + m.fate.Again)
			answer := n.serve(m)
			n.links.Give(m.to, m.from, answer.given)()
			n.timeline.Add(m.from, "%s, the second time: %s", m, answer)
		})
	}
	for _, after := range m.replays {
		n.flights.Go(func() { // nobody waits for it
			time.Sleep(m.fate.There + after)
			answer := n.serve(m)
			n.links.Give(m.to, m.from, answer.given)()
			n.timeline.Add(m.from, "%s, replayed: %s", m, answer)
		})
	}
	select {
	case answer := <-replies:
		return answer.response, answer.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// reply is what comes back: a response or an error of the connection.
type reply struct {
	response *http.Response
	err      error
	given    []byte // what the server says to one who asks for what it missed
}

func (r reply) String() string {
	if r.err != nil {
		return r.err.Error()
	}
	return r.response.Status
}

// draw decides what becomes of a message. Each link has a stream for each endpoint and number of request, so that requests of
// one kind do not shift the fate of others.
func (n *Network) draw(m *message) (Fate, []time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := m.from + " " + m.to + " " + endpoint(m.request.URL.Path)
	n.sent[key]++
	number := fmt.Sprint(n.sent[key])
	return n.faults.Draw(n.seed.Stream("request", key, number)), n.faults.Replays(n.seed.Stream("replay", key, number))
}

// endpoint is the part of a path that names what is asked for, without of whom: "federation/v1/send".
func endpoint(path string) string {
	const segments = 3
	parts := strings.Split(strings.TrimPrefix(path, "/_matrix/"), "/")
	return strings.Join(parts[:min(segments, len(parts))], "/")
}

// fly runs f as something that is on its way.
func (n *Network) fly(f func()) {
	n.mu.Lock()
	n.flying++
	n.mu.Unlock()
	n.flights.Go(func() {
		f()
		n.mu.Lock()
		n.flying--
		n.mu.Unlock()
	})
}

// carry takes a message there and the reply back. What is lost silently gets no reply.
func (n *Network) carry(m *message, replies chan<- reply) {
	time.Sleep(m.fate.There)
	lose := func(where string) {
		n.timeline.Add(m.from, "%s: %s lost (silently: %t)", m, where, m.fate.Silent)
		if !m.fate.Silent {
			replies <- reply{err: errReset}
		}
	}
	if m.fate.Lost || !n.connected(m.from, m.to) {
		lose("request")
		return
	}
	answer := n.serve(m)
	defer n.links.Give(m.to, m.from, answer.given)()
	time.Sleep(m.fate.Back)
	if m.fate.Unanswered || !n.connected(m.from, m.to) {
		lose("reply " + answer.String())
		return
	}
	n.timeline.Add(m.from, "%s: %s", m, answer)
	replies <- answer
}

func (n *Network) connected(a, b string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.side[a] == n.side[b] && !n.broken[[2]string{min(a, b), max(a, b)}]
}

// serve has the destination work on a message. It does not learn whether the sender still waits: a dead peer's connection stays
// open until something is written to it.
func (n *Network) serve(m *message) reply {
	n.mu.Lock()
	life := n.lives[m.to]
	n.mu.Unlock()
	if life == nil || life.ended.Load() {
		return reply{err: errRefused}
	}
	honest := func() reply { return n.handle(life, m) }
	if a := n.ailmentOf(m); a != nil {
		return a.takes(a, m, honest)
	}
	return honest()
}

// handle has a server in one of its lives work on a message.
func (n *Network) handle(life *Life, m *message) reply {
	arriving := m.request.Clone(context.Background())
	arriving.RequestURI = m.request.URL.RequestURI()
	arriving.Host = m.to
	arriving.RemoteAddr = "192.0.2.1:1" // TEST-NET-1
	arriving.Body = io.NopCloser(bytes.NewReader(m.body))
	a := answer{ResponseRecorder: httptest.NewRecorder()}
	life.handler.ServeHTTP(&a, arriving)
	if life.ended.Load() {
		return reply{err: errReset}
	}
	response := a.Result()
	if a.open {
		response.Body, response.ContentLength = drip{m.request.Context().Done()}, -1
	}
	answered := reply{response: response}
	if m.request.URL.Path == pullPath && response.StatusCode == http.StatusOK {
		answered.given = a.Body.Bytes()
	}
	return answered
}

// Faults is what went wrong on the links, in words.
func (n *Network) Faults() []string { return n.links.Faults() }
