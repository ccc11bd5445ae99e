// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// guestbook is a homeserver's side of messaging.Invites.
type guestbook struct {
	refuse error

	mu        sync.Mutex
	standings []messaging.Standing
}

func (g *guestbook) MayInvite(context.Context, ident.UserID, ident.UserID, ident.RoomID) error {
	return g.refuse
}

func (g *guestbook) Changed(tx *persistence.Tx, s messaging.Standing) error {
	if _, err := tx.NextPosition(); err != nil { // it is a job that may write
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.standings = append(g.standings, s)
	return nil
}

// lines is what was told, as "user membership by sender".
func (g *guestbook) lines() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var lines []string
	for _, s := range g.standings {
		line := fmt.Sprintf("%s %s by %s", s.User, s.Membership, s.Sender)
		if !s.Told {
			line += ", told to nobody"
		}
		lines = append(lines, line)
	}
	return lines
}

func (g *guestbook) last(t *testing.T) messaging.Standing {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.standings) == 0 {
		t.Fatal("nothing was told")
	}
	return g.standings[len(g.standings)-1]
}

func with(g *guestbook) func(*messaging.Config) {
	return func(c *messaging.Config) { c.Core = made(messaging.Core{Invites: g}) }
}

func (n *network) askedFor(part string) (count int) {
	for _, request := range n.asked() {
		if strings.Contains(request, part) {
			count++
		}
	}
	return count
}

func membershipOf(t *testing.T, s *messaging.Server, room ident.RoomID, user ident.UserID) string {
	t.Helper()
	e := must[*event.Event](t)(s.Engine().StateEvent(t.Context(), room, event.StateKey{Type: "m.room.member", Key: string(user)}))
	if e == nil {
		return ""
	}
	m, _ := e.Membership()
	return m.Membership
}

// The whole way in every version: the invitation is signed by both, the homeserver has seen what the room shows, and the user joins
// without naming a server (M-30 to M-35).
func TestInvite(t *testing.T) {
	for _, version := range []string{"1", "2", "6", "10", "11", "12"} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				ctx := t.Context()
				var book guestbook
				a, b := n.open("a.example", ""), n.open("b.example", "", with(&book))
				room := must[ident.RoomID](t)(a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice, Version: version, Name: "Tea"}))
				id := must[ident.EventID](t)(a.Invite(ctx, room, alice, bob, map[string]any{
					"reason": "tea", "membership": "ban", "third_party_invite": 1, "join_authorised_via_users_server": 1,
				}))
				invite := must[*event.Event](t)(a.Engine().StateEvent(ctx, room, event.StateKey{Type: "m.room.member", Key: string(bob)}))
				if got := string(invite.Content().Canonical()); got != `{"membership":"invite","reason":"tea"}` || invite.ID() != id {
					t.Errorf("content of %s: %s", invite.ID(), got)
				}
				if !invite.Signatures().Has("a.example") || !invite.Signatures().Has("b.example") {
					t.Errorf("signed by %s, want both", invite.Signatures().Canonical())
				}
				told := book.last(t)
				if told.Room != room || told.Version != version || told.User != bob || told.Sender != alice || told.Event.ID() != id {
					t.Errorf("told %+v", told)
				}
				var shown []string
				for _, stripped := range told.State {
					var members map[string]any
					if err := json.Unmarshal(stripped, &members); err != nil || len(members) != 4 {
						t.Errorf("stripped event %s: %v", stripped, err)
					}
					shown = append(shown, fmt.Sprint(members["type"], " ", members["sender"]))
				}
				want := []string{"m.room.create @alice:a.example", "m.room.join_rules @alice:a.example", "m.room.name @alice:a.example",
					"m.room.member @alice:a.example", "m.room.member @alice:a.example"}
				if diff := cmp.Diff(want, shown); diff != "" {
					t.Errorf("shown (-want +got):\n%s", diff)
				}
				if err := b.Join(ctx, bob, room, nil); err != nil {
					t.Errorf("join: %v", err)
				}
				settle()
				if got := membershipOf(t, a, room, bob); got != "join" {
					t.Errorf("at a.example bob's membership is %q", got)
				}
			})
		})
	}
}

// M-38: who is of our own server is asked about, and no server is.
func TestInviteOfOurOwn(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		var book guestbook
		a := n.open("a.example", "", with(&book))
		room := versionTen(t, a, false)
		must[ident.EventID](t)(a.Invite(ctx, room, alice, "@anna:a.example", nil))
		if err := a.Join(ctx, "@anna:a.example", room, nil); err != nil {
			t.Error(err)
		}
		book.refuse = messaging.ErrInviteBlocked
		if _, err := a.Invite(ctx, room, alice, "@arno:a.example", nil); err == nil {
			t.Error("a user who blocks invitations was invited")
		}
		if asked := n.asked(); len(asked) > 0 || len(book.lines()) > 0 {
			t.Errorf("asked %v, told %v; want neither", asked, book.lines())
		}
	})
}

// M-37, M-32: refusals reach the inviter, and the room never hears of the invitation.
func TestInviteRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*messaging.Config)
		want   string
	}{
		{"no such user", with(&guestbook{refuse: messaging.ErrInviteRefused}), "403 M_FORBIDDEN"},
		{"blocked", with(&guestbook{refuse: fmt.Errorf("bob: %w", messaging.ErrInviteBlocked)}), "403 M_INVITE_BLOCKED"},
		{"a homeserver without invitations", func(*messaging.Config) {}, "404 M_UNRECOGNIZED"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a := n.open("a.example", "")
				n.open("b.example", "", test.change)
				room := versionTen(t, a, false)
				_, err := a.Invite(t.Context(), room, alice, bob, nil)
				if got := refusal(err); got != test.want {
					t.Errorf("invite: %s, want %s", got, test.want)
				}
				if got := membershipOf(t, a, room, bob); got != "" {
					t.Errorf("bob's membership is %q", got)
				}
			})
		})
	}
}

// M-30: a server that knows the first version only gets it in the versions of rooms that it knows.
func TestInviteOverTheFirstVersion(t *testing.T) {
	for _, test := range []struct {
		version string
		status  int
		v1      int
	}{{"1", 404, 1}, {"2", 400, 1}, {"6", 404, 0}, {"1", 403, 0}} {
		t.Run(fmt.Sprint(test.version, " ", test.status), func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				var book guestbook
				a, b := n.open("a.example", ""), n.open("b.example", "", with(&book))
				n.put("b.example", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if strings.Contains(r.URL.Path, "/v2/invite") {
						w.WriteHeader(test.status)
						_, _ = w.Write([]byte(`{"errcode":"M_UNRECOGNIZED","error":"no"}`))
						return
					}
					b.Handler().ServeHTTP(w, r)
				}))
				room := must[ident.RoomID](t)(a.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice, Version: test.version}))
				_, err := a.Invite(t.Context(), room, alice, bob, nil)
				if (err == nil) != (test.v1 > 0) || n.askedFor("/v1/invite") != test.v1 {
					t.Errorf("invite: %v, after %d requests of the first version", err, n.askedFor("/v1/invite"))
				}
				if test.v1 > 0 && len(book.last(t).State) < 3 {
					t.Errorf("shown of the room: %s", book.last(t).State)
				}
			})
		})
	}
}

// M-34: of the other server's copy nothing counts but its signature, which must be good.
func TestInviteSignedBadly(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(map[string]any)
		ok     bool
	}{
		{"other content", func(e map[string]any) { e["content"] = map[string]any{"membership": "ban"} }, true},
		{"a signature too many, of a key that is not there", func(e map[string]any) {
			e["signatures"].(map[string]any)["b.example"].(map[string]any)["ed25519:none"] = strings.Repeat("A", 86)
		}, true},
		{"no signature", func(e map[string]any) { delete(e["signatures"].(map[string]any), "b.example") }, false},
		{"a bad signature", func(e map[string]any) {
			e["signatures"].(map[string]any)["b.example"] = map[string]any{"ed25519:1": strings.Repeat("A", 86)}
		}, false},
		{"no signatures at all", func(e map[string]any) { e["signatures"] = 7 }, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b := n.open("a.example", ""), n.open("b.example", "", with(&guestbook{}))
				n.put("b.example", tampered(b.Handler(), "invite", func(reply []byte) []byte {
					return edit(t, reply, func(m map[string]any) { test.change(m["event"].(map[string]any)) })
				}))
				room := versionTen(t, a, false)
				_, err := a.Invite(t.Context(), room, alice, bob, nil)
				if (err == nil) != test.ok {
					t.Errorf("invite: %v", err)
				}
				if got := membershipOf(t, a, room, bob); (got == "invite") != test.ok {
					t.Errorf("bob's membership is %q", got)
				}
			})
		})
	}
}

// M-36: an invitation to a room that we are in comes twice, and is one event.
func TestInviteToARoomThatIsHere(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		var book guestbook
		a, b := n.open("a.example", ""), n.open("b.example", "", with(&book))
		room := versionTen(t, a, true)
		if err := b.Join(ctx, "@berta:b.example", room, []ident.ServerName{"a.example"}); err != nil {
			t.Fatal(err)
		}
		settle()
		var atB journal
		defer subscribe(t, b, "log", atB.deliver)()
		must[ident.EventID](t)(a.Invite(ctx, room, alice, bob, nil))
		settle()
		if diff := cmp.Diff([]string{"@berta:b.example join", "@alice:a.example invite"}, atB.all()); diff != "" {
			t.Errorf("delivered (-want +got):\n%s", diff)
		}
		if len(book.lines()) > 0 {
			t.Errorf("told %v of a room that is here", book.lines())
		}
	})
}

// inviting is a hand-made invitation, as a test wants it.
type inviting struct {
	proto   event.Proto
	version string
	key     *peer
	pathID  string
	room    ident.RoomID
	shown   string
	body    func(event string) string
}

// invite sends an invitation of a peer's making.
func (p *peer) invite(t *testing.T, i inviting) ([]byte, error) {
	t.Helper()
	v, _ := event.VersionOf("10")
	if known, ok := event.VersionOf(i.version); ok {
		v = known
	}
	built := must[*event.Event](t)(event.Build(v, i.proto, i.key.name, i.key.key))
	id := string(built.ID())
	if i.pathID != "" {
		id = i.pathID
	}
	text := fmt.Sprintf(`{"room_version":%q,"event":%s,"invite_room_state":%s}`, i.version, built.JSON(), i.shown)
	if i.body != nil {
		text = i.body(string(built.JSON()))
	}
	return p.do(t.Context(), "b.example", "PUT", nil, []byte(text), "v2", "invite", string(i.room), id)
}

func (p *peer) inviting(room ident.RoomID) inviting {
	key := string(bob)
	return inviting{version: "10", key: p, room: room, shown: `[]`, proto: event.Proto{
		RoomID: room, Sender: xavier, Type: "m.room.member", StateKey: &key, Content: []byte(`{"membership":"invite"}`), Depth: 7,
		OriginServerTS: 946684800000, PrevEvents: []event.Ref{{ID: "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}},
		AuthEvents: []event.Ref{{ID: "$BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}},
	}}
}

// M-31, M-32: what is signed is an invitation of a user of ours by a user of the origin, and nothing else.
func TestInviteIsRead(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var book guestbook
		n.open("b.example", "", with(&book))
		x, y := n.peer("x.example"), n.peer("y.example")
		forged := &peer{name: x.name, key: y.key}
		foreign, nobody := "@carol:c.example", "bob"
		for _, test := range []struct {
			name   string
			change func(*inviting)
			want   string
		}{
			{"in order", func(*inviting) {}, ""},
			{"another event id in the path", func(i *inviting) { i.pathID = "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }, "400 M_INVALID_PARAM"},
			{"another room in the path", func(i *inviting) { i.room = "!other:x.example" }, "400 M_INVALID_PARAM"},
			{"another type", func(i *inviting) { i.proto.Type = "m.room.power_levels" }, "400 M_INVALID_PARAM"},
			{"another membership", func(i *inviting) { i.proto.Content = []byte(`{"membership":"join"}`) }, "400 M_INVALID_PARAM"},
			{"no state key", func(i *inviting) { i.proto.StateKey = nil }, "400 M_INVALID_PARAM"},
			{"a user of another server", func(i *inviting) { i.proto.StateKey = &foreign }, "400 M_INVALID_PARAM"},
			{"what is no user", func(i *inviting) { i.proto.StateKey = &nobody }, "400 M_INVALID_PARAM"},
			{"a sender of another server", func(i *inviting) { i.proto.Sender, i.key = "@yves:y.example", y }, "400 M_INVALID_PARAM"},
			{"a signature by the wrong key", func(i *inviting) { i.key = forged }, "400 M_INVALID_PARAM"},
			{"a third-party invite that its sender did not sign", func(i *inviting) {
				i.proto.Content, i.key = []byte(`{"membership":"invite","third_party_invite":{}}`), y
			}, "400 M_INVALID_PARAM"},
			{"an unknown version", func(i *inviting) { i.version = "org.example.99" }, "400 M_INCOMPATIBLE_ROOM_VERSION"},
			{"no version", func(i *inviting) {
				i.body = func(e string) string { return `{"event":` + e + `}` }
			}, "400 M_MISSING_PARAM"},
			{"no event", func(i *inviting) {
				i.body = func(string) string { return `{"room_version":"10"}` }
			}, "400 M_MISSING_PARAM"},
			{"what is no event", func(i *inviting) {
				i.body = func(string) string { return `{"room_version":"10","event":{}}` }
			}, "400 M_BAD_JSON"},
			{"content that was changed", func(i *inviting) {
				i.body = func(e string) string {
					return `{"room_version":"10","event":` + strings.Replace(e, `"invite"`, `"invite","x":1`, 1) + `}`
				}
			}, "400 M_INVALID_PARAM"},
		} {
			i := x.inviting("!r:x.example")
			test.change(&i)
			before := len(book.lines())
			_, err := x.invite(t, i)
			if got := refusal(err); got != test.want {
				t.Errorf("%s: %s, want %s", test.name, got, test.want)
			}
			if told := len(book.lines()) > before; told != (test.want == "") {
				t.Errorf("%s: told: %v", test.name, told)
			}
		}
		// The same once more, as after an answer that was lost, is the same.
		before := len(book.lines())
		if _, err := x.invite(t, x.inviting("!r:x.example")); err != nil || len(book.lines()) != before {
			t.Errorf("again: %v, told %v", err, book.lines()[before:])
		}
	})
}

// M-33: what the room shows is verified where its id says what its create event is, and in the versions before taken for what it is.
func TestInviteShowsTheRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var book guestbook
		n.open("b.example", "", with(&book))
		x, y := n.peer("x.example"), n.peer("y.example")
		v12, _ := event.VersionOf("12")
		v10, _ := event.VersionOf("10")
		empty := ""
		create := must[*event.Event](t)(event.Build(v12, event.Proto{
			Sender: xavier, Type: "m.room.create", StateKey: &empty, Content: []byte(`{"room_version":"12"}`), Depth: 1,
		}, x.name, x.key))
		state := func(v *event.Version, room ident.RoomID, by *peer, content string) string {
			return string(must[*event.Event](t)(event.Build(v, event.Proto{
				RoomID: room, Sender: xavier, Type: "m.room.name", StateKey: &empty, Content: []byte(content), Depth: 2,
			}, by.name, by.key)).JSON())
		}
		const bare = `{"type":"m.room.name","state_key":"","sender":"@xavier:x.example","content":{"name":"Tea"},"origin_server_ts":7}`
		twelve, ten := create.RoomID(), ident.RoomID("!r:x.example")
		name := state(v12, twelve, x, `{"name":"Tea"}`)
		for n, test := range []struct {
			name, version, shown string
			room                 ident.RoomID
			want                 string
			told                 int // stripped events beside the invitation
		}{
			{"all in order", "12", `[` + string(create.JSON()) + `,` + name + `]`, twelve, "", 2},
			{"no create event", "12", `[` + name + `]`, twelve, "400 M_MISSING_PARAM", 0},
			{"nothing", "12", `[]`, twelve, "400 M_MISSING_PARAM", 0},
			{"stripped", "12", `[` + string(create.JSON()) + `,` + bare + `]`, twelve, "400 M_INVALID_PARAM", 0},
			{"of another room", "12", `[` + string(create.JSON()) + `,` + state(v12, "!BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", x, `{}`) + `]`, twelve, "400 M_INVALID_PARAM", 0},
			{"by another key", "12", `[` + string(create.JSON()) + `,` + state(v12, twelve, &peer{name: x.name, key: y.key}, `{}`) + `]`, twelve, "400 M_INVALID_PARAM", 0},
			{"changed", "12", `[` + string(create.JSON()) + `,` + strings.Replace(name, "Tea", "Gin", 1) + `]`, twelve, "400 M_INVALID_PARAM", 0},
			{"the create event of another room", "12", `[` + string(create.JSON()) + `]`, "!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "400 M_INVALID_PARAM", 0},
			{"stripped, before", "10", `[` + bare + `]`, ten, "", 1},
			{"whole, before", "10", `[` + state(v10, ten, x, `{"name":"Tea"}`) + `]`, ten, "", 1},
			{"of another room, before", "10", `[` + state(v10, "!s:x.example", x, `{}`) + `]`, ten, "", 0},
			{"by another key, before", "10", `[` + state(v10, ten, &peer{name: x.name, key: y.key}, `{}`) + `]`, ten, "", 0},
			{"no events", "10", `[7,{},{"type":1}]`, ten, "", 0},
			{"no list", "10", `7`, ten, "", 0},
			{"too many", "10", `[` + strings.Repeat(bare+`,`, 200) + bare + `]`, ten, "", 50},
		} {
			i := x.inviting(test.room)
			i.version, i.shown = test.version, test.shown
			i.proto.OriginServerTS += int64(n) // an invitation of its own
			answer, err := x.invite(t, i)
			if got := refusal(err); got != test.want {
				t.Errorf("%s: %s, want %s", test.name, got, test.want)
			}
			if test.want != "" {
				continue
			}
			if got := len(book.last(t).State) - 1; got != test.told {
				t.Errorf("%s: %d events shown, want %d", test.name, got, test.told)
			}
			if root := must[canonicaljson.Value](t)(canonicaljson.Parse(answer, canonicaljson.Strict)); !root.Get("event").Get("signatures").Has("b.example") {
				t.Errorf("%s: answer %s is not signed", test.name, answer)
			}
		}
	})
}

// M-23, M-25: an invitation is rejected over who invited, without their being named, and ends when nobody answers.
func TestInviteRejected(t *testing.T) {
	for _, test := range []struct {
		name string
		away bool
		want string
	}{
		{"the inviter's server answers", false, "@bob:b.example leave by @bob:b.example"},
		{"it does not", true, "@bob:b.example leave by @bob:b.example, told to nobody"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				ctx := t.Context()
				var book guestbook
				a, b := n.open("a.example", ""), n.open("b.example", "", with(&book))
				room := versionTen(t, a, false)
				must[ident.EventID](t)(a.Invite(ctx, room, alice, bob, nil))
				if test.away {
					n.put("a.example", nil)
				}
				if err := b.LeaveWith(ctx, bob, room, map[string]string{"reason": "busy"}, nil); err != nil {
					t.Fatal(err)
				}
				if got := book.lines(); len(got) != 2 || got[1] != test.want {
					t.Errorf("told %v, want %q at last", got, test.want)
				}
				told := book.last(t)
				if got := string(told.Event.Content().Canonical()); got != `{"membership":"leave","reason":"busy"}` {
					t.Errorf("the event that clients see says %s", got)
				}
				if !test.away {
					left := must[*event.Event](t)(a.Engine().StateEvent(ctx, room, event.StateKey{Type: "m.room.member", Key: string(bob)}))
					if got := string(left.Content().Canonical()); got != `{"membership":"leave","reason":"busy"}` {
						t.Errorf("the room has %s", got)
					}
				}
				if err := b.Leave(ctx, bob, room); err == nil {
					t.Error("left once more")
				}
			})
		})
	}
}

// Nobody fills the file with invitations that are not answered.
func TestInvitationsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.open("b.example", "", with(&guestbook{}))
		x := n.peer("x.example")
		for room := range 201 {
			_, err := x.invite(t, x.inviting(ident.RoomID(fmt.Sprintf("!r%d:x.example", room))))
			if got, want := refusal(err), map[bool]string{true: "403 M_FORBIDDEN"}[room >= 200]; got != want {
				t.Errorf("invitation %d: %q, want %q", room, got, want)
			}
		}
	})
}

// An invitation that was overtaken by a later one, or by its end, does not come back.
func TestLateInvitation(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var book guestbook
		b := n.open("b.example", "", with(&book))
		x := n.peer("x.example")
		send := func(depth, ts int64) {
			t.Helper()
			i := x.inviting("!r:x.example")
			i.proto.Depth, i.proto.OriginServerTS = depth, ts
			must[[]byte](t)(x.invite(t, i))
		}
		send(8, 100)
		send(7, 200) // stands before it
		send(8, 99)  // is older
		if got := len(book.lines()); got != 1 {
			t.Errorf("told %v, want one invitation", book.lines())
		}
		if err := b.Leave(t.Context(), bob, "!r:x.example"); err != nil {
			t.Fatal(err)
		}
		send(8, 100)
		send(7, 200)
		if got := len(book.lines()); got != 2 {
			t.Errorf("told %v, want nothing after the end", book.lines())
		}
		send(9, 50) // whatever the clock says
		if got := len(book.lines()); got != 3 {
			t.Errorf("told %v, want a new invitation", book.lines())
		}
	})
}

// What was not in the store of the time before, the homeserver may have known: it is told of a leave all the same.
func TestLeaveOfARoomThatIsNotKnown(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		var book guestbook
		a, b := n.open("a.example", ""), n.open("b.example", "", with(&book))
		room := versionTen(t, a, false)
		must[ident.EventID](t)(a.SendState(ctx, room, alice, "m.room.member", string(bob), map[string]string{"membership": "invite"}))
		if err := b.Leave(ctx, bob, room, "a.example"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"@bob:b.example leave by @bob:b.example"}, book.lines()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}
