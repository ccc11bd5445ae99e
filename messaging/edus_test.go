// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// shared opens two servers whose homeservers listen, with a room of alice's that bob is in.
func shared(t *testing.T, n *network) (a, b *messaging.Server, atA, atB *core, room ident.RoomID) {
	t.Helper()
	atA, atB = &core{}, &core{}
	a, b = n.open("a.example", "", atA.with), n.open("b.example", "", atB.with)
	room = versionTen(t, a, true)
	if err := b.Join(t.Context(), bob, room, []ident.ServerName{"a.example"}); err != nil {
		t.Fatal(err)
	}
	settle()
	return a, b, atA, atB, room
}

func wantLines(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestVolatileEDUsBetweenServers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, b, _, atB, room := shared(t, n)
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			settle()
		}
		check(a.SendTyping(ctx, room, alice, true))
		check(a.SendTyping(ctx, room, alice, false))
		wantLines(t, "typing (M-50)", atB.heard(), "@alice:a.example types: true", "@alice:a.example types: false")

		check(a.SendPresence(ctx, messaging.PresenceUpdate{User: alice, Presence: "online", LastActive: 5 * time.Second, Status: "hi", CurrentlyActive: true}))
		wantLines(t, "presence (M-51)", atB.heard(), `@alice:a.example is online, 5s ago, "hi", true`)

		check(a.SendReceipt(ctx, messaging.Receipt{Room: room, User: alice, Type: "m.read", Event: "$one", TS: 1}))
		check(a.SendReceipt(ctx, messaging.Receipt{Room: room, User: alice, Type: "m.read", Event: "$two", Thread: "main", TS: 2}))
		wantLines(t, "receipts (M-52, M-53)", atB.heard(), `@alice:a.example m.read $one "" at 1`, `@alice:a.example m.read $two "main" at 2`)

		if err := a.SendReceipt(ctx, messaging.Receipt{Room: room, User: alice, Type: "m.read.private", Event: "$one", TS: 1}); !errors.Is(err, transaction.ErrPrivateReceipt) {
			t.Errorf("private receipt (M-53): %v", err)
		}
		if err := a.SendTyping(ctx, room, bob, true); !errors.Is(err, messaging.ErrNotOurs) {
			t.Errorf("typing of another server's user: %v", err)
		}
		if err := a.SendTyping(ctx, room, "@nobody:a.example", true); !errors.Is(err, pdu.ErrNotJoined) {
			t.Errorf("typing of a user who is not in the room: %v", err)
		}
		// With the last shared room goes the right to hear of each other.
		check(b.Leave(ctx, bob, room))
		check(a.SendPresence(ctx, messaging.PresenceUpdate{User: alice, Presence: "offline"}))
		wantLines(t, "after the leave", atB.heard())
	})
}

// A message to devices is durable with the job that sends it, goes to the servers of its receivers alone, and keeps its order (M-55).
func TestToDeviceBetweenServers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, atA, atB, _ := shared(t, n)
		send := func(tx *persistence.Tx, k int) error {
			return a.SendToDevice(tx, messaging.ToDeviceMessage{Sender: alice, Type: "m.test", Messages: map[ident.UserID]map[string]json.RawMessage{
				alice: {"OURS": json.RawMessage(`{}`)}, bob: {"*": json.RawMessage(fmt.Sprintf(`{"f":1.5,"k":%d}`, k))},
			}})
		}
		inJob(t, a, func(tx *persistence.Tx) error { return errors.Join(send(tx, 1), send(tx, 2)) })
		fails := errors.New("on purpose")
		if err := a.Store().Update(t.Context(), func(tx *persistence.Tx) error { return errors.Join(send(tx, 3), fails) }); !errors.Is(err, fails) {
			t.Fatal(err)
		}
		inJob(t, a, func(tx *persistence.Tx) error { return send(tx, 4) })
		settle()
		line := `m.test of @alice:a.example: {"@bob:b.example":{"*":{"f":1.5,"k":%d}}}`
		wantLines(t, "b.example", atB.heard(), fmt.Sprintf(line, 1), fmt.Sprintf(line, 2), fmt.Sprintf(line, 4))
		wantLines(t, "a.example", atA.heard())
	})
}

// The first update that a server hears of brings the whole list, the next ones a device each; who comes into a room is introduced
// (M-56 to M-60).
func TestDeviceListsBetweenServers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, atA, atB, _ := shared(t, n)
		laptop := atA.addDevice(alice, "LAPTOP", "laptop")
		inJob(t, a, func(tx *persistence.Tx) error { return a.SendDeviceListUpdate(tx, alice, laptop) })
		settle()
		wantLines(t, "the first", atB.heard(), "devices of @alice:a.example are stale", "devices of @alice:a.example: [LAPTOP], master false, self-signing false")

		phone := atA.addDevice(alice, "PHONE", "phone")
		inJob(t, a, func(tx *persistence.Tx) error {
			return errors.Join(a.SendDeviceListUpdate(tx, alice, phone), a.SendDeviceListUpdate(tx, alice, messaging.Device{ID: "LAPTOP", Deleted: true}),
				a.SendSigningKeyUpdate(tx, alice, messaging.SigningKeys{Master: signingKey(alice, "master"), SelfSigning: signingKey(alice, "self_signing")}))
		})
		settle()
		wantLines(t, "the next", atB.heard(), `PHONE of @alice:a.example: "phone", keys true, deleted false`,
			`LAPTOP of @alice:a.example: "", keys false, deleted true`, "keys of @alice:a.example: master true, self-signing true")

		// Another user of ours comes in, of whom b.example has heard nothing yet.
		anna := ident.UserID("@anna:a.example")
		atA.addDevice(anna, "TABLET", "")
		room := versionTen(t, a, true)
		if err := a.Join(t.Context(), anna, room, nil); err != nil {
			t.Fatal(err)
		}
		settle()
		wantLines(t, "nobody else there", atB.heard())
	})
}

func TestIntroduction(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, atA, atB, room := shared(t, n)
		anna := ident.UserID("@anna:a.example")
		atA.addDevice(anna, "TABLET", "")
		if err := a.Join(t.Context(), anna, room, nil); err != nil {
			t.Fatal(err)
		}
		settle()
		wantLines(t, "who comes in (M-59)", atB.heard(), "devices of @anna:a.example are stale", "devices of @anna:a.example: [TABLET], master false, self-signing false")
		// What follows an introduction follows the list that it brought.
		watch := atA.addDevice(anna, "WATCH", "")
		inJob(t, a, func(tx *persistence.Tx) error { return a.SendDeviceListUpdate(tx, anna, watch) })
		must[ident.EventID](t)(a.SendState(t.Context(), room, anna, "m.room.member", string(anna), map[string]string{"membership": "join", "displayname": "Anna"}))
		settle()
		wantLines(t, "what follows", atB.heard(), `WATCH of @anna:a.example: "", keys true, deleted false`)
		// A second room with the same server brings nothing new.
		second := versionTen(t, a, true)
		if err := a.Join(t.Context(), anna, second, nil); err != nil {
			t.Fatal(err)
		}
		settle()
		wantLines(t, "a room without others", atB.heard())
	})
}

// send sends EDUs from a peer to a.example, in a transaction of their own.
func (p *peer) send(ctx context.Context, t *testing.T, txn string, edus ...string) error {
	t.Helper()
	body := `{"origin":"` + string(p.name) + `","origin_server_ts":1,"pdus":[],"edus":[`
	for i, edu := range edus {
		if i > 0 {
			body += ","
		}
		body += edu
	}
	_, err := p.do(ctx, "a.example", "PUT", nil, []byte(body+"]}"), "v1", "send", txn)
	return err
}

// What an EDU says counts only where it makes sense and its server may say it (M-61); it never fails the transaction, nor another EDU.
func TestEDUsThatMakeNoSense(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		heard := &core{}
		a, x := n.open("a.example", "", heard.with), n.peer("x.example")
		room := versionTen(t, a, true)
		if _, err := x.hand(ctx, t, "join", x.prepare(ctx, t, "join", room, xavier)); err != nil {
			t.Fatal(err)
		}
		settle()
		heard.heard()
		typing := func(user, rest string) string {
			return fmt.Sprintf(`{"edu_type":"m.typing","content":{"room_id":%q,"user_id":%q%s}}`, room, user, rest)
		}
		receipt := func(user, rest string) string {
			return fmt.Sprintf(`{"edu_type":"m.receipt","content":{%q:{"m.read":{%q:%s}}}}`, room, user, rest)
		}
		presence := func(list string) string { return `{"edu_type":"m.presence","content":{"push":` + list + `}}` }
		message := func(content string) string { return `{"edu_type":"m.direct_to_device","content":{` + content + `}}` }
		const to = `"messages":{"@alice:a.example":{"D":{"k":1}}}`
		for i, tt := range []struct {
			edu  string
			want []string
		}{
			{typing("@xavier:x.example", `,"typing":true`), []string{"@xavier:x.example types: true"}},
			{typing("@xavier:x.example", `,"typing":"yes"`), nil},
			{typing("@xavier:x.example", ``), nil},
			{typing("@alice:a.example", `,"typing":true`), nil},
			{typing("@bob:b.example", `,"typing":true`), nil},
			{typing("@other:x.example", `,"typing":true`), nil}, // not in the room (M-50)
			{receipt("@xavier:x.example", `{"event_ids":["$e"],"data":{"ts":7}}`), []string{`@xavier:x.example m.read $e "" at 7`}},
			{receipt("@xavier:x.example", `{"event_ids":["$e"],"data":{"ts":7,"thread_id":"$root"}}`), []string{`@xavier:x.example m.read $e "$root" at 7`}},
			{receipt("@xavier:x.example", `{"event_ids":["$e"],"data":{"ts":7,"thread_id":1}}`), nil},
			{receipt("@xavier:x.example", `{"event_ids":["$e","$f"],"data":{"ts":7}}`), nil},
			{receipt("@xavier:x.example", `{"event_ids":[],"data":{"ts":7}}`), nil},
			{receipt("@xavier:x.example", `{"event_ids":["$e"],"data":{}}`), nil},
			{receipt("@alice:a.example", `{"event_ids":["$e"],"data":{"ts":7}}`), nil},
			{fmt.Sprintf(`{"edu_type":"m.receipt","content":{%q:{"m.read.private":{"@xavier:x.example":{"event_ids":["$e"],"data":{"ts":7}}}}}}`, room), nil},
			{presence(`[{"user_id":"@xavier:x.example","presence":"unavailable","last_active_ago":90000},{"user_id":"@alice:a.example","presence":"online","last_active_ago":1},7]`),
				[]string{`@xavier:x.example is unavailable, 1m30s ago, "", false`}},
			{presence(`[{"user_id":"@xavier:x.example","presence":"busy","last_active_ago":1}]`), nil},
			{presence(`[{"user_id":"@xavier:x.example","presence":"online","last_active_ago":-1}]`), nil},
			{presence(`[{"user_id":"@xavier:x.example","presence":"online"}]`), nil},
			{presence(`{}`), nil},
			{message(`"sender":"@xavier:x.example","type":"m.t","message_id":"1",` + to), []string{`m.t of @xavier:x.example: {"@alice:a.example":{"D":{"k":1}}}`}},
			{message(`"sender":"@xavier:x.example","type":"m.t","message_id":"1",` + to), nil}, // once (M-55)
			{message(`"sender":"@yves:x.example","type":"m.t","message_id":"1",` + to), []string{`m.t of @yves:x.example: {"@alice:a.example":{"D":{"k":1}}}`}},
			{message(`"sender":"@alice:a.example","type":"m.t","message_id":"2",` + to), nil},
			{message(`"sender":"@xavier:x.example","type":"m.t",` + to), nil},
			{message(`"sender":"@xavier:x.example","message_id":"3",` + to), nil},
			{message(`"sender":"@xavier:x.example","type":"m.t","message_id":"4","messages":{"@bob:b.example":{"D":{}},"@alice:a.example":{"D":"text"}}`), nil},
			{`{"edu_type":"m.device_list_update","content":{"user_id":"@xavier:x.example","device_id":"D"}}`, nil},
			{`{"edu_type":"m.device_list_update","content":{"user_id":"@alice:a.example","device_id":"D","stream_id":1}}`, nil},
			{`{"edu_type":"m.device_list_update","content":{"user_id":"@stranger:x.example","device_id":"D","stream_id":1}}`, nil}, // in no room of ours
			{`{"edu_type":"m.signing_key_update","content":{"user_id":"@xavier:x.example","master_key":{"user_id":"@xavier:x.example","usage":["user_signing"],"keys":{"k":"v"}}}}`, nil},
			{`{"edu_type":"m.signing_key_update","content":{"user_id":"@xavier:x.example","user_signing_key":{"user_id":"@xavier:x.example","usage":["user_signing"],"keys":{"k":"v"}}}}`, nil},
		} {
			if err := x.send(ctx, t, fmt.Sprint("t", i), tt.edu, `7`); err != nil {
				t.Errorf("%s: %v", tt.edu, err)
			}
			wantLines(t, tt.edu, heard.heard(), tt.want...)
		}
	})
}

// A homeserver that cannot keep something has the transaction sent again, of which nothing is taken twice (T-12, M-55).
func TestToDeviceComesAgainWhenItIsNotKept(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		heard := &core{}
		n.open("a.example", "", heard.with)
		x := n.peer("x.example")
		edu := `{"edu_type":"m.direct_to_device","content":{"sender":"@xavier:x.example","type":"m.t","message_id":"1","messages":{"@alice:a.example":{"D":{}}}}}`
		heard.refuses = true
		if err := x.send(t.Context(), t, "t1", edu); refusal(err) != "500 M_UNKNOWN" {
			t.Errorf("not kept: %v", err)
		}
		heard.refuses = false
		for _, txn := range []string{"t1", "t1", "t2"} {
			if err := x.send(t.Context(), t, txn, edu); err != nil {
				t.Error(err)
			}
		}
		wantLines(t, "heard", heard.heard(), `m.t of @xavier:x.example: {"@alice:a.example":{"D":{}}}`)
	})
}

// Who is told of a user follows the rooms that the user is in, through leaves, further rooms and joins over others.
func TestWhoIsToldOfAUser(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, b, atA, atB, room := shared(t, n)
		atC := &core{}
		c := n.open("c.example", "", atC.with)
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			settle()
		}
		line := `@bob:b.example is online, 0s ago, "", false`
		told := func(when string, wantA, wantC bool) {
			t.Helper()
			atA.heard()
			atC.heard()
			check(b.SendPresence(ctx, messaging.PresenceUpdate{User: bob, Presence: "online"}))
			for server, heard := range map[string][]string{"a": atA.heard(), "c": atC.heard()} {
				want := map[string]bool{"a": wantA, "c": wantC}[server]
				if got := len(heard) == 1 && heard[0] == line; got != want {
					t.Errorf("%s: %s heard %q, told %t, want %t", when, server, heard, got, want)
				}
			}
			atB.heard()
		}
		told("one room", true, false)
		other := versionTen(t, a, true)
		check(c.Join(ctx, carol, other, []ident.ServerName{"a.example"}))
		told("c.example is in another room", true, false)
		check(b.Join(ctx, bob, other, []ident.ServerName{"a.example"}))
		told("two rooms", true, true)
		check(b.Leave(ctx, bob, other))
		told("out of the second", true, false)
		check(b.Leave(ctx, bob, room))
		told("out of both", false, false)
		check(b.Join(ctx, bob, other, []ident.ServerName{"c.example"}))
		told("in again, over another", true, true)
		must[ident.EventID](t)(a.SendState(ctx, other, alice, "m.room.member", string(bob), map[string]string{"membership": "leave"}))
		settle()
		told("kicked", false, false)
	})
}
