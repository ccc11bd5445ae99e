// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

func TestLevelOrder(t *testing.T) {
	const most = Level(1<<53 - 1)
	if most >= Infinite {
		t.Error("∞ is not above every level that an event can name")
	}
	got := []string{Infinite.String(), most.String(), Level(-1).String()}
	if diff := cmp.Diff([]string{"∞", "9007199254740991", "-1"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestPower is P-54 and R-22 as state resolution asks for them.
func TestPower(t *testing.T) {
	const levels = `{"users":{"@mod:a":50,"@alice:a":70},"users_default":5}`
	tests := []struct {
		name    string
		version string
		create  string // "-" for none
		power   string // "-" for none
		want    map[ident.UserID]Level
	}{
		{"no power levels", "10", `{}`, "-", map[ident.UserID]Level{"@alice:a": 100, "@mod:a": 0, "": 0}},
		{"no power levels, creator of the content", "10", `{"creator":"@mod:a"}`, "-", map[ident.UserID]Level{"@alice:a": 0, "@mod:a": 100}},
		{"no power levels, no creator", "10", `{"creator":null}`, "-", map[ident.UserID]Level{"@alice:a": 0, "": 0}},
		{"no power levels, creator is the sender", "11", `{"creator":"@mod:a"}`, "-", map[ident.UserID]Level{"@alice:a": 100, "@mod:a": 0}},
		{"no power levels, version 12", "12", `{"additional_creators":["@bob:b"]}`, "-", map[ident.UserID]Level{"@alice:a": Infinite, "@bob:b": Infinite, "@mod:a": 0}},
		{"power levels", "11", `{"additional_creators":["@bob:b"]}`, levels, map[ident.UserID]Level{"@alice:a": 70, "@mod:a": 50, "@bob:b": 5}},
		{"power levels, version 12", "12", `{"additional_creators":["@bob:b"]}`, levels, map[ident.UserID]Level{"@alice:a": Infinite, "@mod:a": 50, "@bob:b": Infinite, "@new:c": 5}},
		{"no create event", "12", "-", levels, map[ident.UserID]Level{"@alice:a": 70, "@new:c": 5}},
		{"nothing at all", "11", "-", "-", map[ident.UserID]Level{"@alice:a": 0}},
		{"power levels that are none", "11", `{}`, `{"users":7}`, map[ident.UserID]Level{"@alice:a": 0, "@mod:a": 0}},
		{"power levels that are none, version 12", "12", `{}`, `{"users":7}`, map[ident.UserID]Level{"@alice:a": Infinite, "@mod:a": 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newTestRoom(t, tt.version)
			var create, power *event.Event
			if tt.create != "-" {
				create = r.event(createSketch(r.version, "@alice:a", tt.create))
			}
			if tt.power != "-" {
				power = r.event(stateSketch("@alice:a", typePowerLevels, "", tt.power))
			}
			got := map[ident.UserID]Level{}
			for user := range tt.want {
				got[user] = Power(user, create, power)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("power (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequiredLevels(t *testing.T) {
	r := newTestRoom(t, "11")
	named := r.event(stateSketch("@alice:a", typePowerLevels, "",
		`{"invite":1,"kick":2,"ban":3,"redact":4,"events_default":5,"state_default":6,"events":{"m.room.name":7}}`))
	empty := r.event(stateSketch("@alice:a", typePowerLevels, "", `{}`))
	levels := func(power *event.Event) []Level {
		return []Level{
			InviteLevel(power), KickLevel(power), BanLevel(power), RedactLevel(power), RequiredPower("m.room.message", false, power),
			RequiredPower("m.room.topic", true, power), RequiredPower("m.room.name", true, power),
		}
	}
	if diff := cmp.Diff([]Level{1, 2, 3, 4, 5, 6, 7}, levels(named)); diff != "" {
		t.Errorf("named (-want +got):\n%s", diff)
	}
	for name, power := range map[string]*event.Event{"empty": empty, "absent": nil} {
		if diff := cmp.Diff([]Level{0, 50, 50, 50, 0, 50, 50}, levels(power)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestCanInvite(t *testing.T) {
	r := newTestRoom(t, "11")
	state := StateOf([]*event.Event{
		r.event(createSketch(r.version, "@alice:a", "")),
		r.event(stateSketch("@alice:a", typePowerLevels, "", `{"invite":10,"users":{"@mod:a":10,"@gone:a":10}}`)),
		r.event(memberSketch("@mod:a", "@mod:a", "join", "")),
		r.event(memberSketch("@low:a", "@low:a", "join", "")),
		r.event(memberSketch("@gone:a", "@gone:a", "leave", "")),
	})
	want := map[ident.UserID]bool{"@mod:a": true, "@low:a": false, "@gone:a": false, "@never:a": false}
	got := map[ident.UserID]bool{}
	for user := range want {
		got[user] = CanInvite(user, state)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("may invite (-want +got):\n%s", diff)
	}
}

// TestMayRedact is rooms/v3, "Handling redactions" (P-60, P-61, P-64).
func TestMayRedact(t *testing.T) {
	for _, version := range []string{"3", "10", "11", "12"} {
		r := newTestRoom(t, version)
		state := StateOf([]*event.Event{
			r.event(createSketch(r.version, "@alice:a", "")),
			r.event(stateSketch("@alice:a", typePowerLevels, "", `{"redact":40,"events":{"m.room.redaction":90},"users":{"@mod:a":40}}`)),
		})
		target := r.event(sketch{Sender: "@carol:c", Type: "m.room.message", Content: []byte(`{}`)})
		elsewhere := r.event(sketch{Sender: "@carol:c", Type: "m.room.message", Content: []byte(`{}`), Room: map[bool]string{false: "!other:a", true: "!" + hashID(0)}[r.version.HashRoomID]})
		redaction := func(sender string, target *event.Event) *event.Event {
			s := sketch{Sender: sender, Type: typeRedaction, Content: []byte(`{}`), Redacts: string(target.ID())}
			if r.version.RedactsInContent {
				s.Content, s.Redacts = []byte(`{"redacts":"`+string(target.ID())+`"}`), ""
			}
			return r.event(s)
		}
		tests := []struct {
			name              string
			redaction, target *event.Event
			want              string
		}{
			{"own server", redaction("@dave:c", target), target, "allow P-60"},
			{"redact level, though not that of the type", redaction("@mod:a", target), target, "allow P-61"},
			{"neither", redaction("@bob:b", target), target, "deny P-60"},
			{"another target", redaction("@mod:a", elsewhere), target, "deny P-60"},
			{"another room", redaction("@dave:c", elsewhere), elsewhere, "deny P-64"},
		}
		for _, tt := range tests {
			got := MayRedact(tt.redaction, tt.target, state)
			if answer := verdictOf(got) + " " + got.Rule; answer != tt.want {
				t.Errorf("version %s, %s: got %s: %s, want %s", version, tt.name, answer, got.Detail, tt.want)
			}
		}
	}
}

// TestCheckIssued is P-36: string levels are accepted up to version 9 and issued in none.
func TestCheckIssued(t *testing.T) {
	tests := []struct {
		typ, content string
		want         bool
	}{
		{typePowerLevels, `{}`, true},
		{typePowerLevels, `{"ban":50,"users":{"@a:b":-1},"events":{"x":0},"notifications":{"room":20},"other":"x"}`, true},
		{typePowerLevels, `{"ban":"50"}`, false},
		{typePowerLevels, `{"ban":50.0}`, false},
		{typePowerLevels, `{"ban":9007199254740992}`, false},
		{typePowerLevels, `{"users":{"@a:b":"1"}}`, false},
		{typePowerLevels, `{"events":{"x":"1"}}`, false},
		{typePowerLevels, `{"notifications":{"room":"1"}}`, false},
		{typePowerLevels, `{"notifications":null}`, false},
		{"m.room.name", `{"ban":"50"}`, true},
	}
	for _, tt := range tests {
		content, err := canonicaljson.Parse([]byte(tt.content), canonicaljson.Lenient)
		if err != nil {
			t.Fatal(err)
		}
		if got := CheckIssued(tt.typ, content); got.OK != tt.want || got.Rule != "P-36" {
			t.Errorf("%s %s: got %v %s %s, want %v", tt.typ, tt.content, got.OK, got.Rule, got.Detail, tt.want)
		}
	}
}
