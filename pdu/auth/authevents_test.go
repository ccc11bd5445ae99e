// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// TestNeeded is the selection of the server-server API, "Auth events selection" (P-35).
func TestNeeded(t *testing.T) {
	power, alice, bob := powerSlot, memberSlot("@alice:a"), memberSlot("@bob:b")
	token := event.StateKey{Type: typeThirdPartyInvite, Key: "tok"}
	const redeemed = `{"membership":"invite","third_party_invite":{"signed":{"token":"tok"}}}`
	tests := []struct {
		name    string
		version string
		typ     string
		key     string // "-" for no state key
		content string
		want    []event.StateKey
	}{
		{"create", "11", typeCreate, "", `{}`, nil},
		{"message", "11", "m.room.message", "-", `{}`, []event.StateKey{createSlot, power, alice}},
		{"message, version 12", "12", "m.room.message", "-", `{}`, []event.StateKey{power, alice}},
		{"state", "1", "m.room.name", "@bob:b", `{}`, []event.StateKey{createSlot, power, alice}},
		{"join", "11", typeMember, "@alice:a", `{"membership":"join"}`, []event.StateKey{createSlot, power, alice, joinRulesSlot}},
		{"invite", "11", typeMember, "@bob:b", `{"membership":"invite"}`, []event.StateKey{createSlot, power, alice, bob, joinRulesSlot}},
		{"knock", "11", typeMember, "@alice:a", `{"membership":"knock"}`, []event.StateKey{createSlot, power, alice, joinRulesSlot}},
		{"leave", "12", typeMember, "@alice:a", `{"membership":"leave"}`, []event.StateKey{power, alice}},
		{"kick", "11", typeMember, "@bob:b", `{"membership":"leave"}`, []event.StateKey{createSlot, power, alice, bob}},
		{"ban", "11", typeMember, "@bob:b", `{"membership":"ban"}`, []event.StateKey{createSlot, power, alice, bob}},
		{"third-party invite", "11", typeMember, "@bob:b", redeemed, []event.StateKey{createSlot, power, alice, bob, joinRulesSlot, token}},
		{"restricted join", "8", typeMember, "@alice:a", `{"membership":"join","join_authorised_via_users_server":"@bob:b"}`,
			[]event.StateKey{createSlot, power, alice, joinRulesSlot, bob}},
		{"restricted join before version 8", "7", typeMember, "@alice:a", `{"membership":"join","join_authorised_via_users_server":"@bob:b"}`,
			[]event.StateKey{createSlot, power, alice, joinRulesSlot}},
		{"authorised by oneself", "8", typeMember, "@alice:a", `{"membership":"join","join_authorised_via_users_server":"@alice:a"}`,
			[]event.StateKey{createSlot, power, alice, joinRulesSlot}},
		{"G-A14 leave names no token", "11", typeMember, "@bob:b", `{"membership":"leave","third_party_invite":{"signed":{"token":"tok"}}}`,
			[]event.StateKey{createSlot, power, alice, bob}},
		{"G-A14 ban names no authoriser", "11", typeMember, "@bob:b", `{"membership":"ban","join_authorised_via_users_server":"@dave:d"}`,
			[]event.StateKey{createSlot, power, alice, bob}},
		{"G-A14 invite names no authoriser", "11", typeMember, "@bob:b", `{"membership":"invite","join_authorised_via_users_server":"@dave:d"}`,
			[]event.StateKey{createSlot, power, alice, bob, joinRulesSlot}},
		{"no membership", "11", typeMember, "@bob:b", `{"membership":7}`, []event.StateKey{createSlot, power, alice, bob}},
		{"no state key", "11", typeMember, "-", `{"membership":"leave"}`, []event.StateKey{createSlot, power, alice}},
		{"token that is no string", "11", typeMember, "@bob:b", `{"membership":"invite","third_party_invite":{"signed":{"token":1}}}`,
			[]event.StateKey{createSlot, power, alice, bob, joinRulesSlot}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, _ := event.VersionOf(tt.version)
			content, err := canonicaljson.Parse([]byte(tt.content), v.Rules)
			if err != nil {
				t.Fatal(err)
			}
			var key *string
			if tt.key != "-" {
				key = &tt.key
			}
			if diff := cmp.Diff(tt.want, Needed(v, tt.typ, key, "@alice:a", content)); diff != "" {
				t.Errorf("slots (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCheckAuthEvents is rule 2 of versions 1 to 11 and rules 2 and 3 of version 12 (P-41, R-24), with G-A12.
func TestCheckAuthEvents(t *testing.T) {
	names := []string{"create", "power", "alice", "bob", "rules", "name", "message", "power2", "foreign"}
	tests := []struct {
		name     string
		sketch   sketch
		list     []string // in version 12 without "create"
		rejected string
		want     string
	}{
		{"as selected", sketch{Type: "m.room.message"}, []string{"create", "power", "alice"}, "", "allow P-41"},
		{"not all are there", sketch{Type: "m.room.message"}, []string{"create"}, "", "allow P-41"},
		{"in another order", sketch{Type: "m.room.message"}, []string{"alice", "create", "power"}, "", "allow P-41"},
		{"G-A12 the same event twice", sketch{Type: "m.room.message"}, []string{"create", "alice", "alice"}, "", "deny P-41"},
		{"G-A12 two events for one slot", sketch{Type: "m.room.message"}, []string{"create", "power", "power2"}, "", "deny P-41"},
		{"G-A12 another member", sketch{Type: "m.room.message"}, []string{"create", "alice", "bob"}, "", "deny P-41"},
		{"G-A12 join rules of a message", sketch{Type: "m.room.message"}, []string{"create", "alice", "rules"}, "", "deny P-41"},
		{"G-A12 a type that no event needs", sketch{Type: "m.room.message"}, []string{"create", "alice", "name"}, "", "deny P-41"},
		{"G-A12 an event that is not state", sketch{Type: "m.room.message"}, []string{"create", "alice", "message"}, "", "deny P-41"},
		{"G-A12 a rejected event", sketch{Type: "m.room.message"}, []string{"create", "power", "alice"}, "alice", "deny P-41"},
		{"a rejected event that is not listed", sketch{Type: "m.room.message"}, []string{"create", "power"}, "alice", "allow P-41"},
		{"an event of another room", sketch{Type: "m.room.message"}, []string{"create", "alice", "foreign"}, "", "deny P-41"},
		{"join rules of a join", memberSketch("@alice:a", "@alice:a", "join", ""), []string{"create", "power", "alice", "rules"}, "", "allow P-41"},
		{"join rules of a leave", memberSketch("@alice:a", "@alice:a", "leave", ""), []string{"create", "alice", "rules"}, "", "deny P-41"},
		{"target of a kick", memberSketch("@alice:a", "@bob:b", "leave", ""), []string{"create", "alice", "bob"}, "", "allow P-41"},
	}
	for _, version := range event.Versions() {
		for _, tt := range tests {
			t.Run("v"+version+" "+tt.name, func(t *testing.T) {
				r, events := newAuthEventsRoom(t, version)
				var list []*event.Event
				for _, name := range tt.list {
					if !slices.Contains(names, name) {
						t.Fatalf("no event %s", name)
					}
					if name != "create" || !r.version.HashRoomID {
						list = append(list, events[name])
					}
				}
				s := tt.sketch
				s.Sender = "@alice:a"
				if s.Content == nil {
					s.Content = []byte(`{}`)
				}
				e, err := r.tryEvent(s, list)
				if err != nil {
					t.Fatal(err)
				}
				got := CheckAuthEvents(e, list, func(id ident.EventID) bool {
					return tt.rejected != "" && id == events[tt.rejected].ID()
				})
				if answer := verdictOf(got) + " " + got.Rule; answer != tt.want {
					t.Errorf("got %s: %s\nwant %s", answer, got.Detail, tt.want)
				}
			})
		}
	}
}

// TestCheckAuthEventsCreate is about the create event: listed up to version 11, implied by the room id in 12.
func TestCheckAuthEventsCreate(t *testing.T) {
	for _, version := range event.Versions() {
		t.Run("v"+version, func(t *testing.T) {
			r, events := newAuthEventsRoom(t, version)
			judge := func(rejected string, list ...*event.Event) string {
				e, err := r.tryEvent(sketch{Sender: "@alice:a", Type: "m.room.message", Content: []byte(`{}`)}, list)
				if err != nil {
					t.Fatal(err)
				}
				got := CheckAuthEvents(e, list, func(id ident.EventID) bool {
					return rejected != "" && id == events[rejected].ID()
				})
				return verdictOf(got) + " " + got.Rule
			}
			create, alice := events["create"], events["alice"]
			got := []string{judge("", create, alice), judge("", alice), judge("create", create, alice), judge("create", alice)}
			want := []string{"allow P-41", "deny P-41", "deny P-41", "deny P-41"}
			if r.version.HashRoomID {
				want = []string{"deny P-41", "allow P-41", "deny R-24", "deny R-24"}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("listed, not listed, listed and rejected, rejected (-want +got):\n%s", diff)
			}
			if got := CheckAuthEvents(create, nil, nil); !got.OK {
				t.Errorf("create event: %s %s", got.Rule, got.Detail)
			}
		})
	}
}

// TestRoomOfCreate: in version 12 the room id names the create event of the state, and of no other.
func TestRoomOfCreate(t *testing.T) {
	r, events := newAuthEventsRoom(t, "12")
	state := StateOf([]*event.Event{events["create"], events["alice"]})
	s := sketch{Sender: "@alice:a", Type: "m.room.message", Content: []byte(`{}`)}
	if got := Check(r.event(s), state); !got.OK {
		t.Errorf("own room: %s %s", got.Rule, got.Detail)
	}
	for _, room := range []string{"!" + hashID(0), string(r.create.ID()), testRoomID} {
		s.Room = room
		e, err := r.tryEvent(s, nil)
		if err != nil {
			continue // refused when it was parsed, which is earlier still
		}
		if got := Check(e, state); got.OK || got.Rule != "R-24" {
			t.Errorf("room %s: got %v %s %s, want R-24", room, got.OK, got.Rule, got.Detail)
		}
	}
}

func newAuthEventsRoom(t *testing.T, version string) (*testRoom, map[string]*event.Event) {
	t.Helper()
	r := newTestRoom(t, version)
	foreign := stateSketch("@alice:a", typePowerLevels, "", `{}`)
	foreign.Room = "!another:a"
	if r.version.HashRoomID {
		foreign.Room = "!" + hashID(0)
	}
	return r, map[string]*event.Event{
		"create":  r.event(createSketch(r.version, "@alice:a", "")),
		"power":   r.event(stateSketch("@alice:a", typePowerLevels, "", `{}`)),
		"power2":  r.event(stateSketch("@alice:a", typePowerLevels, "", `{"ban":1}`)),
		"alice":   r.event(memberSketch("@alice:a", "@alice:a", "join", "")),
		"bob":     r.event(memberSketch("@bob:b", "@bob:b", "join", "")),
		"rules":   r.event(stateSketch("@alice:a", typeJoinRules, "", `{"join_rule":"public"}`)),
		"name":    r.event(stateSketch("@alice:a", "m.room.name", "", `{}`)),
		"message": r.event(sketch{Sender: "@alice:a", Type: "m.room.message", Content: []byte(`{}`)}),
		"foreign": r.event(foreign),
	}
}
