// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

// firstState lists type and state key of the room's events in order, with the content of those asked for.
func (h *host) firstState(room string) (order []string, content map[string]string) {
	h.t.Helper()
	deliveries, err := h.server.Engine().Since(h.t.Context(), 0, 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	content = map[string]string{}
	for _, d := range deliveries {
		if d.Room == ident.RoomID(room) {
			order = append(order, d.Event.Type())
			content[d.Event.Type()] = string(d.Event.Content().Canonical())
		}
	}
	return order, content
}

// The order is M-111, the contents are the table of YC/create_room, "preset".
func TestCreateRoom(t *testing.T) {
	t.Parallel()
	private := map[string]string{
		"m.room.join_rules":         `{"join_rule":"invite"}`,
		"m.room.history_visibility": `{"history_visibility":"shared"}`,
		"m.room.guest_access":       `{"guest_access":"can_join"}`,
	}
	public := map[string]string{
		"m.room.join_rules":         `{"join_rule":"public"}`,
		"m.room.history_visibility": `{"history_visibility":"shared"}`,
	} // guests are forbidden without an event that says so
	closed := []string{"m.room.create", "m.room.member", "m.room.power_levels", "m.room.join_rules", "m.room.history_visibility"}
	plain := append(slices.Clone(closed), "m.room.guest_access")
	for name, c := range map[string]struct {
		body    string
		order   []string
		content map[string]string
	}{
		"nothing":           {``, plain, private},
		"private":           {`{"visibility":"private"}`, plain, private},
		"public":            {`{"visibility":"public"}`, closed, public},
		"preset before all": {`{"visibility":"public","preset":"private_chat"}`, plain, private},
		"everything": {
			`{"preset":"public_chat","room_alias_name":"everything","name":"N","topic":"T","room_version":"10",
				"creation_content":{"type":"m.space","m.federate":false,"room_version":"1","creator":"@mallory:m.example"},
				"initial_state":[{"type":"org.x","state_key":"k","content":{"a":1}}]}`,
			[]string{
				"m.room.create", "m.room.member", "m.room.power_levels", "m.room.canonical_alias", "m.room.join_rules",
				"m.room.history_visibility", "org.x", "m.room.name", "m.room.topic",
			},
			map[string]string{
				"m.room.create":          `{"creator":"@alice:a.example","m.federate":false,"room_version":"10","type":"m.space"}`,
				"m.room.member":          `{"displayname":"ALICE","membership":"join"}`,
				"m.room.canonical_alias": `{"alias":"#everything:a.example"}`,
				"m.room.name":            `{"name":"N"}`,
				"m.room.topic":           `{"m.topic":{"m.text":[{"body":"T"}]},"topic":"T"}`,
				"org.x":                  `{"a":1}`,
			},
		},
		"initial state before the preset": {
			`{"initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`,
			[]string{"m.room.create", "m.room.member", "m.room.power_levels", "m.room.history_visibility", "m.room.guest_access", "m.room.join_rules"},
			map[string]string{"m.room.join_rules": `{"join_rule":"knock"}`},
		},
		"trusted, version 12": {
			`{"preset":"trusted_private_chat","invite":["@carol:a.example"],"is_direct":true}`,
			slices.Concat(plain, []string{"m.room.member"}),
			map[string]string{
				"m.room.create": `{"additional_creators":["@carol:a.example"],"room_version":"12"}`,
				"m.room.member": `{"displayname":"CAROL","is_direct":true,"membership":"invite"}`,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, a, _ *host) {
				order, content := a.firstState(a.room(alice, c.body))
				if diff := cmp.Diff(c.order, order); diff != "" {
					t.Error(diff)
				}
				for kind, want := range c.content {
					if content[kind] != want {
						t.Errorf("%s: %s, want %s", kind, content[kind], want)
					}
				}
			})
		})
	}
}

func TestCreateRoomPowerLevels(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		levels := func(body string) (l struct {
			Users  map[string]int
			Invite int
			Kick   int
		}) {
			_, content := a.firstState(a.room(alice, body))
			if err := json.Unmarshal([]byte(content["m.room.power_levels"]), &l); err != nil {
				t.Fatal(err)
			}
			return l
		}
		if l := levels(`{"room_version":"11","preset":"trusted_private_chat","invite":["@carol:a.example"]}`); l.Users[alice] != 100 || l.Users[carol] != 100 {
			t.Errorf("trusted_private_chat: %+v, want both at 100", l)
		}
		if l := levels(`{"room_version":"11","power_level_content_override":{"kick":7}}`); l.Users[alice] != 100 || l.Kick != 7 {
			t.Errorf("override: %+v, want kick at 7, alice at 100", l)
		}
		if l := levels(`{"preset":"public_chat"}`); len(l.Users) != 0 || l.Invite != 50 { // creators are not named
			t.Errorf("version 12: %+v, want no users, invite at 50", l)
		}
	})
}

func TestCreateRoomRefusals(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		a.room(alice, `{"room_alias_name":"taken"}`)
		for name, c := range map[string]struct {
			body   string
			status int
			code   string
		}{
			"no JSON":            {`{`, 400, "M_NOT_JSON"},
			"a list":             {`[]`, 400, "M_BAD_JSON"},
			"a wrong type":       {`{"name":7}`, 400, "M_BAD_JSON"},
			"version":            {`{"room_version":"99"}`, 400, "M_UNSUPPORTED_ROOM_VERSION"},
			"preset":             {`{"preset":"odd"}`, 400, "M_BAD_JSON"},
			"visibility":         {`{"visibility":"odd"}`, 400, "M_BAD_JSON"},
			"alias":              {`{"room_alias_name":"taken"}`, 400, "M_ROOM_IN_USE"},
			"alias that is none": {`{"room_alias_name":"a:b"}`, 400, "M_INVALID_PARAM"},
			"invite":             {`{"invite":["carol"]}`, 400, "M_INVALID_PARAM"},
			"a float":            {`{"initial_state":[{"type":"org.x","content":{"a":1.5}}]}`, 400, "M_BAD_JSON"},
			"content":            {`{"initial_state":[{"type":"org.x","content":[]}]}`, 400, "M_BAD_JSON"},
			"creator in levels":  {`{"power_level_content_override":{"users":{"@alice:a.example":100}}}`, 400, "M_INVALID_ROOM_STATE"},
			"second create":      {`{"initial_state":[{"type":"m.room.create","content":{}}]}`, 400, "M_INVALID_ROOM_STATE"},
			"too little power":   {`{"room_version":"11","power_level_content_override":{"users":{"@alice:a.example":0}},"name":"n"}`, 400, "M_INVALID_ROOM_STATE"},
		} {
			status, answer := a.Do(t, alice, "POST", v3+"createRoom", c.body)
			if status != c.status || textOf(t, answer, "errcode") != c.code {
				t.Errorf("%s: %d %s, want %d %s", name, status, answer, c.status, c.code)
			}
		}
	})
}
