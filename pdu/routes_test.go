// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

const v1 = "/_matrix/federation/v1/"

func get(path string, query url.Values) transport.Call {
	return transport.Call{Method: http.MethodGet, Path: v1 + path, Query: query}
}

func missing(room ident.RoomID, body string) transport.Call {
	return transport.Call{Method: http.MethodPost, Path: transport.Path("_matrix", "federation", "v1", "get_missing_events", string(room)), Body: []byte(body)}
}

// ask is the ids of the events in one member of an answer: ids as they are, or those of events.
func (s *server) ask(origin ident.ServerName, call transport.Call, member string, v *event.Version) (ids []ident.EventID) {
	s.net.t.Helper()
	body, err := s.request(context.Background(), origin, call)
	if err != nil {
		s.net.t.Fatal(err)
	}
	var entries []json.RawMessage
	if err := json.Unmarshal(decode(s.net.t, body)[member], &entries); err != nil {
		s.net.t.Fatal(err)
	}
	for _, entry := range entries {
		var id ident.EventID
		if err := json.Unmarshal(entry, &id); err == nil {
			ids = append(ids, id)
			continue
		}
		e, err := event.ParseBackfilled(v, entry)
		if err != nil {
			s.net.t.Fatal(err)
		}
		ids = append(ids, e.ID())
	}
	return ids
}

// line is a room with a member of b and a line of messages.
func line(n *network, messages int) (a, b *server, room ident.RoomID, sent []*event.Event) {
	a, b = n.start("a.example"), n.start("b.example")
	room = a.createPublic("3", alice) // ids of version 3 hold '/' and '+'
	b.join(room, bob, a)
	for i := range messages {
		sent = append(sent, a.send(room, text(alice, fmt.Sprint(i))))
	}
	n.deliver()
	return a, b, room, sent
}

func idsOf(events ...*event.Event) (ids []ident.EventID) {
	for _, e := range events {
		ids = append(ids, e.ID())
	}
	return ids
}

func TestServeEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, room, sent := line(n, 6)
		v := sent[0].Version()
		path := func(name string) string { return name + "/" + url.PathEscape(string(room)) }
		last := sent[5]

		// E-12
		if got := a.ask("b.example", get("event/"+url.PathEscape(string(last.ID())), nil), "pdus", v); !slices.Equal(got, idsOf(last)) {
			t.Errorf("event: %v", got)
		}
		// P-85: the named events and what precedes them, together limit events.
		call := get(path("backfill"), url.Values{"v": {string(last.ID())}, "limit": {"3"}})
		if diff := cmp.Diff(idsOf(sent[5], sent[4], sent[3]), a.ask("b.example", call, "pdus", v)); diff != "" {
			t.Errorf("backfill: %s", diff)
		}
		// P-86: from the parents of latest, without earliest, oldest first here.
		body := fmt.Sprintf(`{"earliest_events":[%q],"latest_events":[%q]}`, sent[1].ID(), last.ID())
		if diff := cmp.Diff(idsOf(sent[2], sent[3], sent[4]), a.ask("b.example", missing(room, body), "events", v)); diff != "" {
			t.Errorf("missing events: %s", diff)
		}
		body = fmt.Sprintf(`{"earliest_events":[],"latest_events":[%q],"limit":2}`, last.ID())
		if diff := cmp.Diff(idsOf(sent[3], sent[4]), a.ask("b.example", missing(room, body), "events", v)); diff != "" {
			t.Errorf("missing events, limit: %s", diff)
		}
		body = fmt.Sprintf(`{"earliest_events":[],"latest_events":[%q],"min_depth":%d}`, last.ID(), sent[4].Depth())
		if diff := cmp.Diff(idsOf(sent[4]), a.ask("b.example", missing(room, body), "events", v)); diff != "" {
			t.Errorf("missing events, min_depth: %s", diff)
		}
		// The limit of a peer is clamped before anything is made of it.
		body = fmt.Sprintf(`{"earliest_events":[],"latest_events":[%q],"limit":9007199254740991}`, last.ID())
		if got := a.ask("b.example", missing(room, body), "events", v); len(got) != 10 { // five messages, two joins, create, levels, rules
			t.Errorf("missing events, huge limit: %d events, want 10", len(got))
		}
		body = fmt.Sprintf(`{"earliest_events":[],"latest_events":[%q],"limit":-1}`, last.ID())
		if got := a.ask("b.example", missing(room, body), "events", v); len(got) != 0 {
			t.Errorf("missing events, negative limit: %v", got)
		}

		// P-87: the state before the event with all that it rests on; P-88: the chain of the event alone.
		join := a.stateEvent(room, memberOf(bob))
		state := []ident.EventID{}
		for slot, id := range a.state(room) {
			if slot != memberOf(bob) {
				state = append(state, id)
			}
		}
		chain := idsOf(a.stateEvent(room, createSlot), a.stateEvent(room, levelsSlot), a.stateEvent(room, memberOf(alice)))
		query := url.Values{"event_id": {string(join.ID())}}
		for _, part := range []struct {
			call   transport.Call
			member string
			want   []ident.EventID
		}{
			{get(path("state"), query), "pdus", state},
			{get(path("state"), query), "auth_chain", chain},
			{get(path("state_ids"), query), "pdu_ids", state},
			{get(path("state_ids"), query), "auth_chain_ids", chain},
			{
				get(path("event_auth")+"/"+url.PathEscape(string(join.ID())), nil), "auth_chain",
				append(slices.Clone(chain), a.stateEvent(room, rulesSlot).ID()),
			},
		} {
			got := a.ask("b.example", part.call, part.member, v)
			slices.Sort(got)
			slices.Sort(part.want)
			if diff := cmp.Diff(part.want, got); diff != "" {
				t.Errorf("%s: %s: %s", part.call.Path, part.member, diff)
			}
		}
	})
}

// P-89: who is not in the room gets nothing, and cannot tell an event of another room from one that does not exist.
func TestServeRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, room, sent := line(n, 2)
		private := a.createPublic("10", alice)
		secret := a.send(private, text(alice, "secret"))
		calls := func(room ident.RoomID, id ident.EventID) map[string]transport.Call {
			at := "/" + url.PathEscape(string(room))
			query := url.Values{"event_id": {string(id)}}
			return map[string]transport.Call{
				"state":      get("state"+at, query),
				"state_ids":  get("state_ids"+at, query),
				"event_auth": get("event_auth"+at+"/"+url.PathEscape(string(id)), nil),
				"event":      get("event/"+url.PathEscape(string(id)), nil),
			}
		}
		// refusal is all of an answer that is an error: its bytes are made of nothing else.
		refusal := func(call transport.Call) *transport.Error {
			_, err := a.request(t.Context(), "b.example", call)
			var refusal *transport.Error
			if !errors.As(err, &refusal) {
				t.Fatalf("%s: %v, want a refusal", call.Path, err)
			}
			return refusal
		}
		for name, call := range calls(private, secret.ID()) {
			if diff := cmp.Diff(refusal(calls("!nothing:a.example", "$nothing")[name]), refusal(call)); diff != "" {
				t.Errorf("%s: a room that the server is not in, and one that is not known: %s", name, diff)
			}
		}
		auth := a.authFor(room, createSlot, levelsSlot, memberOf(bob))
		rejected := build(t, room, stateDraft(bob, "m.room.topic", `{}`), sent[1:], auth)
		orphan := build(t, room, text(bob, "orphan"), sent[1:], auth)
		quarantined := build(t, room, text(bob, "quarantined"), []*event.Event{orphan}, auth)
		a.receive("b.example", rejected.JSON(), quarantined.JSON())
		a.wantOutcome(rejected, pdu.Rejected, "", "")
		a.wantOutcome(quarantined, pdu.Quarantined, "", "")
		for _, id := range idsOf(secret, rejected, orphan, quarantined) {
			for name, call := range calls(room, id) {
				unknown := refusal(calls(room, "$nothing")[name])
				if diff := cmp.Diff(unknown, refusal(call)); diff != "" || unknown.Status != http.StatusNotFound {
					t.Errorf("%s of %s, and an event that does not exist (%v): %s", name, id, unknown, diff)
				}
			}
		}
		for name, call := range map[string]transport.Call{
			"backfill": get("backfill/"+url.PathEscape(string(room)), url.Values{"v": {string(sent[1].ID())}, "limit": {"10"}}),
			"missing":  missing(room, fmt.Sprintf(`{"earliest_events":[],"latest_events":[%q]}`, sent[1].ID())),
			"unknown":  missing("!nothing:a.example", `{}`),
		} {
			if _, err := a.request(t.Context(), "m.example", call); errcode(err) != "403 M_FORBIDDEN" {
				t.Errorf("%s: %v, want 403", name, err)
			}
		}
		// Events of another room named in a room that the server is in are not walked.
		call := get("backfill/"+url.PathEscape(string(room)), url.Values{"v": {string(secret.ID())}, "limit": {"10"}})
		if got := a.ask("b.example", call, "pdus", sent[0].Version()); len(got) != 0 {
			t.Errorf("backfill of another room's event: %v", got)
		}
		state := url.PathEscape(string(room))
		backfill := "backfill/" + state
		for _, bad := range []struct {
			call transport.Call
			want string
		}{
			{get(backfill, url.Values{"v": {"$x"}}), "400 M_MISSING_PARAM"},
			{get(backfill, url.Values{"limit": {"10"}}), "400 M_MISSING_PARAM"},
			{get(backfill, url.Values{"v": {"$x"}, "limit": {"many"}}), "400 M_INVALID_PARAM"},
			{get(backfill, url.Values{"v": {"$x"}, "limit": {"-1"}}), "400 M_INVALID_PARAM"},
			{get("state/"+state, nil), "400 M_MISSING_PARAM"}, {get("state_ids/"+state, nil), "400 M_MISSING_PARAM"},
			{missing(room, `{"latest_events":7}`), "400 M_BAD_JSON"}, {missing(room, `{"limit":1e400}`), "400 M_BAD_JSON"},
		} {
			if _, err := a.request(t.Context(), "b.example", bad.call); errcode(err) != bad.want {
				t.Errorf("%s %s: %v, want %s", bad.call.Path, bad.call.Body, err, bad.want)
			}
		}
	})
}

// P-34: soft-failed events are served when they are named or referenced by what is named; rejected ones never.
func TestServeSoftFailed(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		c := n.start("c.example")
		c.join(room, carol, a)
		n.deliver()
		top := a.send(room, text(alice, "top"))
		n.deliver()
		auth := b.authFor(room, createSlot, levelsSlot, memberOf(bob))
		a.send(room, member(alice, bob, "ban"))
		n.hold()
		soft := build(t, room, text(bob, "late"), []*event.Event{top}, auth)
		rejected := build(t, room, stateDraft(bob, "m.room.topic", `{}`), []*event.Event{top}, auth)
		a.receive("b.example", soft.JSON(), rejected.JSON())
		a.wantOutcome(soft, pdu.SoftFailed, "", "")
		a.wantOutcome(rejected, pdu.Rejected, "", "")
		authOfAlice := a.authFor(room, createSlot, levelsSlot, memberOf(alice))
		child := build(t, room, text(alice, "child"), []*event.Event{soft, rejected}, authOfAlice)
		grandchild := build(t, room, text(alice, "grandchild"), []*event.Event{child}, authOfAlice)
		a.receive("a.example", child.JSON(), grandchild.JSON())
		a.wantOutcome(grandchild, pdu.Accepted, "", "")

		v := top.Version()
		if got := a.ask("c.example", get("event/"+string(soft.ID()), nil), "pdus", v); !slices.Equal(got, idsOf(soft)) {
			t.Errorf("event: %v", got)
		}
		if _, err := a.request(t.Context(), "c.example", get("event/"+string(rejected.ID()), nil)); errcode(err) != "404 M_NOT_FOUND" {
			t.Errorf("rejected event: %v", err)
		}
		near := missing(room, fmt.Sprintf(`{"earliest_events":[%q],"latest_events":[%q]}`, top.ID(), child.ID()))
		if got := a.ask("c.example", near, "events", v); !slices.Equal(got, idsOf(soft)) {
			t.Errorf("referenced by a named event: %v, want %s", got, soft.ID())
		}
		far := missing(room, fmt.Sprintf(`{"earliest_events":[%q],"latest_events":[%q]}`, top.ID(), grandchild.ID()))
		if got := a.ask("c.example", far, "events", v); !slices.Equal(got, idsOf(child)) {
			t.Errorf("referenced by another: %v, want %s", got, child.ID())
		}
	})
}

// What came with a join and was not placed in the graph: state that is asked for piece by piece (E-11, then E-12) is given, and so
// is what it rests on, but not the state at it, which is not known.
func TestServeOutliers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, room, sent := line(n, 1)
		v, path := sent[0].Version(), "/"+url.PathEscape(string(room))
		outlier := b.stateEvent(room, levelsSlot)
		if stored, err := b.engine.Event(t.Context(), outlier.ID()); err != nil || !stored.Outlier {
			t.Fatalf("%+v, %v: want an outlier", stored, err)
		}
		if got := b.ask("a.example", get("event/"+url.PathEscape(string(outlier.ID())), nil), "pdus", v); !slices.Equal(got, idsOf(outlier)) {
			t.Errorf("event: %v", got)
		}
		want := slices.Sorted(slices.Values(idsOf(a.stateEvent(room, createSlot), a.stateEvent(room, memberOf(alice)))))
		got := b.ask("a.example", get("event_auth"+path+"/"+url.PathEscape(string(outlier.ID())), nil), "auth_chain", v)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("event_auth: %v, want %v", got, want)
		}
		if chain, err := b.engine.AuthChain(t.Context(), outlier.ID()); err != nil || !slices.Equal(chain, want) {
			t.Errorf("AuthChain: %v, %v", chain, err)
		}
		_, unknown := b.request(t.Context(), "a.example", get("state_ids"+path, url.Values{"event_id": {"$nothing"}}))
		_, err := b.request(t.Context(), "a.example", get("state_ids"+path, url.Values{"event_id": {string(outlier.ID())}}))
		if errcode(err) != "404 M_NOT_FOUND" || err.Error() != unknown.Error() {
			t.Errorf("state at an outlier: %v, want %v", err, unknown)
		}
		if _, err := b.engine.StateIDsAt(t.Context(), outlier.ID()); !errors.Is(err, pdu.ErrUnknownEvent) {
			t.Errorf("StateIDsAt an outlier: %v", err)
		}
	})
}
