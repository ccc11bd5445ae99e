// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"crypto/ed25519"
	"fmt"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// What rings and what does not, by the table of alarm.go.
func TestWentBack(t *testing.T) {
	key, err := signing.NewKey("ed25519:1", make([]byte, ed25519.SeedSize))
	if err != nil {
		t.Fatal(err)
	}
	v, _ := event.VersionOf("1")
	build := func(typ, stateKey, content string, sender ident.UserID, depth int64) *event.Event {
		e, err := event.Build(v, event.Proto{
			RoomID: "!r:a.example", Sender: sender, Type: typ, StateKey: &stateKey, Content: []byte(content), Depth: depth,
			PrevEvents: []event.Ref{{ID: "$p:a.example"}},
		}, "a.example", key)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	const admin, user, ours = ident.UserID("@admin:x.example"), ident.UserID("@user:x.example"), ident.UserID("@us:a.example")
	slot := func(typ, stateKey string) event.StateKey { return event.StateKey{Type: typ, Key: stateKey} }
	back := func(typ, stateKey, content string) change {
		return change{
			slot: slot(typ, stateKey), before: build(typ, stateKey, content, user, 9), after: build(typ, stateKey, content, admin, 5),
		}
	}
	lost := func(typ, stateKey, content string) change {
		return change{slot: slot(typ, stateKey), before: build(typ, stateKey, content, user, 9)}
	}
	placed := func(typ, stateKey, content string) change {
		return change{
			slot: slot(typ, stateKey), before: build(typ, stateKey, content, user, 9), after: build(typ, stateKey, content, admin, 3), placed: true,
		}
	}
	const joined, left = `{"membership":"join"}`, `{"membership":"leave"}`
	gone := change{slot: slot(memberType, string(ours)), before: build(memberType, string(ours), joined, ours, 9), after: build(memberType, string(ours), left, ours, 5)}
	var crowd []change
	for i := range alarmSlotsTaken {
		crowd = append(crowd, lost("x.y", fmt.Sprint(i), `{}`))
	}
	ban := change{slot: slot(memberType, string(user)), after: build(memberType, string(user), `{"membership":"ban"}`, admin, 6), placed: true}
	for _, test := range []struct {
		name          string
		changes       []change
		rings, severe bool
	}{
		{"nothing", nil, false, false},
		{"a new event", []change{placed("m.room.power_levels", "", `{}`)}, false, false},
		{"a first event", []change{{slot: slot("m.room.topic", ""), after: build("m.room.topic", "", `{}`, user, 1)}}, false, false},
		{"a deeper one of those that are here", []change{{
			slot: slot("m.room.power_levels", ""), before: build("m.room.power_levels", "", `{}`, user, 5), after: build("m.room.power_levels", "", `{}`, user, 6),
		}}, false, false},
		{"one topic", []change{back("m.room.topic", "", `{}`)}, false, false},
		{"three slots", []change{back("m.room.topic", "", `{}`), lost("m.room.name", "", `{}`), lost("m.room.avatar", "", `{}`)}, true, false},
		{"three slots of one who is banned", []change{back("m.room.topic", "", `{}`), lost("m.room.name", "", `{}`), lost("m.room.avatar", "", `{}`), ban}, false, false},
		{"very many slots of one who is banned", append(crowd, ban), true, false},
		{"power levels", []change{back("m.room.power_levels", "", `{}`)}, true, true},
		{"join rules, by one who is banned", []change{back("m.room.join_rules", "", `{"join_rule":"public"}`), ban}, false, false},
		{"join rules", []change{lost("m.room.join_rules", "", `{"join_rule":"public"}`)}, true, true},
		{"access list", []change{lost("m.room.server_acl", "", `{}`)}, true, true},
		{"encryption, by one who is banned", []change{lost("m.room.encryption", "", `{}`), ban}, true, true},
		{"create", []change{lost("m.room.create", "", `{"creator":"@user:x.example"}`)}, true, true},
		{"a user of ours", []change{gone}, true, true},
		{"a user of ours, by new join rules", []change{gone, placed("m.room.join_rules", "", `{"join_rule":"invite"}`)}, false, false},
		{"somebody else", []change{lost(memberType, string(user), joined)}, false, false},
	} {
		_, rings, severe := wentBack(test.changes, "a.example")
		if rings != test.rings || severe != test.severe {
			t.Errorf("%s: rings %v, severe %v, want %v, %v", test.name, rings, severe, test.rings, test.severe)
		}
	}
}
