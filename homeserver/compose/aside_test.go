// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/homeserver/todevice"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// The count for an event comes with it, and is gone when it has been read (S-20, S-22); the receipt comes too (S-18).
func TestUnreadComesWithTheEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		room := must[ident.RoomID](t)(s.server.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice, Public: true}))
		if err := s.server.Join(t.Context(), bob, room, nil); err != nil {
			t.Fatal(err)
		}
		since := s.next(alice)
		id := must[ident.EventID](t)(s.server.Send(t.Context(), room, bob, "m.room.message", text("hello")))
		a := s.sync(alice, "since="+since)
		one := a.Rooms.Join[room]
		if len(one.Timeline.Events) != 1 || one.Unread == nil || one.Unread.Notifications != 1 {
			t.Fatalf("%d events with the count %+v, want one with one", len(one.Timeline.Events), one.Unread)
		}
		if status, body := s.Do(t, string(alice)+" DEVICE", http.MethodPost, "/_matrix/client/v3/rooms/"+string(room)+"/receipt/m.read/"+string(id), "{}"); status != 200 {
			t.Fatalf("receipt: %d %s", status, body)
		}
		one = s.sync(alice, "since="+a.NextBatch).Rooms.Join[room]
		if one.Unread == nil || one.Unread.Notifications != 0 || len(one.Ephemeral.Events) != 1 || one.Ephemeral.Events[0].Type != "m.receipt" {
			t.Errorf("after reading: count %+v, %v", one.Unread, one.Ephemeral.Events)
		}
	})
}

// K4: a message for a device comes, comes again for the same token, and is gone once the next one acknowledges it.
func TestToDevice(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		since := s.next(alice)
		err := s.server.Store().Update(t.Context(), func(tx *persistence.Tx) error {
			_, err := tx.Exec(`INSERT INTO hs_devices (user, device, name, created) VALUES (?, 'DEVICE', '', 1)`, string(alice))
			if err != nil {
				return err
			}
			return todevice.Inbox{}.KeepToDevice(tx, messaging.ToDeviceMessage{
				Sender: "@eve:b.example", Type: "org.test",
				Messages: map[ident.UserID]map[string]json.RawMessage{alice: {"DEVICE": json.RawMessage(`{"n":1}`)}},
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		var next string
		for i, token := range []string{since, since, "", ""} {
			if token == "" {
				token = next
			}
			body := s.raw(alice, "since="+token)
			var a answer
			if err := json.Unmarshal(body, &a); err != nil {
				t.Fatal(err)
			}
			next = a.NextBatch
			if got, want := strings.Contains(string(body), "@eve:b.example"), i < 2; got != want {
				t.Errorf("sync %d has the message: %v, want %v (1,1,0,0): %s", i+1, got, want, body)
			}
		}
	})
}
