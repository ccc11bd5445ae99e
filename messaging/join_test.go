// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// tampered passes requests on and changes the answers to those with path in their path.
func tampered(inner http.Handler, path string, change func([]byte) []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, path) {
			inner.ServeHTTP(w, r)
			return
		}
		recorder := httptest.NewRecorder()
		inner.ServeHTTP(recorder, r)
		w.WriteHeader(recorder.Code)
		_, _ = w.Write(change(recorder.Body.Bytes()))
	})
}

// without leaves the events of a type out of a list of a send_join reply.
func without(t *testing.T, reply []byte, list, eventType string) []byte {
	return edit(t, reply, func(members map[string]any) {
		var kept []any
		for _, e := range members[list].([]any) {
			if e.(map[string]any)["type"] != eventType {
				kept = append(kept, e)
			}
		}
		members[list] = kept
	})
}

func edit(t *testing.T, reply []byte, change func(map[string]any)) []byte {
	t.Helper()
	var members map[string]any
	decoder := json.NewDecoder(bytes.NewReader(reply))
	decoder.UseNumber()
	if err := decoder.Decode(&members); err != nil {
		t.Fatal(err)
	}
	change(members)
	return must[[]byte](t)(json.Marshal(members))
}

// M-03, M-17: a resident that lies is not believed; the room does not count as joined, and an honest server is asked next.
func TestJoinOverALiar(t *testing.T) {
	for _, test := range []struct {
		name, path string
		change     func(*testing.T, []byte) []byte
	}{
		{"template of a power level event", "make_join", func(_ *testing.T, reply []byte) []byte {
			return bytes.Replace(reply, []byte(`"m.room.member"`), []byte(`"m.room.power_levels"`), 1)
		}},
		{"template of a leave", "make_join", func(_ *testing.T, reply []byte) []byte {
			return bytes.Replace(reply, []byte(`"join"`), []byte(`"leave"`), 1)
		}},
		{"no JSON", "make_join", func(*testing.T, []byte) []byte { return []byte("<html>") }},
		{"state without the create event", "send_join", func(t *testing.T, reply []byte) []byte {
			return without(t, without(t, reply, "state", "m.room.create"), "auth_chain", "m.room.create")
		}},
		{"auth chain without the power levels", "send_join", func(t *testing.T, reply []byte) []byte {
			return without(t, without(t, reply, "state", "m.room.power_levels"), "auth_chain", "m.room.power_levels")
		}},
		{"no state", "send_join", func(t *testing.T, reply []byte) []byte {
			return edit(t, reply, func(m map[string]any) { delete(m, "state") })
		}},
		{"signatures that are not the server's", "send_join", func(t *testing.T, reply []byte) []byte {
			return edit(t, reply, func(m map[string]any) {
				for _, list := range []string{"state", "auth_chain"} {
					for _, e := range m[list].([]any) {
						e.(map[string]any)["signatures"] = map[string]any{"a.example": map[string]any{"ed25519:1": strings.Repeat("A", 86)}}
					}
				}
			})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				ctx := t.Context()
				a, b, c := n.open("a.example", ""), n.open("b.example", ""), n.open("c.example", "")
				room := must[ident.RoomID](t)(a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice, Version: "10", Public: true}))
				if err := c.Join(ctx, carol, room, []ident.ServerName{"a.example"}); err != nil {
					t.Fatal(err)
				}
				settle() // c knows the whole state
				n.put("a.example", tampered(a.Handler(), test.path, func(reply []byte) []byte { return test.change(t, reply) }))
				if err := b.Join(ctx, bob, room, []ident.ServerName{"a.example"}); err == nil {
					t.Error("joined over a liar")
				}
				if info, err := b.Engine().Room(ctx, room); err == nil && info.Membership == pdu.Joined {
					t.Errorf("the room counts as %s", info.Membership)
				}
				if err := b.Join(ctx, bob, room, []ident.ServerName{"a.example", "c.example"}); err != nil {
					t.Errorf("over an honest server: %v", err)
				}
			})
		})
	}
}

// A join whose answer was lost, over all servers that were asked, is taken back: the room would have us as a member for ever. One that
// was refused is not.
func TestJoinWithoutAnswerIsTakenBack(t *testing.T) {
	for _, test := range []struct {
		name    string
		outcome http.HandlerFunc
		leaves  int
	}{
		{"a proxy gave up waiting", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) }, 1},
		{"no answer in time", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, 1},
		{"refused", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"errcode":"M_FORBIDDEN","error":"no"}`))
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				ctx := t.Context()
				a, b := n.open("a.example", ""), n.open("b.example", "")
				room := versionTen(t, a, true)
				n.put("a.example", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if !strings.Contains(r.URL.Path, "send_join") {
						a.Handler().ServeHTTP(w, r)
						return
					}
					if test.leaves > 0 {
						a.Handler().ServeHTTP(httptest.NewRecorder(), r)
					}
					test.outcome(w, r)
				}))
				if err := b.Join(ctx, bob, room, []ident.ServerName{"a.example", "down.example"}); err == nil {
					t.Fatal("joined without an answer")
				}
				settle()
				leaves := 0
				for _, request := range n.asked() {
					if strings.Contains(request, "send_leave") {
						leaves++
					}
				}
				if leaves != test.leaves {
					t.Errorf("%d times taken back, want %d", leaves, test.leaves)
				}
				member := must[*event.Event](t)(a.Engine().StateEvent(ctx, room, event.StateKey{Type: "m.room.member", Key: string(bob)}))
				if test.leaves == 0 && member != nil {
					t.Errorf("bob is a member: %s", member.Content().Canonical())
				}
				if test.leaves > 0 && !member.Content().Get("membership").IsText("leave") {
					t.Errorf("bob is still a member: %s", member.Content().Canonical())
				}
			})
		})
	}
}

// The caller can tell why a server refused.
func TestJoinRefusedByAll(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.open("a.example", ""), n.open("b.example", "")
		room := versionTen(t, a, false)
		err := b.Join(t.Context(), bob, room, []ident.ServerName{"a.example", "down.example"})
		var failure *transport.Failure
		if !errors.As(err, &failure) || refusal(err) != "403 M_FORBIDDEN" || !strings.Contains(err.Error(), "down.example") {
			t.Errorf("join: %v, want 403 M_FORBIDDEN of a.example, and what down.example did", err)
		}
		if err := b.Leave(t.Context(), bob, room, "a.example"); refusal(err) != "403 M_FORBIDDEN" {
			t.Errorf("leave of a room that bob is not in: %v, want 403 M_FORBIDDEN", err)
		}
	})
}

// Users who join one room at the same time all end up in it, with one handshake.
func TestJoinsAtTheSameTime(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.open("a.example", ""), n.open("b.example", "")
		room := versionTen(t, a, true)
		var joins sync.WaitGroup
		for _, user := range []ident.UserID{"@b1:b.example", "@b2:b.example", "@b3:b.example"} {
			joins.Go(func() {
				if err := b.Join(t.Context(), user, room, []ident.ServerName{"a.example"}); err != nil {
					t.Error(err)
				}
			})
		}
		joins.Wait()
		handshakes := 0
		for _, request := range n.asked() {
			if strings.Contains(request, "send_join") {
				handshakes++
			}
		}
		if handshakes < 1 || handshakes > 3 { // while the members are not known (M-12), each user needs one
			t.Errorf("%d handshakes, want 1 to 3", handshakes)
		}
		settle()
		if got := len(must[[]*event.Event](t)(b.Engine().State(t.Context(), room))); got != len(must[[]*event.Event](t)(a.Engine().State(t.Context(), room))) {
			t.Errorf("%d events of state, not those of the resident", got)
		}
	})
}

// Rejecting an invitation to a room that is not here goes over the server that invited (M-23).
func TestRejectInvitation(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, b := n.open("a.example", ""), n.open("b.example", "")
		room := versionTen(t, a, false)
		must[ident.EventID](t)(a.SendState(ctx, room, alice, "m.room.member", string(bob), map[string]string{"membership": "invite"}))
		var atA journal
		defer subscribe(t, a, "log", atA.deliver)()
		if err := b.Leave(ctx, bob, room, "a.example"); err != nil {
			t.Fatal(err)
		}
		settle()
		lines := atA.all()
		if last := lines[len(lines)-1]; last != "@bob:b.example leave" {
			t.Errorf("last at a.example: %q, want bob's leave", last)
		}
	})
}
