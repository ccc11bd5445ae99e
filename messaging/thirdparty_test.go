// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"crypto/ed25519"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// identity is an identity server: it has given out the token "t", and says whether its key is valid.
type identity struct {
	key   signing.Key
	valid string // its answer
	asked []string
}

func (n *network) identity() *identity {
	i := &identity{key: keyOf(n.t, "id.example"), valid: `{"valid":true}`}
	n.put("id.example", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.asked = append(i.asked, r.URL.Path+" "+r.URL.Query().Get("public_key")+" "+r.URL.Query().Get("of"))
		_, _ = w.Write([]byte(i.valid))
	}))
	return i
}

func (i *identity) public() string {
	return signing.EncodeBase64(i.key.Private.Public().(ed25519.PublicKey))
}

// signed is its statement that the token belongs to a user.
func (i *identity) signed(t *testing.T, user ident.UserID, token string) string {
	t.Helper()
	return string(must[[]byte](t)(signing.SignJSON(fmt.Appendf(nil, `{"mxid":%q,"token":%q}`, user, token), "id.example", i.key)))
}

// invites publishes a third-party invite in a room.
func (i *identity) invites(t *testing.T, s *messaging.Server, room ident.RoomID) {
	t.Helper()
	must[ident.EventID](t)(s.SendState(t.Context(), room, alice, "m.room.third_party_invite", "t", map[string]any{
		"display_name": "b…@mail", "key_validity_url": "https://id.example/valid?of=tea", "public_key": i.public(),
	}))
}

// bind is the request of the identity server, which nobody signs.
func (n *network) bind(t *testing.T, to string, user ident.UserID, invites string) error {
	t.Helper()
	body := fmt.Appendf(nil, `{"address":"b@mail.example","medium":"email","mxid":%q,"invites":%s}`, user, invites)
	client := transport.NewClient(transport.ClientConfig{ServerName: "id.example", Key: keyOf(t, "id.example"), RoundTripper: n})
	_, err := client.Do(t.Context(), ident.ServerName(to), transport.Call{
		Method: http.MethodPut, Path: "/_matrix/federation/v1/3pid/onbind", Body: body, Unsigned: true,
	})
	return err
}

func bindingOf(room ident.RoomID, signed string) string {
	return fmt.Sprintf(`[{"address":"b@mail.example","medium":"email","mxid":%q,"room_id":%q,"sender":%q,"signed":%s}]`, bob, room, alice, signed)
}

// The whole way, over the inviter's server or, where the user's is in the room, at once (M-40 to M-43).
func TestThirdPartyInvite(t *testing.T) {
	for _, test := range []struct {
		version  string
		resident bool
	}{{"1", false}, {"10", false}, {"12", false}, {"10", true}, {"12", true}} {
		t.Run(fmt.Sprint(test.version, " ", test.resident), func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				ctx := t.Context()
				var book guestbook
				a, b, id := n.open("a.example", ""), n.open("b.example", "", with(&book)), n.identity()
				room := must[ident.RoomID](t)(a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice, Version: test.version}))
				id.invites(t, a, room)
				if test.resident {
					must[ident.EventID](t)(a.Invite(ctx, room, alice, "@berta:b.example", nil))
					if err := b.Join(ctx, "@berta:b.example", room, nil); err != nil {
						t.Fatal(err)
					}
					settle()
				}
				signed := id.signed(t, bob, "t")
				if err := n.bind(t, "b.example", bob, bindingOf(room, signed)); err != nil {
					t.Fatal(err)
				}
				settle()
				invite := must[*event.Event](t)(a.Engine().StateEvent(ctx, room, event.StateKey{Type: "m.room.member", Key: string(bob)}))
				want := fmt.Sprintf(`{"membership":"invite","third_party_invite":{"display_name":"b…@mail","signed":%s}}`, signed)
				if invite == nil || string(invite.Content().Canonical()) != want || invite.Sender() != alice {
					t.Fatalf("the room has %v, want an invitation by alice: %s", invite, want)
				}
				if test.resident == (n.askedFor("exchange_third_party_invite") > 0) {
					t.Errorf("asked: %v", n.asked())
				}
				if diff := cmp.Diff([]string{"/valid " + id.public() + " tea"}, id.asked); diff != "" {
					t.Errorf("the identity server was asked (-want +got):\n%s", diff)
				}
				if err := b.Join(ctx, bob, room, nil); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// M-41 to M-43: what an exchange must be.
func TestExchangeRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, x, id := n.open("a.example", ""), n.peer("x.example"), n.identity()
		n.open("b.example", "", with(&guestbook{}))
		room := versionTen(t, a, false)
		id.invites(t, a, room)
		other := &identity{key: keyOf(t, "other.example")}
		good := id.signed(t, bob, "t")
		body := func(kind, membership string, room ident.RoomID, sender, target ident.UserID, signed string) string {
			return fmt.Sprintf(`{"type":%q,"room_id":%q,"sender":%q,"state_key":%q,"content":{"membership":%q,"third_party_invite":{"display_name":"","signed":%s}}}`,
				kind, room, sender, target, membership, signed)
		}
		for _, test := range []struct{ name, body, valid, want string }{
			{"another type", body("m.room.name", "invite", room, alice, bob, good), `{"valid":true}`, "400 M_INVALID_PARAM"},
			{"another membership", body("m.room.member", "join", room, alice, bob, good), `{"valid":true}`, "400 M_INVALID_PARAM"},
			{"another room", body("m.room.member", "invite", "!x:a.example", alice, bob, good), `{"valid":true}`, "400 M_INVALID_PARAM"},
			{"another server's inviter", body("m.room.member", "invite", room, xavier, bob, good), `{"valid":true}`, "400 M_INVALID_PARAM"},
			{"another user of ours", body("m.room.member", "invite", room, "@anna:a.example", bob, good), `{"valid":true}`, "403 M_FORBIDDEN"},
			{"about another user", body("m.room.member", "invite", room, alice, xavier, good), `{"valid":true}`, "400 M_INVALID_PARAM"},
			{"an unknown token", body("m.room.member", "invite", room, alice, bob, id.signed(t, bob, "u")), `{"valid":true}`, "403 M_FORBIDDEN"},
			{"by another key", body("m.room.member", "invite", room, alice, bob, other.signed(t, bob, "t")), `{"valid":true}`, "403 M_FORBIDDEN"},
			{"nothing signed", body("m.room.member", "invite", room, alice, bob, `7`), `{"valid":true}`, "400 M_INVALID_PARAM"},
			{"a key that was revoked", body("m.room.member", "invite", room, alice, bob, good), `{"valid":false}`, "403 M_FORBIDDEN"},
			{"validity that is no answer", body("m.room.member", "invite", room, alice, bob, good), `<html>`, "502 M_UNKNOWN"},
			{"in order", body("m.room.member", "invite", room, alice, bob, good), `{"valid":true}`, ""},
		} {
			id.valid = test.valid
			_, err := x.do(ctx, "a.example", "PUT", nil, []byte(test.body), "v1", "exchange_third_party_invite", string(room))
			if got := refusal(err); got != test.want {
				t.Errorf("%s: %s, want %s", test.name, got, test.want)
			}
		}
		if got := membershipOf(t, a, room, bob); got != "invite" {
			t.Errorf("at the end bob's membership is %q", got)
		}
	})
}

// Anyone can say that they are an identity server: nothing comes of what is not for a user of ours.
func TestBindingRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		book := guestbook{}
		n.open("b.example", "", with(&book))
		n.open("c.example", "")
		id := n.identity()
		room := ident.RoomID("!r:a.example")
		for _, test := range []struct {
			name, to string
			user     ident.UserID
			refuse   error
			invites  string
			want     string
		}{
			{"a homeserver without invitations", "c.example", carol, nil, `[]`, "404 M_UNRECOGNIZED"},
			{"none", "b.example", bob, nil, `[]`, ""},
			{"another server's user", "b.example", carol, nil, bindingOf(room, id.signed(t, carol, "t")), "400 M_INVALID_PARAM"},
			{"no such user", "b.example", bob, messaging.ErrInviteRefused, bindingOf(room, id.signed(t, bob, "t")), "403 M_FORBIDDEN"},
			{"nothing signed", "b.example", bob, nil, bindingOf(room, `{}`), "400 M_INVALID_PARAM"},
			{"what is no invitation", "b.example", bob, nil, `[7]`, "400 M_INVALID_PARAM"},
			{"an inviter who cannot be reached", "b.example", bob, nil, bindingOf(room, id.signed(t, bob, "t")), "502 M_UNKNOWN"},
		} {
			book.refuse = test.refuse
			if got := refusal(n.bind(t, test.to, test.user, test.invites)); got != test.want {
				t.Errorf("%s: %s, want %s", test.name, got, test.want)
			}
		}
		if got := n.askedFor("exchange_third_party_invite"); got != 1 {
			t.Errorf("%d exchanges, want one", got)
		}
	})
}
