// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transport/ident"
)

// Who comes into an encrypted room is told of all who now share one with them: themselves too, whose other devices read along. A room has
// all its sections (S-13), those with nothing in them too.
func TestJoinOfAnEncryptedRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		room := must[ident.RoomID](t)(s.server.CreateRoom(t.Context(), messaging.CreateRoom{
			Creator: alice, Public: true,
			State: []messaging.State{{Type: "m.room.encryption", Content: map[string]string{"algorithm": "m.megolm.v1.aes-sha2"}}},
		}))
		since := s.next(bob)
		if err := s.server.Join(t.Context(), bob, room, nil); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Devices struct {
				Changed []ident.UserID `json:"changed"`
				Left    []ident.UserID `json:"left"`
			} `json:"device_lists"`
			Rooms struct {
				Join map[ident.RoomID]map[string]json.RawMessage `json:"join"`
			} `json:"rooms"`
		}
		if err := json.Unmarshal(s.raw(bob, "since="+since), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]ident.UserID{alice, bob}, got.Devices.Changed); diff != "" || len(got.Devices.Left) > 0 {
			t.Errorf("device lists changed (-want +got):\n%s left %v", diff, got.Devices.Left)
		}
		for _, section := range []string{"summary", "state", "timeline", "ephemeral", "account_data", "unread_notifications"} {
			if _, has := got.Rooms.Join[room][section]; !has {
				t.Errorf("the room has no %s", section)
			}
		}
	})
}
