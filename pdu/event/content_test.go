// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

func parsed(t *testing.T, v *event.Version, typ, key, content string) *event.Event {
	t.Helper()
	e, err := event.Parse(v, naive(sample(v, typ, key, content)))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// V-10, V-11, R-19, R-21, P-56, G-J10, G-J11: which values are levels, by room version.
func TestPowerLevelValues(t *testing.T) {
	const none = int64(-1 << 60)
	tests := []struct {
		value      string
		want       int64  // none: refused
		firstWrong string // the first room version that refuses it; "9 users": up to 9 only in users (rooms/v8 rules 9.1, 9.2)
	}{
		{"100", 100, ""}, {"-100", -100, ""}, {"0", 0, ""},
		{"9007199254740991", 9007199254740991, ""}, {"-9007199254740991", -9007199254740991, ""},
		// V-10.
		{`"100"`, 100, "10"}, {`"000100"`, 100, "10"}, {`"+100"`, 100, "10"}, {`"-100"`, -100, "10"},
		{`" 100 "`, 100, "10"}, {`" 00100 "`, 100, "10"}, {`" +100 "`, 100, "10"}, {`" -100 "`, -100, "10"},
		{`"9007199254740992"`, none, "1"}, {`"99999999999999999999"`, none, "1"},
		{`""`, none, "9 users"}, {`" "`, none, "9 users"}, {`"1.0"`, none, "9 users"}, {`"1e2"`, none, "9 users"}, {`"--1"`, none, "9 users"},
		{`"1 0"`, none, "9 users"}, {`"1_000"`, none, "9 users"}, {`"0x10"`, none, "9 users"}, {`"abc"`, none, "9 users"},
		// V-11: floats are truncated towards zero. From version 6 on the event is none.
		{"5.114698E4", 51146, "6"}, {"50.57", 50, "6"}, {"-50.57", -50, "6"}, {"1e2", 100, "6"}, {"1e-9", 0, "6"},
		{"0.99999999999999999999", 1, "6"}, // as binary64 has it
		{"9007199254740991.5", none, "1"},  // binary64 rounds it to 2^53
		{"1e309", none, "1"}, {"1e400", none, "1"}, {"1e30", none, "1"},
		{"9007199254740992", none, "1"}, {"99999999999999999999", none, "1"}, {"-99999999999999999999", none, "1"},
		// G-J10.
		{"null", none, "9 users"}, {"true", none, "9 users"}, {"[]", none, "9 users"}, {"{}", none, "9 users"},
	}
	for _, tt := range tests {
		want := tt.want
		for _, id := range allVersions {
			if id == tt.firstWrong {
				want = none
			}
			v := version(t, id)
			tolerant := tt.firstWrong == "9 users" && !v.IntegerPowerLevels
			for _, place := range []string{`{"ban":?}`, `{"users":{"@a:b.c":?}}`, `{"events":{"x":?}}`, `{"users_default":?}`} {
				e, err := event.Parse(v, naive(sample(v, "m.room.power_levels", "", strings.Replace(place, "?", tt.value, 1))))
				var levels *event.PowerLevels
				if err == nil {
					levels, err = e.PowerLevels()
				}
				want := want
				if tolerant && !strings.Contains(place, `"users"`) {
					want = event.Unreadable
				}
				if (err != nil) != (want == none) {
					t.Errorf("version %s: %s with %s: %v, want refused %t", id, place, tt.value, err, want == none)
				}
				if err == nil && levelIn(levels) != want {
					t.Errorf("version %s: %s with %s = %d, want %d", id, place, tt.value, levelIn(levels), want)
				}
			}
		}
	}
}

// levelIn is the one level in the content.
func levelIn(p *event.PowerLevels) int64 {
	for _, level := range p.Users {
		return level
	}
	for _, level := range p.Events {
		return level
	}
	if p.Ban != nil {
		return *p.Ban
	}
	return *p.UsersDefault
}

// V-10: the full event of the specification is about a version before 10; here is what it decodes to.
func TestPowerLevels(t *testing.T) {
	content := `{"ban":"50","events":{"m.room.name":" 100 "},"events_default":0,"kick":50,"BAN":0,"users":{"@a:b":"+100","@c:d":1},
		"notifications":{"room":"20"},"state_default":50,"unknown":null}`
	number := func(n int64) *int64 { return &n }
	want := &event.PowerLevels{
		Ban: number(50), EventsDefault: number(0), Kick: number(50), StateDefault: number(50),
		Events: map[string]int64{"m.room.name": 100},
		Users:  map[ident.UserID]int64{"@a:b": 100, "@c:d": 1},
	}
	got, err := parsed(t, version(t, "5"), "m.room.power_levels", "", content).PowerLevels()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("version 5: %v (-want +got):\n%s", err, diff)
	}
	want.Notifications = map[string]int64{"room": 20}
	got, err = parsed(t, version(t, "9"), "m.room.power_levels", "", content).PowerLevels()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("version 9: %v (-want +got):\n%s", err, diff)
	}
	// G-J8: BAN is a key of no meaning, and a missing users is empty.
	got, err = parsed(t, version(t, "10"), "m.room.power_levels", "", `{"BAN":0}`).PowerLevels()
	if diff := cmp.Diff(&event.PowerLevels{}, got); err != nil || diff != "" {
		t.Errorf("BAN: %v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{
		`{"users":null}`, `{"users":[]}`, `{"users":{"a:b":1}}`, `{"users":{"@a":1}}`, `{"events":null}`, `{"events":[]}`,
		`{"notifications":null}`, `{"notifications":{"room":null}}`,
	} {
		for _, id := range []string{"6", "10", "12"} {
			if id == "6" && !strings.HasPrefix(bad, `{"users"`) {
				continue // not refused: see below
			}
			if p, err := parsed(t, version(t, id), "m.room.power_levels", "", bad).PowerLevels(); err == nil {
				t.Errorf("version %s: %s = %+v", id, bad, p)
			}
		}
	}
}

// Up to room version 9 what is no table outside of users is kept as such (rooms/v8 rules 9.1, 9.2).
func TestPowerLevelsWithoutTables(t *testing.T) {
	content := `{"events":[],"notifications":null,"users":{}}`
	want := &event.PowerLevels{NoEvents: true, NoNotifications: true, Users: map[ident.UserID]int64{}}
	got, err := parsed(t, version(t, "9"), "m.room.power_levels", "", content).PowerLevels()
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestMembership(t *testing.T) {
	v := version(t, "10")
	content := `{"membership":"join","join_authorised_via_users_server":"@a:b","third_party_invite":null}`
	got, ok := parsed(t, v, "m.room.member", "@u:domain", content).Membership()
	if want := (event.Member{Membership: "join", AuthorisedVia: "@a:b", ThirdParty: true}); !ok || got != want {
		t.Errorf("%+v, %t, want %+v", got, ok, want)
	}
	for _, bad := range []string{`{}`, `{"membership":1}`, `{"membership":null}`} {
		if got, ok := parsed(t, v, "m.room.member", "@u:domain", bad).Membership(); ok {
			t.Errorf("%s: %+v", bad, got)
		}
	}
	if _, ok := parsed(t, v, "m.room.topic", "", `{"membership":"join"}`).Membership(); ok {
		t.Error("a topic is a member")
	}
}

func TestCreate(t *testing.T) {
	tests := []struct {
		version, content string
		want             *event.Create // nil: an error
	}{
		{"1", `{"creator":"@c:d"}`, &event.Create{RoomVersion: "1", Creator: "@c:d", Federate: true}},
		{"10", `{"creator":"@c:d","room_version":"10","m.federate":false,"additional_creators":5}`,
			&event.Create{RoomVersion: "10", Creator: "@c:d"}},
		{"10", `{}`, nil},
		{"11", `{"creator":"@c:d","room_version":"11"}`, &event.Create{RoomVersion: "11", Creator: "@u:domain", Federate: true}},
		{"11", `{"room_version":11}`, nil},
		{"12", `{"room_version":"12","additional_creators":["@a:b"]}`,
			&event.Create{RoomVersion: "12", Creator: "@u:domain", AdditionalCreators: []ident.UserID{"@a:b"}, Federate: true}},
		{"12", `{"additional_creators":"@a:b"}`, nil},
		{"12", `{"additional_creators":null}`, nil},
		{"12", `{"additional_creators":["a"]}`, nil},
		{"12", `{"additional_creators":[1]}`, nil},
	}
	for _, tt := range tests {
		got, err := parsed(t, version(t, tt.version), "m.room.create", "", tt.content).Create()
		if diff := cmp.Diff(tt.want, got); diff != "" || (err == nil) != (tt.want != nil) {
			t.Errorf("version %s: %s: %v (-want +got):\n%s", tt.version, tt.content, err, diff)
		}
	}
}

func TestJoinRulesAndOtherTypes(t *testing.T) {
	v := version(t, "10")
	rules, err := parsed(t, v, "m.room.join_rules", "", `{"join_rule":"restricted","allow":[1]}`).JoinRules()
	if err != nil || rules.JoinRule != "restricted" || rules.Allow.Len() != 1 {
		t.Errorf("%+v, %v", rules, err)
	}
	if rules, err := parsed(t, v, "m.room.join_rules", "", `{}`).JoinRules(); err == nil {
		t.Errorf("no join_rule: %+v", rules)
	}
	topic := parsed(t, v, "m.room.topic", "", `{}`)
	if _, err := topic.PowerLevels(); !errors.Is(err, event.ErrOtherType) {
		t.Errorf("power levels of a topic: %v", err)
	}
	if _, err := topic.Create(); !errors.Is(err, event.ErrOtherType) {
		t.Errorf("create of a topic: %v", err)
	}
}

func TestRedacts(t *testing.T) {
	const target = "$Rqnc-F-dvnEYJTyHq_iKxU2bZ1CI92-kuZq3a5lr5Zg"
	for _, id := range allVersions {
		v := version(t, id)
		inField := with(sample(v, "m.room.redaction", nil, `{}`), object{"redacts": target})
		inContent := sample(v, "m.room.redaction", nil, `{"redacts":"`+target+`"}`)
		for _, wire := range []object{inField, inContent} {
			e, err := event.Parse(v, naive(wire))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := e.Redacts()
			if want := (wire["redacts"] == nil) == v.RedactsInContent; ok != want || ok && got != target {
				t.Errorf("version %s: %s redacts %s, %t", id, e.JSON(), got, ok)
			}
		}
		other, err := event.Parse(v, naive(with(sample(v, "m.x", nil, `{"redacts":"`+target+`"}`), object{"redacts": target})))
		if got, ok := other.Redacts(); err != nil || ok {
			t.Errorf("version %s: a message redacts %s", id, got)
		}
	}
}
