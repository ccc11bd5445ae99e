// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// joinPartially is tryJoin with the members left out.
func (s *server) joinPartially(room ident.RoomID, user ident.UserID, via *server) (*event.Event, error) {
	ctx := context.Background()
	join, err := s.handOver(room, member(user, user, "join"), via)
	if err != nil {
		return nil, err
	}
	version := join.Version()
	if err := s.engine.BeginJoin(ctx, room, version.ID); err != nil {
		return nil, err
	}
	h := pdu.Handover{Room: room, EventID: join.ID(), Membership: "join", OmitMembers: true}
	admission, err := via.engine.AcceptMembership(ctx, s.name, h, join.JSON())
	if err != nil {
		return nil, err
	}
	return join, s.engine.AdoptPartialRoom(ctx, version.ID, join, reparse(s.net.t, version, via.events(admission.StateBefore)),
		reparse(s.net.t, version, via.events(admission.AuthChain)), via.name, admission.ServersInRoom)
}

func reparse(t *testing.T, version *event.Version, events []*event.Event) (list []*event.Event) {
	for _, e := range events {
		parsed, err := event.ParseBackfilled(version, e.JSON())
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, parsed)
	}
	return list
}

// withholdState makes servers refuse to tell states, until release is called.
func (n *network) withholdState() (release func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = func(_, _ ident.ServerName, call transport.Call) error {
		if strings.Contains(call.Path, "/state") {
			return errors.New("not now")
		}
		return nil
	}
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.refuse = nil
	}
}

// crowded is a room of a with users of c, and one of m who is banned. It has a name, so no member is told to a partial joiner. left
// is m's join.
func crowded(n *network, version string) (a, b, c *server, room ident.RoomID, left *event.Event) {
	n.t.Helper()
	a, b, c = n.start("a.example"), n.start("b.example"), n.start("c.example")
	m := n.start("m.example")
	room = a.createPublic(version, alice)
	a.send(room, stateDraft(alice, "m.room.name", `{"name":"crowd"}`))
	c.join(room, carol, a)
	left = m.join(room, mal, a)
	n.deliver()
	a.send(room, member(alice, mal, "ban"))
	n.deliver()
	return a, b, c, room, left
}

func (s *server) info(room ident.RoomID) pdu.RoomInfo {
	s.net.t.Helper()
	info, err := s.engine.Room(context.Background(), room)
	if err != nil {
		s.net.t.Fatal(err)
	}
	return info
}

func (s *server) serversOf(room ident.RoomID) []ident.ServerName {
	s.net.t.Helper()
	servers, err := s.engine.Servers(context.Background(), room)
	if err != nil {
		s.net.t.Fatal(err)
	}
	return servers
}

// wantWhole checks that s sees a room exactly like another server.
func (s *server) wantWhole(room ident.RoomID, other *server) {
	s.net.t.Helper()
	if s.info(room).Partial {
		c, _, _ := s.engine.Completion(context.Background(), room)
		s.net.t.Errorf("%s: the room is partial still: %+v", s.name, c)
	}
	if diff := cmp.Diff(other.state(room), s.state(room)); diff != "" {
		s.net.t.Errorf("%s: state: %s", s.name, diff)
	}
	if diff := cmp.Diff(other.extremities(room), s.extremities(room)); diff != "" {
		s.net.t.Errorf("%s: extremities: %s", s.name, diff)
	}
	if diff := cmp.Diff(other.serversOf(room), s.serversOf(room)); diff != "" {
		s.net.t.Errorf("%s: servers: %s", s.name, diff)
	}
}

// M-10, M-12: a room whose members are not known is used at once, and ends like any other.
func TestPartialJoin(t *testing.T) {
	for _, version := range []string{"1", "6", "10", "12"} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b, c, room, _ := crowded(n, version)
				release := n.withholdState()
				join, err := b.joinPartially(room, bob, a)
				if err != nil {
					t.Fatal(err)
				}
				n.deliver()
				if info := b.info(room); !info.Partial || info.Membership != pdu.Joined {
					t.Fatalf("after the join: %+v", info)
				}
				if b.stateEvent(room, memberOf(carol)) != nil {
					t.Fatal("carol is known already: nothing is tested")
				}
				if want := []ident.ServerName{"a.example", "b.example", "c.example"}; !slices.Equal(b.serversOf(room), want) {
					t.Errorf("servers %v, want %v", b.serversOf(room), want)
				}
				hello := b.send(room, text(bob, "hello"))
				n.deliver()
				a.wantOutcome(hello, pdu.Accepted, "", "")
				c.wantOutcome(hello, pdu.Accepted, "", "")
				answer := c.send(room, text(carol, "welcome")) // of whom nothing is known here
				n.deliver()
				b.wantOutcome(answer, pdu.Accepted, "", "")
				kick := a.send(room, member(alice, carol, "leave"))
				n.deliver()
				if diff := cmp.Diff([]ident.EventID{join.ID(), hello.ID(), answer.ID(), kick.ID()}, b.delivered()); diff != "" {
					t.Errorf("delivered: %s", diff)
				}

				release()
				time.Sleep(time.Hour)
				synctest.Wait()
				b.wantWhole(room, a)
				if _, partial, err := b.engine.Completion(t.Context(), room); partial || err != nil {
					t.Errorf("completion: %t, %v", partial, err)
				}
				if diff := cmp.Diff([]ident.EventID{join.ID(), hello.ID(), answer.ID(), kick.ID()}, b.delivered()); diff != "" {
					t.Errorf("delivered after the completion: %s", diff)
				}
			})
		})
	}
}

// M-12: while members are missing, nothing is answered that needs them.
func TestPartialRoomTellsNoState(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, _, room, _ := crowded(n, "10")
		n.withholdState()
		join, err := b.joinPartially(room, bob, a)
		if err != nil {
			t.Fatal(err)
		}
		n.deliver()
		at, query := "/"+url.PathEscape(string(room)), url.Values{"event_id": {string(join.ID())}}
		for _, path := range []string{"state", "state_ids"} {
			if _, err := b.request(t.Context(), "a.example", get(path+at, query)); errcode(err) != "404 M_NOT_FOUND" {
				t.Errorf("%s: %v, want 404 M_NOT_FOUND", path, err)
			}
		}
		if _, _, err := b.engine.Template(t.Context(), room, member(mal, mal, "join")); errcode(err) != "404 M_NOT_FOUND" {
			t.Errorf("make_join: %v, want 404 M_NOT_FOUND", err)
		}
		late, err := n.servers["m.example"].handOver(room, member("@new:m.example", "@new:m.example", "join"), a)
		if err != nil {
			t.Fatal(err)
		}
		h := pdu.Handover{Room: room, EventID: late.ID(), Membership: "join"}
		if _, err := b.engine.AcceptMembership(t.Context(), "m.example", h, late.JSON()); errcode(err) != "404 M_NOT_FOUND" {
			t.Errorf("send_join: %v, want 404 M_NOT_FOUND", err)
		}
	})
}

// evaded is a room that b has joined partially, in which an event of the banned mal was accepted, and delivered.
func evaded(t *testing.T, n *network) (a, b *server, room ident.RoomID, evasion, after *event.Event, release func()) {
	t.Helper()
	a, b, _, room, left := crowded(n, "10")
	release = n.withholdState()
	join, err := b.joinPartially(room, bob, a)
	if err != nil {
		t.Fatal(err)
	}
	n.deliver()
	auth := append(a.authFor(room, createSlot, levelsSlot), left)
	evasion = build(t, room, text(mal, "I am not banned"), []*event.Event{join}, auth)
	b.receive("m.example", evasion.JSON())
	b.wantOutcome(evasion, pdu.Accepted, "", "")
	after = a.send(room, text(alice, "after"))
	n.deliver()
	return a, b, room, evasion, after, release
}

// M-12: what was accepted for lack of members is judged again when they are known: it is no extremity any more, and its record says
// what it was.
func TestBannedUserInAPartialRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, room, evasion, after, release := evaded(t, n)
		before := b.delivered()
		if !slices.Contains(before, evasion.ID()) {
			t.Fatal("the evasion was not delivered: nothing is tested")
		}
		release()
		time.Sleep(time.Hour)
		synctest.Wait()
		b.wantOutcome(evasion, pdu.Rejected, "P-28", "")
		b.wantOutcome(after, pdu.Accepted, "", "")
		b.wantWhole(room, a)
		if diff := cmp.Diff(before, b.delivered()); diff != "" {
			t.Errorf("what was delivered has changed: %s", diff)
		}
		v, _, err := b.engine.Verdict(t.Context(), evasion.ID())
		if err != nil || v.Checks[0].ID != "again" || !strings.Contains(v.Checks[0].Detail, "accepted before and delivered at position") {
			t.Errorf("the record does not say what it was: %+v, %v", v.Checks, err)
		}
	})
}

// The server that let us in goes down, and so do we: the completion goes on with the others.
func TestPartialRoomSurvives(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		_, b, c, room, _ := crowded(n, "12")
		n.withholdState()
		if _, err := b.joinPartially(room, bob, n.servers["a.example"]); err != nil {
			t.Fatal(err)
		}
		n.deliver()
		time.Sleep(time.Minute)
		if c, partial, err := b.engine.Completion(t.Context(), room); !partial || c.Attempts < 2 || !strings.Contains(c.Note, "not now") {
			t.Errorf("completion after a minute: %+v, %t, %v", c, partial, err)
		}
		b.restart()
		if !b.info(room).Partial {
			t.Error("after the restart the room is not partial")
		}
		b.send(room, text(bob, "still here"))
		n.deliver()
		n.mu.Lock()
		n.refuse = func(_, to ident.ServerName, _ transport.Call) error {
			if to == "a.example" {
				return errors.New("down")
			}
			return nil
		}
		n.mu.Unlock()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		b.wantWhole(room, c)
	})
}

// A crash at any point of the completion leaves a room that is completed after it.
func TestCrashWhileCompleting(t *testing.T) {
	for nth := range 4 {
		t.Run(fmt.Sprint(nth), func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b, room, evasion, _, release := evaded(t, n)
				release()
				b.crashAt(nth)
				n.failing = true
				time.Sleep(time.Hour)
				synctest.Wait()
				b.restart()
				time.Sleep(time.Hour)
				synctest.Wait()
				b.wantOutcome(evasion, pdu.Rejected, "P-28", "")
				b.wantWhole(room, a)
				b.delivered()
			})
		})
	}
}

// The last user leaves while members are missing: nothing is sought any more. When one comes back all begins anew.
func TestLeavingAPartialRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, _, room, _ := crowded(n, "11")
		release := n.withholdState()
		if _, err := b.joinPartially(room, bob, a); err != nil {
			t.Fatal(err)
		}
		n.deliver()
		b.send(room, member(bob, bob, "leave"))
		n.deliver()
		if got := b.info(room).Membership; got != pdu.Left {
			t.Errorf("after leaving: %v", got)
		}
		release()
		time.Sleep(time.Hour)
		n.mu.Lock()
		n.asked = nil
		n.mu.Unlock()
		time.Sleep(24 * time.Hour)
		n.mu.Lock()
		if len(n.asked) > 0 {
			t.Errorf("a room that was left is sought: %v", n.asked)
		}
		n.mu.Unlock()
		if _, err := b.joinPartially(room, bob, a); err != nil {
			t.Fatal(err)
		}
		n.deliver()
		time.Sleep(time.Hour)
		synctest.Wait()
		b.wantWhole(room, a)
	})
}

// M-12: what was judged without the members has no place any more when the room is joined again: its states are told to nobody, and
// what follows it is judged by whole ones. So it is after a crash at any point of the second join.
func TestStatesOfAStayThatWasNeverWhole(t *testing.T) {
	for nth := range 5 {
		t.Run(fmt.Sprint(nth), func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b, c, room, _ := crowded(n, "11")
				release := n.withholdState()
				if _, err := b.joinPartially(room, bob, a); err != nil {
					t.Fatal(err)
				}
				n.deliver()
				said := b.send(room, text(bob, "said while members are missing"))
				n.deliver()
				carols := c.stateEvent(room, memberOf(carol)).ID()
				b.send(room, member(bob, bob, "leave"))
				n.deliver()
				release()
				if nth > 0 {
					b.crashAt(nth - 1)
					n.failing = true
					_, _ = b.joinPartially(room, bob, a) // as far as it comes
					b.restart()
				}
				if b.info(room).Membership != pdu.Joined {
					if _, err := b.joinPartially(room, bob, a); err != nil {
						t.Fatal(err)
					}
				}
				n.deliver()
				time.Sleep(time.Hour)
				synctest.Wait()
				b.wantWhole(room, a)
				before := func(x *event.Event) (string, error) {
					at := get("state_ids/"+url.PathEscape(string(room)), url.Values{"event_id": {string(x.ID())}})
					answer, err := b.request(t.Context(), "a.example", at)
					return string(answer), err
				}
				if answer, err := before(said); errcode(err) != "404 M_NOT_FOUND" {
					t.Errorf("the state before what was said: %s, %v; want 404 M_NOT_FOUND", answer, err)
				}
				n.hold()
				follows := build(t, room, text(carol, "late"), []*event.Event{said}, c.authFor(room, createSlot, levelsSlot, memberOf(carol)))
				b.receive("c.example", follows.JSON())
				time.Sleep(time.Hour)
				synctest.Wait()
				b.wantOutcome(follows, pdu.Accepted, "", "")
				if answer, err := before(follows); err != nil || !strings.Contains(answer, string(carols)) {
					t.Errorf("the state before what follows: %s, %v; carol's join is missing", answer, err)
				}
			})
		})
	}
}

// An answer by which our join would not be allowed is not taken: another server may give a better one.
func TestPartialRoomIsNotCompletedByALie(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, c, room, _ := crowded(n, "10")
		ban := build(t, room, member(alice, bob, "ban"), []*event.Event{a.stateEvent(room, rulesSlot)},
			a.authFor(room, createSlot, levelsSlot, memberOf(alice)))
		if _, err := b.joinPartially(room, bob, a); err != nil {
			t.Fatal(err)
		}
		n.mu.Lock()
		n.lie = func(to ident.ServerName, call transport.Call) string {
			switch {
			case to == "a.example" && strings.Contains(call.Path, "/state_ids/"):
				ids := []ident.EventID{ban.ID()}
				for _, id := range a.state(room) {
					ids = append(ids, id)
				}
				return fmt.Sprintf(`{"pdu_ids":%s,"auth_chain_ids":[]}`, quoted(ids))
			case to == "c.example" && strings.Contains(call.Path, "/state"):
				return `{}`
			case strings.Contains(call.Path, url.PathEscape(string(ban.ID()))):
				return fmt.Sprintf(`{"pdus":[%s]}`, ban.JSON())
			}
			return ""
		}
		n.mu.Unlock()
		n.deliver()
		time.Sleep(time.Minute)
		synctest.Wait()
		if !b.info(room).Partial {
			t.Error("a state by which we are banned completed the room")
		}
		n.mu.Lock()
		n.lie = nil
		n.mu.Unlock()
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		b.wantWhole(room, c)
	})
}

func quoted(ids []ident.EventID) string {
	var list []string
	for _, id := range ids {
		list = append(list, fmt.Sprintf("%q", id))
	}
	return "[" + strings.Join(list, ",") + "]"
}
