// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
)

// M-110, and mod/room_upgrades, "Server behaviour".
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for _, versions := range [][2]string{{"9", "11"}, {"10", "12"}, {"12", "12"}} {
		t.Run(versions[0]+" to "+versions[1], func(t *testing.T) {
			inBubble(t, func(t *testing.T, a, _ *host) {
				old := a.room(alice, fmt.Sprintf(`{"preset":"public_chat","visibility":"public","room_version":%q,"room_alias_name":"r","name":"N","topic":"T",
					"creation_content":{"type":"m.space"},"initial_state":[{"type":"m.room.encryption","content":{"algorithm":"m.megolm.v1.aes-sha2"}}],
					"power_level_content_override":{"kick":33}}`, versions[0]))
				a.ok(carol, "POST", in(old, "join"), ``, "")
				a.refused(carol, "POST", in(old, "upgrade"), fmt.Sprintf(`{"new_version":%q}`, versions[1]), 403, "M_FORBIDDEN")
				a.refused(alice, "POST", in(old, "upgrade"), `{}`, 400, "M_MISSING_PARAM")
				a.refused(alice, "POST", in(old, "upgrade"), `{"new_version":"99"}`, 400, "M_UNSUPPORTED_ROOM_VERSION")
				room := a.ok(alice, "POST", in(old, "upgrade"), fmt.Sprintf(`{"new_version":%q}`, versions[1]), "replacement_room")

				content := func(room, slot string) (c map[string]any) {
					t.Helper()
					_, answer := a.Do(t, alice, "GET", in(room, "state/"+slot), "")
					if err := json.Unmarshal(answer, &c); err != nil {
						t.Fatal(err)
					}
					return c
				}
				create := content(room, "m.room.create")
				predecessor, _ := create["predecessor"].(map[string]any)
				if create["type"] != "m.space" || create["room_version"] != versions[1] || predecessor["room_id"] != old {
					t.Errorf("m.room.create: %v, want the type, the version and where it comes from", create)
				}
				if _, named := predecessor["event_id"]; named == (versions[1] == "12") {
					t.Errorf("predecessor: %v", predecessor)
				}
				if c := content(old, "m.room.tombstone"); c["replacement_room"] != room {
					t.Errorf("tombstone: %v, want %s", c, room)
				}
				for _, slot := range []string{"m.room.name", "m.room.topic", "m.room.encryption", "m.room.join_rules", "m.room.history_visibility", "m.room.guest_access", "m.room.canonical_alias"} {
					if was, is := fmt.Sprint(content(old, slot)), fmt.Sprint(content(room, slot)); was != is {
						t.Errorf("%s: %s, want %s", slot, is, was)
					}
				}
				if levels := content(room, "m.room.power_levels"); levels["kick"] != 33.0 || levels["events_default"] != 0.0 {
					t.Errorf("power levels: %v, want those of the old room", levels)
				}
				if levels := content(old, "m.room.power_levels"); levels["events_default"] != 50.0 || levels["invite"] != 50.0 || levels["kick"] != 33.0 {
					t.Errorf("power levels of the old room: %v, want it closed", levels)
				}
				a.Want(t, alice, "GET", named("#r:a.example"), "", 200, fmt.Sprintf(`{"room_id":%q,"servers":["a.example"]}`, room))
				a.Want(t, alice, "GET", v3+"directory/list/room/"+room, "", 200, `{"visibility":"public"}`)
				a.Want(t, alice, "GET", v3+"directory/list/room/"+old, "", 200, `{"visibility":"private"}`)
				if order, _ := a.firstState(old); slices.Index(order, "m.room.tombstone") < 0 {
					t.Error("no tombstone")
				}
				a.refused(carol, "PUT", in(old, "send/org.x/1"), `{}`, 403, "M_FORBIDDEN")
			})
		})
	}
}
