// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// network is servers that are wired together: requests go straight to the other engine's routes, and what an engine queues for
// another waits until deliver. Servers without an engine have a key only: a test speaks for them.
type network struct {
	t *testing.T

	mu      sync.Mutex
	servers map[ident.ServerName]*server
	queue   []queued
	refuse  func(from, to ident.ServerName, call transport.Call) error // of requests
	lie     func(to ident.ServerName, call transport.Call) string      // an answer in place of the server's, "" for none
	keys    event.KeySource                                            // nil for allKeys
	ahead   int                                                        // history that is fetched unasked
	failing bool                                                       // a test makes the work on rooms fail
	asked   []string                                                   // "from to METHOD path" of each request
}

type queued struct {
	from, to ident.ServerName
	pdu      []byte
}

type server struct {
	net    *network
	name   ident.ServerName
	path   string
	engine *pdu.Engine
	store  *persistence.Store
	stop   func()
	crash  func(persistence.Point) error
	traced []trace.Event // guarded by net.mu
}

func inBubble(t *testing.T, f func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, &network{t: t, servers: map[ident.ServerName]*server{}})
	})
}

// start starts a server, on the file that it had before if it was stopped.
func (n *network) start(name ident.ServerName) *server {
	n.t.Helper()
	s := n.servers[name]
	if s == nil {
		s = &server{net: n, name: name, path: filepath.Join(n.t.TempDir(), "store")}
		n.servers[name] = s
		n.t.Cleanup(func() { s.close() })
	}
	s.open()
	return s
}

func (s *server) open() {
	s.net.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	store, err := persistence.Open(ctx, persistence.Options{
		Path: s.path, ServerName: string(s.name), NoSync: true, CommitPoint: func(p persistence.Point) error {
			s.net.mu.Lock()
			crash := s.crash
			s.net.mu.Unlock()
			if crash == nil {
				return nil
			}
			return crash(p)
		},
	})
	if err != nil {
		s.net.t.Fatal(err)
	}
	engine, err := pdu.NewEngine(pdu.EngineConfig{
		Self: s.name, Key: keyOf(s.name), Store: store, Keys: noNotary{cmp.Or[event.KeySource](s.net.keys, allKeys{})}, Client: s, Outbox: s, Trace: trace.SinkFunc(s.note), HistoryAhead: s.net.ahead,
	})
	if err != nil {
		s.net.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- engine.Run(ctx) }()
	s.engine, s.store = engine, store
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, persistence.ErrClosed) && !errors.Is(err, context.Canceled) {
			s.net.t.Errorf("%s: Run: %v", s.name, err)
		}
		_ = store.Close()
	})
}

func (s *server) close() { s.stop() }

func (s *server) restart() *server {
	s.net.t.Helper()
	s.close()
	s.net.mu.Lock()
	s.crash = nil
	s.net.mu.Unlock()
	s.open()
	return s
}

func (s *server) note(e trace.Event) {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	s.traced = append(s.traced, e)
	if failed, ok := e.(trace.PDURoomFailed); ok && !s.net.failing {
		s.net.t.Errorf("%s: %v", s.name, failed.Err)
	}
}

// EnqueuePDU implements pdu.Outbox.
func (s *server) EnqueuePDU(tx *persistence.Tx, _ ident.RoomID, _ ident.EventID, text []byte, dests []ident.ServerName) error {
	tx.AfterCommit(func() {
		s.net.mu.Lock()
		defer s.net.mu.Unlock()
		for _, to := range dests {
			s.net.queue = append(s.net.queue, queued{s.name, to, text})
		}
	})
	return nil
}

// Do implements pdu.Requester.
func (s *server) Do(ctx context.Context, to ident.ServerName, call transport.Call) (transport.Answer, error) {
	s.net.mu.Lock()
	s.net.asked = append(s.net.asked, fmt.Sprintf("%s %s %s %s", s.name, to, call.Method, call.Path))
	refuse, lie, other := s.net.refuse, s.net.lie, s.net.servers[to]
	s.net.mu.Unlock()
	if refuse != nil {
		if err := refuse(s.name, to, call); err != nil {
			return transport.Answer{}, err
		}
	}
	if lie != nil {
		if body := lie(to, call); body != "" {
			return transport.Answer{Status: http.StatusOK, Body: []byte(body)}, nil
		}
	}
	if other == nil {
		return transport.Answer{}, errors.New("no such server")
	}
	body, err := other.request(ctx, s.name, call)
	if refusal := (*transport.Error)(nil); errors.As(err, &refusal) {
		err = &transport.Failure{Class: transport.Class4xxContent, Status: refusal.Status, Code: refusal.Code, Message: refusal.Message}
	}
	return transport.Answer{Status: http.StatusOK, Body: body}, err
}

// request finds the route of a call and runs it.
func (s *server) request(ctx context.Context, origin ident.ServerName, call transport.Call) ([]byte, error) {
	path := strings.Split(call.Path, "/")
	for _, route := range s.engine.Routes() {
		pattern := strings.Split(route.Pattern, "/")
		if route.Method != call.Method || len(pattern) != len(path) {
			continue
		}
		params, matches := map[string]string{}, true
		for i, segment := range pattern {
			if name, ok := strings.CutPrefix(segment, ":"); ok {
				params[name], _ = url.PathUnescape(path[i])
			} else {
				matches = matches && segment == path[i]
			}
		}
		if matches {
			reply, err := route.Handle(ctx, &transport.Request{
				Origin: origin, Method: call.Method, Params: params, Query: call.Query, Body: call.Body,
			})
			if err != nil || reply.Stream == nil {
				return reply.Body, err
			}
			var body bytes.Buffer
			err = reply.Stream(&body)
			return body.Bytes(), err
		}
	}
	return nil, fmt.Errorf("no route for %s", call.Path)
}

// deliver sends what is queued, and what is queued because of it, one transaction for each PDU.
func (n *network) deliver() {
	n.t.Helper()
	for {
		synctest.Wait()
		n.mu.Lock()
		batch := n.queue
		n.queue = nil
		n.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, q := range batch {
			if to := n.servers[q.to]; to != nil {
				to.receive(q.from, q.pdu)
			}
		}
	}
}

// hold takes what is queued off the queue.
func (n *network) hold() []queued {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	held := n.queue
	n.queue = nil
	return held
}

// receive hands PDUs over in one transaction and waits until they are worked off.
func (s *server) receive(from ident.ServerName, pdus ...[]byte) map[ident.EventID]string {
	s.net.t.Helper()
	results, err := s.tryReceive(from, pdus...)
	if err != nil {
		s.net.t.Fatalf("%s: receive from %s: %v", s.name, from, err)
	}
	synctest.Wait()
	return results
}

func (s *server) tryReceive(from ident.ServerName, pdus ...[]byte) (map[ident.EventID]string, error) {
	ctx := context.Background()
	staged, err := s.engine.ReceivePDUs(ctx, transaction.Inbound{Origin: from, TxnID: "1", PDUs: pdus})
	if err != nil {
		return nil, err
	}
	return staged.Results, staged.Keep(ctx, func(*persistence.Tx) error { return nil })
}

// noNotary is keys without a notary.
type noNotary struct{ event.KeySource }

func (n noNotary) KeysVia(ctx context.Context, _ ident.ServerName, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	return n.Keys(ctx, queries)
}

// allKeys is every server's key.
type allKeys struct{}

func (allKeys) Keys(_ context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	found := map[keys.Query]ed25519.PublicKey{}
	for _, q := range queries {
		if key := keyOf(q.Server); key.ID == q.KeyID {
			found[q] = key.Public()
		}
	}
	return found
}

func keyOf(name ident.ServerName) signing.Key {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, name)
	key, err := signing.NewKey("ed25519:1", seed)
	if err != nil {
		panic(err)
	}
	return key
}

func key(s string) *string { return &s }

func member(user ident.UserID, target ident.UserID, membership string) pdu.Draft {
	return pdu.Draft{Type: "m.room.member", StateKey: key(string(target)), Content: fmt.Appendf(nil, `{"membership":%q}`, membership), Sender: user}
}

func text(user ident.UserID, body string) pdu.Draft {
	return pdu.Draft{Type: "m.room.message", Content: fmt.Appendf(nil, `{"body":%q,"msgtype":"m.text"}`, body), Sender: user}
}

func stateDraft(user ident.UserID, typ, content string) pdu.Draft {
	return pdu.Draft{Type: typ, StateKey: key(""), Content: []byte(content), Sender: user}
}

// shared is two servers in a room: alice of a has made it, and bob of b has joined.
func (n *network) shared(version string) (a, b *server, room ident.RoomID) {
	n.t.Helper()
	a, b = n.start("a.example"), n.start("b.example")
	room = a.createPublic(version, alice)
	b.join(room, bob, a)
	n.deliver()
	return a, b, room
}

// createPublic creates a room that anyone may join, with its creator in it.
func (s *server) createPublic(version string, creator ident.UserID) ident.RoomID {
	s.net.t.Helper()
	levels := fmt.Sprintf(`{"users":{%q:100}}`, creator)
	if v, _ := event.VersionOf(version); v.PrivilegedCreators {
		levels = `{}` // creators are above all levels, and must not be listed
	}
	id, _, err := s.engine.CreateRoom(context.Background(), version, creator, []byte(`{}`), []pdu.Draft{
		member(creator, creator, "join"), stateDraft(creator, "m.room.power_levels", levels),
		stateDraft(creator, "m.room.join_rules", `{"join_rule":"public"}`),
	})
	if err != nil {
		s.net.t.Fatal(err)
	}
	return id
}

func (s *server) send(room ident.RoomID, d pdu.Draft) *event.Event {
	s.net.t.Helper()
	e, err := s.engine.Send(context.Background(), room, d)
	if err != nil {
		s.net.t.Fatal(err)
	}
	return e
}

// join joins a room over another server, as messaging does.
func (s *server) join(room ident.RoomID, user ident.UserID, via *server) *event.Event {
	s.net.t.Helper()
	join, err := s.tryJoin(room, user, via)
	if err != nil {
		s.net.t.Fatal(err)
	}
	return join
}

func (s *server) tryJoin(room ident.RoomID, user ident.UserID, via *server) (*event.Event, error) {
	ctx := context.Background()
	join, err := s.handOver(room, member(user, user, "join"), via)
	if err != nil {
		return nil, err
	}
	version := join.Version()
	if err := s.engine.BeginJoin(ctx, room, version.ID); err != nil {
		return nil, err
	}
	admission, err := via.engine.AcceptMembership(ctx, s.name, pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}, join.JSON())
	if err != nil {
		return nil, err
	}
	parse := func(events []*event.Event) (list []*event.Event) {
		for _, e := range events {
			parsed, err := event.ParseBackfilled(version, e.JSON())
			if err != nil {
				s.net.t.Fatal(err)
			}
			list = append(list, parsed)
		}
		return list
	}
	return join, s.engine.AdoptRoom(ctx, version.ID, join, parse(via.events(admission.StateBefore)), parse(via.events(admission.AuthChain)), via.name)
}

// events is stored events by their ids.
func (s *server) events(ids []ident.EventID) (list []*event.Event) {
	s.net.t.Helper()
	for _, id := range ids {
		list = append(list, s.stored(id).Event)
	}
	return list
}

// handOver makes an event of another server's template.
func (s *server) handOver(room ident.RoomID, d pdu.Draft, via *server) (*event.Event, error) {
	template, version, err := via.engine.Template(context.Background(), room, d)
	if err != nil {
		return nil, err
	}
	p, err := event.FromTemplate(version, template)
	if err != nil {
		return nil, err
	}
	p.OriginServerTS = time.Now().UnixMilli()
	return event.Build(version, p, s.name, keyOf(s.name))
}

// build makes an event by hand, on given parents and auth events, in the name of its sender's server.
func build(t *testing.T, room ident.RoomID, d pdu.Draft, parents, auth []*event.Event) *event.Event {
	t.Helper()
	p := event.Proto{
		RoomID: room, Sender: d.Sender, Type: d.Type, StateKey: d.StateKey, Content: d.Content, Redacts: d.Redacts,
		OriginServerTS: time.Now().UnixMilli(),
	}
	for _, x := range parents {
		p.PrevEvents = append(p.PrevEvents, x.Ref())
		p.Depth = max(p.Depth, x.Depth()+1)
	}
	for _, x := range auth {
		p.AuthEvents = append(p.AuthEvents, x.Ref())
	}
	e, err := event.Build(parents[0].Version(), p, d.Sender.Server(), keyOf(d.Sender.Server()))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// authFor selects auth events of a server's current state: power levels and the senders' memberships, and create before
// version 12.
func (s *server) authFor(room ident.RoomID, slots ...event.StateKey) (list []*event.Event) {
	s.net.t.Helper()
	for _, slot := range slots {
		list = append(list, s.stateEvent(room, slot))
	}
	return list
}

func memberOf(user ident.UserID) event.StateKey {
	return event.StateKey{Type: "m.room.member", Key: string(user)}
}

var (
	createSlot = event.StateKey{Type: "m.room.create"}
	levelsSlot = event.StateKey{Type: "m.room.power_levels"}
	rulesSlot  = event.StateKey{Type: "m.room.join_rules"}
)

func (s *server) stateEvent(room ident.RoomID, slot event.StateKey) *event.Event {
	s.net.t.Helper()
	e, err := s.engine.StateEvent(context.Background(), room, slot)
	if err != nil {
		s.net.t.Fatal(err)
	}
	return e
}

// state is the current state by slot.
func (s *server) state(room ident.RoomID) map[event.StateKey]ident.EventID {
	s.net.t.Helper()
	events, err := s.engine.State(context.Background(), room)
	if err != nil {
		s.net.t.Fatal(err)
	}
	state := map[event.StateKey]ident.EventID{}
	for _, e := range events {
		slot, _ := e.Slot()
		state[slot] = e.ID()
	}
	return state
}

func (s *server) extremities(room ident.RoomID) []ident.EventID {
	s.net.t.Helper()
	info, err := s.engine.Room(context.Background(), room)
	if err != nil {
		s.net.t.Fatal(err)
	}
	return slices.Sorted(slices.Values(info.Extremities))
}

// outcome is what became of an event.
func (s *server) outcome(id ident.EventID) pdu.Outcome {
	s.net.t.Helper()
	v, found, err := s.engine.Verdict(context.Background(), id)
	if err != nil {
		s.net.t.Fatal(err)
	}
	if found {
		return v.Outcome
	}
	stored, err := s.engine.Event(context.Background(), id)
	if err != nil {
		return pdu.Dropped
	}
	return stored.Outcome
}

// wantOutcome checks what became of an event, and which check decided.
func (s *server) wantOutcome(e *event.Event, want pdu.Outcome, check, rule string) {
	s.net.t.Helper()
	v, _, err := s.engine.Verdict(context.Background(), e.ID())
	if err != nil {
		s.net.t.Fatal(err)
	}
	if got := s.outcome(e.ID()); got != want {
		s.net.t.Errorf("%s: %s is %v, want %v; checks: %+v, waits: %v", s.name, e.ID(), got, want, v.Checks, v.Waits)
		return
	}
	if d := v.Decisive(); check != "" && (d.ID != check || rule != "" && d.Rule != rule) {
		s.net.t.Errorf("%s: %s was decided by %s, %s (%s), want %s, %s", s.name, e.ID(), d.ID, d.Rule, d.Detail, check, rule)
	}
}

// delivered is the events that subscribers see, in order.
func (s *server) delivered() []ident.EventID {
	s.net.t.Helper()
	list, err := s.engine.Since(context.Background(), 0, 10_000)
	if err != nil {
		s.net.t.Fatal(err)
	}
	ids := make([]ident.EventID, 0, len(list))
	last := persistence.Position(0)
	for _, d := range list {
		if d.Position <= last {
			s.net.t.Errorf("%s: position %d after %d", s.name, d.Position, last)
		}
		last = d.Position
		ids = append(ids, d.Event.ID())
	}
	seen := maps.Collect(func(yield func(ident.EventID, bool) bool) {
		for _, id := range ids {
			if !yield(id, true) {
				return
			}
		}
	})
	if len(seen) != len(ids) {
		s.net.t.Errorf("%s: an event has two positions", s.name)
	}
	return ids
}

// errcode is "status errcode" of a refusal.
func errcode(err error) string {
	var refusal *transport.Error
	if errors.As(err, &refusal) {
		return fmt.Sprintf("%d %s", refusal.Status, refusal.Code)
	}
	return fmt.Sprint(err)
}

func decode(t *testing.T, body []byte) (answer map[string]json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}
