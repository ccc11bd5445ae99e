// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// joinAnswer is an answer to a send_join as another implementation reads it.
type joinAnswer struct {
	State          []json.RawMessage  `json:"state"`
	AuthChain      []json.RawMessage  `json:"auth_chain"`
	MembersOmitted *bool              `json:"members_omitted"`
	ServersInRoom  []ident.ServerName `json:"servers_in_room"`
}

func parseAll(t *testing.T, texts []json.RawMessage) map[ident.EventID]*event.Event {
	t.Helper()
	version, _ := event.VersionOf("10")
	events := map[ident.EventID]*event.Event{}
	for _, text := range texts {
		parsed := must[*event.Event](t)(event.Parse(version, text))
		events[parsed.ID()] = parsed
	}
	return events
}

// askWithout joins over a.example with omit_members.
func (p *peer) askWithout(t *testing.T, room ident.RoomID, user ident.UserID) joinAnswer {
	t.Helper()
	version, _ := event.VersionOf("10")
	d := p.prepare(t.Context(), t, "join", room, user)
	built := must[*event.Event](t)(event.Build(version, d.proto, p.name, p.key))
	body := must[[]byte](t)(p.do(t.Context(), "a.example", "PUT", map[string][]string{"omit_members": {"true"}}, built.JSON(),
		"v2", "send_join", string(room), string(built.ID())))
	var answer joinAnswer
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	// Whatever is left out, the auth chain must reach down to the create event from all that is given (M-10).
	given := parseAll(t, slices.Concat(answer.State, answer.AuthChain))
	for _, e := range append(slices.Collect(mapValues(given)), built) {
		for _, id := range e.AuthEvents() {
			if given[id] == nil {
				t.Errorf("M-10: %s (%s) rests on %s, which is not given", e.ID(), e.Type(), id)
			}
		}
	}
	for id := range parseAll(t, answer.AuthChain) {
		if parseAll(t, answer.State)[id] != nil {
			t.Errorf("M-10: %s is in the state and in the auth chain", id)
		}
	}
	return answer
}

func mapValues[K comparable, V any](m map[K]V) func(func(V) bool) {
	return func(yield func(V) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// membersIn is the users of the member events in a list, sorted.
func membersIn(t *testing.T, texts []json.RawMessage) (users []string) {
	t.Helper()
	for _, e := range parseAll(t, texts) {
		if key, _ := e.StateKey(); e.Type() == "m.room.member" {
			users = append(users, key)
		}
	}
	slices.Sort(users)
	return users
}

// M-10, M-11: members are left out for those who ask for it; in a room without a name, not the first five.
func TestMembersOmitted(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, x := n.open("a.example", ""), n.peer("x.example")
		room := versionTen(t, a, true)
		heroes := []string{string(alice)}
		for i := range 7 {
			user := ident.UserID(fmt.Sprintf("@m%d:a.example", i))
			if err := a.Join(ctx, user, room, nil); err != nil {
				t.Fatal(err)
			}
			heroes = append(heroes, string(user))
			time.Sleep(time.Millisecond) // heroes are in the order of their coming
		}
		answer := x.askWithout(t, room, xavier)
		if answer.MembersOmitted == nil || !*answer.MembersOmitted {
			t.Error("members_omitted is not true")
		}
		if diff := cmp.Diff([]ident.ServerName{"a.example"}, answer.ServersInRoom); diff != "" {
			t.Errorf("servers_in_room (those before the join): %s", diff)
		}
		if diff := cmp.Diff(heroes[:5], membersIn(t, answer.State)); diff != "" {
			t.Errorf("M-11: members of a room without a name: %s", diff)
		}
		must[ident.EventID](t)(a.SendState(ctx, room, alice, "m.room.name", "", map[string]string{"name": "named"}))
		answer = x.askWithout(t, room, "@second:x.example")
		if got := membersIn(t, answer.State); got != nil {
			t.Errorf("members of a room with a name: %v, want none", got)
		}
		if diff := cmp.Diff([]string{string(alice)}, membersIn(t, answer.AuthChain)); diff != "" {
			t.Errorf("members on whom the state rests: %s", diff)
		}
		if diff := cmp.Diff([]ident.ServerName{"a.example", "x.example"}, answer.ServersInRoom); diff != "" {
			t.Errorf("servers_in_room: %s", diff)
		}
	})
}

// A resident of whose answer nothing came is told that we are not in the room after all.
func TestJoinIsTakenBack(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, b := n.open("a.example", ""), n.open("b.example", "")
		room := versionTen(t, a, true)
		n.put("a.example", tampered(a.Handler(), "send_join", func([]byte) []byte { return []byte(`{}`) }))
		if err := b.Join(ctx, bob, room, []ident.ServerName{"a.example"}); err == nil {
			t.Fatal("joined with an empty answer")
		}
		settle()
		member := must[*event.Event](t)(a.Engine().StateEvent(ctx, room, event.StateKey{Type: "m.room.member", Key: string(bob)}))
		if content, _ := member.Membership(); content.Membership != "leave" {
			t.Errorf("the resident has bob as %q, want leave", content.Membership)
		}
		if servers := must[[]ident.ServerName](t)(a.Engine().Servers(ctx, room)); !slices.Equal(servers, []ident.ServerName{"a.example"}) {
			t.Errorf("the resident sends to %v", servers)
		}
	})
}

// While one server after the other is asked, what arrives for the room is staged, not refused.
func TestRoomStaysKnownBetweenCandidates(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, b, c := n.open("a.example", ""), n.open("b.example", ""), n.open("c.example", "")
		room := versionTen(t, a, true)
		if err := c.Join(ctx, carol, room, []ident.ServerName{"a.example"}); err != nil {
			t.Fatal(err)
		}
		settle() // c knows the whole state
		n.put("a.example", tampered(a.Handler(), "send_join", func([]byte) []byte { return []byte(`{}`) }))
		var between pdu.Membership
		n.put("c.example", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "make_join") {
				between = must[pdu.RoomInfo](t)(b.Engine().Room(ctx, room)).Membership
			}
			c.Handler().ServeHTTP(w, r)
		}))
		if err := b.Join(ctx, bob, room, []ident.ServerName{"a.example", "c.example"}); err != nil {
			t.Fatal(err)
		}
		if between != pdu.Joining {
			t.Errorf("between two servers the room is %v, want joining", between)
		}
		settle()
		member := must[*event.Event](t)(c.Engine().StateEvent(ctx, room, event.StateKey{Type: "m.room.member", Key: string(bob)}))
		if content, _ := member.Membership(); content.Membership != "join" {
			t.Errorf("after joining over the second server bob is %q", content.Membership)
		}
	})
}
