// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/homeserver/compose"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// history makes things happen, at random but for its seed.
type history struct {
	*site
	random *rand.Rand
	rooms  []ident.RoomID
	tokens []string
}

var users = []ident.UserID{alice, bob, carol}

func newHistory(s *site, seed uint64) *history {
	h := &history{site: s, random: rand.New(rand.NewPCG(seed, 0))}
	for i := range 3 {
		setting := []string{"shared", "joined", "invited"}[i]
		room := must[ident.RoomID](s.t)(s.server.CreateRoom(s.t.Context(), messaging.CreateRoom{
			Creator: alice, Public: true, Name: []string{"", "named", ""}[i],
			State: []messaging.State{{Type: "m.room.history_visibility", Content: map[string]string{"history_visibility": setting}}},
		}))
		h.rooms = append(h.rooms, room)
	}
	return h
}

// step makes one thing happen. What the room's rules refuse does not: that is as well.
func (h *history) step(n int) {
	h.t.Helper()
	ctx, server := h.t.Context(), h.server
	user, room := users[h.random.IntN(len(users))], h.rooms[h.random.IntN(len(h.rooms))]
	put := func(path, body string) { h.Do(h.t, string(user)+" DEVICE", http.MethodPut, path, body) }
	switch h.random.IntN(14) {
	case 0, 1, 2, 3:
		_, _ = server.Send(ctx, room, user, "m.room.message", text(fmt.Sprint("message ", n)))
	case 4:
		_, _ = server.SendState(ctx, room, alice, "m.room.topic", "", map[string]string{"topic": fmt.Sprint(n)})
	case 5:
		_, _ = server.SendState(ctx, room, alice, "org.test", fmt.Sprint(h.random.IntN(3)), map[string]int{"n": n})
	case 6, 7:
		_ = server.Join(ctx, user, room, nil)
	case 8:
		if user != alice {
			_ = server.Leave(ctx, user, room)
		}
	case 9:
		put("/_matrix/client/v3/user/"+string(user)+"/account_data/org.test", fmt.Sprintf(`{"n":%d}`, n))
	case 10:
		put("/_matrix/client/v3/user/"+string(user)+"/rooms/"+string(room)+"/account_data/org.test", fmt.Sprintf(`{"n":%d}`, n))
	case 11:
		put("/_matrix/client/v3/rooms/"+string(room)+"/typing/"+string(user), fmt.Sprintf(`{"typing":%t,"timeout":30000}`, h.random.IntN(2) == 0))
	case 12:
		setting := []string{"shared", "joined", "invited", "world_readable"}[h.random.IntN(4)]
		_, _ = server.SendState(ctx, room, alice, "m.room.history_visibility", "", map[string]string{"history_visibility": setting})
	case 13:
		_, _ = server.SendState(ctx, room, alice, "m.room.member", string(users[1+h.random.IntN(2)]), map[string]string{
			"membership": []string{"invite", "leave", "ban"}[h.random.IntN(3)],
		})
	}
}

// queries are filters and switches of syncs.
var queries = [][]string{
	{},
	{`filter={"room":{"timeline":{"limit":1}}}`},
	{`filter={"room":{"timeline":{"limit":3},"include_leave":true}}`},
	{`filter={"room":{"state":{"lazy_load_members":true},"timeline":{"limit":2}}}`, "use_state_after=true"},
	{`filter={"room":{"timeline":{"types":["m.room.message"],"limit":4},"ephemeral":{"types":[]}}}`},
	{`filter={"room":{"timeline":{"not_types":["m.room.*"]},"state":{"types":["org.test"]},"account_data":{"types":[]}}}`},
	{`filter={"event_fields":["content.body","type"],"event_format":"client","presence":{"types":[]}}`},
	{`filter={"event_format":"federation","room":{"timeline":{"not_senders":["@alice:a.example"]}}}`},
	{"org.matrix.msc4222.use_state_after=true"},
}

// seeds is one under the race detector: another finds other answers, by the same goroutines.
func seeds() uint64 {
	if testing.Short() {
		return 1
	}
	return 2
}

// TestLinearEqualsPolylog: both ways of finding what happened give the same answer, byte for byte (B14, N2), and one that remembers
// nothing gives it too (B2, N8).
func TestLinearEqualsPolylog(t *testing.T) {
	for seed := range seeds() {
		inBubble(t, func(t *testing.T, s *site) {
			h := newHistory(s, seed)
			for n := range 60 {
				if h.step(n); n%3 == 0 {
					h.tokens = append(h.tokens, h.next(alice))
				}
			}
			type question struct {
				user  ident.UserID
				query []string
			}
			var questions []question
			var answers []json.RawMessage
			for range 60 {
				q := question{users[h.random.IntN(len(users))], queries[h.random.IntN(len(queries))]}
				q.query = append(q.query[:len(q.query):len(q.query)], "since="+h.tokens[h.random.IntN(len(h.tokens))])
				s.composer.Force(compose.Polylog)
				polylog := s.raw(q.user, q.query...)
				s.composer.Force(compose.Linear)
				linear := s.raw(q.user, q.query...)
				if !bytes.Equal(polylog, linear) {
					t.Fatalf("seed %d, %s, %v\npolylog %s\nlinear  %s", seed, q.user, q.query, polylog, linear)
				}
				questions, answers = append(questions, q), append(answers, linear)
			}
			s.make()
			for i, q := range questions {
				if again := s.raw(q.user, q.query...); !bytes.Equal(again, answers[i]) {
					t.Fatalf("seed %d, %s, %v\nbefore %s\nafter all was forgotten %s", seed, q.user, q.query, answers[i], again)
				}
			}
		})
	}
}

// silently puts another event into a slot of a room's state, as resolution does when what it knew not before turns up.
func (s *site) silently(room ident.RoomID, slot event.StateKey, id ident.EventID) {
	s.t.Helper()
	err := s.server.Store().Update(s.t.Context(), func(tx *persistence.Tx) error {
		row, _, err := tx.Room(room)
		if err != nil {
			return err
		}
		before, _, err := tx.RoomStateAt(row.NID, tx.LastPosition())
		if err != nil {
			return err
		}
		root, nodes, err := state.Set(nodesOf{tx}, state.Root(before.Root), map[event.StateKey]ident.EventID{slot: id})
		if err != nil {
			return err
		}
		for _, n := range nodes {
			if err := tx.AddStateNode(n.Hash[:], n.Data); err != nil {
				return err
			}
		}
		at, err := tx.NextPosition()
		if err != nil {
			return err
		}
		return tx.AddRoomState(persistence.RoomState{Room: row.NID, Position: at, Root: root[:], Silent: true})
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

type nodesOf struct{ tx *persistence.Tx }

// Node implements state.Nodes.
func (n nodesOf) Node(hash state.Root) (state.Node, error) {
	data, found, err := n.tx.StateNode(hash[:])
	if err != nil || !found {
		return state.Node{}, fmt.Errorf("no node, %w", err)
	}
	return state.ReadNode(hash, data)
}

// TestGoldenResolution is G12: a change of state that no event made is told in state, and wakes (S-08).
func TestGoldenResolution(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		v := playVector(s, "shared")
		old := v.sync(alice, "since="+v.tokens[9], limit(5)).Rooms.Join[v.room].State.Events[0] // D''
		v.silently(v.room, event.StateKey{Type: "org.test.D"}, ident.EventID(old.ID))
		want := shown{"", false, "D''", "D''"}
		if got := v.see(alice, "since="+v.tokens[15], limit(5)); !cmp.Equal(got, want) {
			t.Errorf("G12: %s", cmp.Diff(want, got))
		}
		// In the middle of a timeline that sets the slot before: the answer ends before the change, and the next one has it.
		first := v.sync(alice, "since="+v.tokens[12], limit(5))
		one := first.Rooms.Join[v.room]
		if got := strings.Join(names(one.Timeline.Events, alice), " "); got != "D''' D'''' 6" || len(one.State.Events) != 0 {
			t.Errorf("the timeline is %q with state %v, want that before the change", got, one.State.Events)
		}
		if got := v.see(alice, "since="+first.NextBatch, limit(5)); !cmp.Equal(got, want) {
			t.Errorf("after it: %s", cmp.Diff(want, got))
		}
	})
}

// folded is a room's state as a client has it.
type folded map[event.StateKey]string

func (f folded) take(list *events) {
	if list == nil {
		return
	}
	for _, e := range list.Events {
		if e.StateKey != nil {
			f[event.StateKey{Type: e.Type, Key: *e.StateKey}] = e.ID
		}
	}
}

// TestFolding: what a client makes of state and timeline, what it makes of state_after, and the room's state are the same (N9).
func TestFolding(t *testing.T) {
	for seed := range seeds() {
		inBubble(t, func(t *testing.T, s *site) {
			h := newHistory(s, seed)
			type client struct {
				user  ident.UserID
				query []string
				since string
				rooms map[ident.RoomID]folded
			}
			var clients []*client
			for _, user := range users {
				for _, query := range [][]string{{limit(2)}, {limit(2), "use_state_after=true"}} {
					clients = append(clients, &client{user: user, query: query, rooms: map[ident.RoomID]folded{}})
				}
			}
			for n := range 60 {
				if h.step(n); n%5 != 0 {
					continue
				}
				for _, c := range clients {
					query := c.query
					if c.since != "" {
						query = append(query[:len(query):len(query)], "since="+c.since)
					}
					a := s.sync(c.user, query...)
					for _, gone := range []map[ident.RoomID]roomAnswer{a.Rooms.Leave, a.Rooms.Invite} {
						for room := range gone {
							delete(c.rooms, room)
						}
					}
					for room, r := range a.Rooms.Join {
						if c.rooms[room] == nil {
							c.rooms[room] = folded{}
						}
						if r.StateAfter == nil {
							c.rooms[room].take(r.State)
							c.rooms[room].take(&r.Timeline.events)
						}
						c.rooms[room].take(r.StateAfter)
					}
					c.since = a.NextBatch
					for room, got := range c.rooms {
						if diff := cmp.Diff(h.stateOf(room), got); diff != "" {
							t.Fatalf("seed %d, step %d: %s %v has another state of %s: %s\n%s", seed, n, c.user, query, room, diff, s.raw(c.user, query...))
						}
					}
				}
			}
		})
	}
}

func (h *history) stateOf(room ident.RoomID) folded {
	h.t.Helper()
	all := folded{}
	for _, e := range must[[]*event.Event](h.t)(h.server.Engine().State(h.t.Context(), room)) {
		slot, _ := e.Slot()
		all[slot] = string(e.ID())
	}
	return all
}

// TestWokenForSomething: no client is woken for nothing (N3), nobody whom it concerns sleeps on, and whoever waits in vain is answered
// when the time is up (S-03).
func TestWokenForSomething(t *testing.T) {
	for seed := range seeds() {
		inBubble(t, func(t *testing.T, s *site) {
			h := newHistory(s, seed)
			type waiting struct {
				user  ident.UserID
				query []string
			}
			answered := make(chan waiting, 100)
			park := func(w waiting, since string) {
				go func() {
					s.ask(w.user, append(w.query[:len(w.query):len(w.query)], "since="+since, "timeout=600000")...)
					answered <- w
				}()
			}
			since := s.next(alice)
			for _, user := range users {
				for _, query := range queries {
					park(waiting{user, query}, since)
				}
			}
			for n := range 60 {
				synctest.Wait()
				h.step(n)
				synctest.Wait()
				for len(answered) > 0 {
					w := <-answered
					park(w, s.sync(w.user, w.query...).NextBatch)
				}
			}
			time.Sleep(time.Hour) // those who still wait are answered
			synctest.Wait()
			if len(answered) != len(users)*len(queries) {
				t.Errorf("seed %d: %d of %d answered when the time was up", seed, len(answered), len(users)*len(queries))
			}
			if got := s.waiting.Figures(); got.Waiting != 0 || got.ForNothing != 0 || got.Told < 60 {
				t.Errorf("seed %d: %+v, want that nobody waits any more, and many were told what they were woken for", seed, got)
			}
		})
	}
}
