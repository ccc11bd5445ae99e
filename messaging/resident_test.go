// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

const xavier = ident.UserID("@xavier:x.example")

// offer is every version, as a joiner offers them (M-02).
func offer() map[string][]string { return map[string][]string{"ver": event.Versions()} }

// draft is a member event on the way from a template to a resident, as a test wants it.
type draft struct {
	proto  event.Proto
	raw    []byte // instead of proto
	pathID string // instead of the event's id
	room   ident.RoomID
	key    *peer // signs; the peer itself if nil
}

// prepare asks for a template of version 10 and makes the member event of it.
func (p *peer) prepare(ctx context.Context, t *testing.T, membership string, room ident.RoomID, user ident.UserID) *draft {
	t.Helper()
	answer := must[[]byte](t)(p.do(ctx, "a.example", "GET", offer(), nil, "v1", "make_"+membership, string(room), string(user)))
	var made struct {
		RoomVersion string `json:"room_version"`
		Event       struct {
			RoomID     ident.RoomID    `json:"room_id"`
			Sender     ident.UserID    `json:"sender"`
			Type       string          `json:"type"`
			StateKey   *string         `json:"state_key"`
			Content    json.RawMessage `json:"content"`
			Depth      int64           `json:"depth"`
			PrevEvents []ident.EventID `json:"prev_events"`
			AuthEvents []ident.EventID `json:"auth_events"`
		} `json:"event"`
	}
	if err := json.Unmarshal(answer, &made); err != nil {
		t.Fatal(err)
	}
	if made.RoomVersion != "10" {
		t.Errorf("room_version %q in %s, want 10", made.RoomVersion, answer)
	}
	e := made.Event
	d := &draft{room: room, proto: event.Proto{
		RoomID: e.RoomID, Sender: e.Sender, Type: e.Type, StateKey: e.StateKey, Content: e.Content, Depth: e.Depth,
		OriginServerTS: 946684800000,
	}}
	for _, id := range e.PrevEvents {
		d.proto.PrevEvents = append(d.proto.PrevEvents, event.Ref{ID: id})
	}
	for _, id := range e.AuthEvents {
		d.proto.AuthEvents = append(d.proto.AuthEvents, event.Ref{ID: id})
	}
	return d
}

// hand sends a draft to a resident and gives the answer.
func (p *peer) hand(ctx context.Context, t *testing.T, membership string, d *draft) ([]byte, error) {
	t.Helper()
	version, _ := event.VersionOf("10")
	signer := p
	if d.key != nil {
		signer = d.key
	}
	built := must[*event.Event](t)(event.Build(version, d.proto, signer.name, signer.key))
	body, id := built.JSON(), string(built.ID())
	if d.raw != nil {
		body = d.raw
	}
	if d.pathID != "" {
		id = d.pathID
	}
	return p.do(ctx, "a.example", "PUT", nil, body, "v2", "send_"+membership, string(d.room), id)
}

func versionTen(t *testing.T, a *messaging.Server, public bool) ident.RoomID {
	t.Helper()
	return must[ident.RoomID](t)(a.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice, Version: "10", Public: public}))
}

// The questions of a handshake, each with the answer that the specification names.
func TestMakeRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, x := n.open("a.example", ""), n.peer("x.example")
		public, private := string(versionTen(t, a, true)), string(versionTen(t, a, false))
		must[ident.EventID](t)(a.SendState(ctx, ident.RoomID(public), alice, "m.room.member", "@banned:x.example",
			map[string]string{"membership": "ban"}))
		for _, test := range []struct {
			name  string
			query map[string][]string
			path  []string
			want  string
		}{
			{"join of a user of another server (M-05)", offer(), []string{"make_join", public, string(bob)}, "403 M_FORBIDDEN"},
			{"join of what is no user", offer(), []string{"make_join", public, "xavier"}, "400 M_INVALID_PARAM"},
			{"join of an unknown room (M-05)", offer(), []string{"make_join", "!x:a.example", string(xavier)}, "404 M_NOT_FOUND"},
			{"join of what is no room", offer(), []string{"make_join", "room", string(xavier)}, "400 M_INVALID_PARAM"},
			{"join without versions, which is version 1 (E-14)", nil, []string{"make_join", public, string(xavier)},
				"400 M_INCOMPATIBLE_ROOM_VERSION"},
			{"join with other versions (M-05)", map[string][]string{"ver": {"9", "11"}}, []string{"make_join", public, string(xavier)},
				"400 M_INCOMPATIBLE_ROOM_VERSION"},
			{"join of a private room (M-05)", offer(), []string{"make_join", private, string(xavier)}, "403 M_FORBIDDEN"},
			{"join of a banned user", offer(), []string{"make_join", public, "@banned:x.example"}, "403 M_FORBIDDEN"},
			{"leave of a user of another server", nil, []string{"make_leave", public, string(alice)}, "403 M_FORBIDDEN"},
			{"leave of an unknown room", nil, []string{"make_leave", "!x:a.example", string(xavier)}, "404 M_NOT_FOUND"},
			{"leave of a user who is not in the room (E-18)", nil, []string{"make_leave", public, string(xavier)}, "403 M_FORBIDDEN"},
			{"profile of a user of another server", map[string][]string{"user_id": {string(bob)}}, []string{"query", "profile"}, "404 M_NOT_FOUND"},
			{"profile of nobody", nil, []string{"query", "profile"}, "400 M_INVALID_PARAM"},
			{"profile of a user of ours", map[string][]string{"user_id": {string(alice)}}, []string{"query", "profile"}, ""},
			{"join that is in order", offer(), []string{"make_join", public, string(xavier)}, ""},
		} {
			_, err := x.do(ctx, "a.example", "GET", test.query, nil, append([]string{"v1"}, test.path...)...)
			if got := refusal(err); got != test.want {
				t.Errorf("%s: %s, want %s", test.name, got, test.want)
			}
		}
	})
}

// the first versions of these endpoints are removed.
func TestRemovedEndpoints(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, x := n.open("a.example", ""), n.peer("x.example")
		room := versionTen(t, a, true)
		for _, name := range []string{"send_join", "send_leave"} {
			_, err := x.do(t.Context(), "a.example", "PUT", nil, []byte(`{}`), "v1", name, string(room), "$x")
			if got := refusal(err); got != "404 M_UNRECOGNIZED" {
				t.Errorf("v1/%s: %s, want 404 M_UNRECOGNIZED", name, got)
			}
		}
	})
}

// A make_join names the version it could not agree on (E-14), and its template is as bare as Synapse's.
func TestMakeJoinAnswer(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, x := n.open("a.example", ""), n.peer("x.example")
		room := versionTen(t, a, true)
		answer := must[[]byte](t)(x.do(t.Context(), "a.example", "GET", offer(), nil, "v1", "make_join", string(room), string(xavier)))
		root := must[canonicaljson.Value](t)(canonicaljson.Parse(answer, canonicaljson.Strict))
		template := root.Get("event")
		for name, want := range map[string]string{
			"type": `"m.room.member"`, "room_id": `"` + string(room) + `"`, "sender": `"@xavier:x.example"`,
			"state_key": `"@xavier:x.example"`, "content": `{"membership":"join"}`, "hashes": "", "signatures": "",
		} {
			if got := string(template.Get(name).Canonical()); got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
	})
}

// What is handed over must be what the path and the origin say (M-06, M-24).
func TestSendRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, x, y := n.open("a.example", ""), n.peer("x.example"), n.peer("y.example")
		room, private := versionTen(t, a, true), versionTen(t, a, false)
		other := string(xavier) + "x"
		for _, test := range []struct {
			name   string
			change func(*draft)
			want   string
		}{
			{"another event id in the path", func(d *draft) { d.pathID = "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }, "400 M_INVALID_PARAM"},
			{"no event id in the path", func(d *draft) { d.pathID = "x" }, "400 M_INVALID_PARAM"},
			{"another room in the path", func(d *draft) { d.room = private }, "400 M_INVALID_PARAM"},
			{"a room that is not here", func(d *draft) { d.room = "!x:a.example" }, "404 M_NOT_FOUND"},
			{"another type", func(d *draft) { d.proto.Type = "m.room.message" }, "400 M_INVALID_PARAM"},
			{"another membership", func(d *draft) { d.proto.Content = []byte(`{"membership":"leave"}`) }, "400 M_INVALID_PARAM"},
			{"no state key", func(d *draft) { d.proto.StateKey = nil }, "400 M_INVALID_PARAM"},
			{"another state key", func(d *draft) { d.proto.StateKey = &other }, "400 M_INVALID_PARAM"},
			{"a sender of another server", func(d *draft) {
				key := "@yves:y.example"
				d.proto.Sender, d.proto.StateKey, d.key = ident.UserID(key), &key, y
			}, "400 M_INVALID_PARAM"},
			{"a body that is no event", func(d *draft) { d.raw = []byte(`{}`) }, "400 M_BAD_JSON"},
		} {
			d := x.prepare(ctx, t, "join", room, xavier)
			test.change(d)
			_, err := x.hand(ctx, t, "join", d)
			if got := refusal(err); got != test.want {
				t.Errorf("%s: %s, want %s", test.name, got, test.want)
			}
		}
		// A signature by the wrong key, and an event that the rules refuse.
		d := x.prepare(ctx, t, "join", room, xavier)
		forged := &peer{name: x.name, key: y.key}
		d.key = forged
		if _, err := x.hand(ctx, t, "join", d); err == nil {
			t.Error("a join that x.example did not sign was accepted")
		}
		d = x.prepare(ctx, t, "join", room, xavier)
		d.proto.AuthEvents = d.proto.AuthEvents[:1]
		if got := refusal(handErr(x.hand(ctx, t, "join", d))); got != "403 M_FORBIDDEN" {
			t.Errorf("auth_events that do not allow it: %s, want 403 M_FORBIDDEN", got)
		}
		if servers := must[[]ident.ServerName](t)(a.Engine().Servers(ctx, room)); len(servers) != 1 {
			t.Errorf("servers in the room: %v, want ours only", servers)
		}
	})
}

func handErr(_ []byte, err error) error { return err }

// The whole handshake by hand, and then the leave: M-07, M-08, M-24.
func TestSendJoinAndLeave(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, x := n.open("a.example", ""), n.peer("x.example")
		room := versionTen(t, a, true)
		before := must[[]*event.Event](t)(a.Engine().State(ctx, room))

		answer := must[[]byte](t)(x.hand(ctx, t, "join", x.prepare(ctx, t, "join", room, xavier)))
		root := must[canonicaljson.Value](t)(canonicaljson.Parse(answer, canonicaljson.Strict))
		want, got := map[ident.EventID]bool{}, map[ident.EventID]bool{}
		for _, e := range before {
			want[e.ID()] = true
		}
		version, _ := event.VersionOf("10")
		for element := range root.Get("state").Elements() {
			got[must[*event.Event](t)(event.Parse(version, element.Canonical())).ID()] = true
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("state before the join (-want +got):\n%s", diff)
		}
		if root.Get("auth_chain").Len() == 0 || !root.Get("event").Get("content").Get("membership").IsText("join") {
			t.Errorf("answer %s has no auth chain or no event", answer)
		}

		d := x.prepare(ctx, t, "leave", room, xavier)
		d.proto.Content = []byte(`{"membership":"join"}`)
		if got := refusal(handErr(x.hand(ctx, t, "leave", d))); got != "400 M_INVALID_PARAM" {
			t.Errorf("a join as a leave: %s, want 400 M_INVALID_PARAM", got)
		}
		answer = must[[]byte](t)(x.hand(ctx, t, "leave", x.prepare(ctx, t, "leave", room, xavier)))
		if !bytes.Equal(answer, []byte(`{}`)) {
			t.Errorf("answer of send_leave: %s, want {}", answer)
		}
		member := must[*event.Event](t)(a.Engine().StateEvent(ctx, room, event.StateKey{Type: "m.room.member", Key: string(xavier)}))
		if m, _ := member.Membership(); m.Membership != "leave" {
			t.Errorf("membership after the leave: %q", m.Membership)
		}
	})
}
