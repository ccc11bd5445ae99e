// SPDX-License-Identifier: Apache-2.0

package visibility_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/visibility"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

const self ident.ServerName = "b.example"

// state is a state event of somebody at a.example.
func state(tb testing.TB, typ, key, content string) *event.Event {
	tb.Helper()
	signer, err := signing.NewKey("ed25519:1", bytes.Repeat([]byte{7}, 32))
	if err != nil {
		tb.Fatal(err)
	}
	v, _ := event.VersionOf("10")
	x, err := event.Build(v, event.Proto{
		RoomID: "!r:a.example", Sender: "@alice:a.example", Type: typ, StateKey: &key, Content: []byte(content), Depth: 1,
	}, "a.example", signer)
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// The table is the rules of "Room History Visibility", Server behaviour, read out for each case by hand (M-112).
func TestDecide(t *testing.T) {
	const w, s, i, j = visibility.WorldReadable, visibility.Shared, visibility.Invited, visibility.Joined
	const out, invited, joined = visibility.Outside, visibility.IsInvited, visibility.IsJoined
	for _, tt := range []struct {
		setting visibility.Setting
		at      visibility.Standing
		now     bool
		want    bool
	}{
		{w, out, false, true}, {w, out, true, true}, {w, invited, false, true}, {w, joined, false, true}, // rule 1
		{s, joined, false, true}, {i, joined, false, true}, {j, joined, false, true}, {j, joined, true, true}, // rule 2
		{s, out, true, true}, {s, invited, true, true}, {s, out, false, false}, {s, invited, false, false}, // rule 3
		{i, invited, false, true}, {i, invited, true, true}, {i, out, true, false}, {i, out, false, false}, // rule 4
		{j, invited, true, false}, {j, out, true, false}, {j, out, false, false}, {j, invited, false, false}, // rule 5
	} {
		got := visibility.Decide(tt.setting, tt.at, tt.now)
		if got.Visible != tt.want || got.Reason == "" || got.Setting != tt.setting {
			t.Errorf("%v, standing %d, now %v: %+v, want visible %v", tt.setting, tt.at, tt.now, got, tt.want)
		}
		// A caller that looks at no members where it need not comes to the same for a server that is in the room.
		if tt.now && !tt.setting.NeedsMembers() && visibility.Decide(tt.setting, out, true).Visible != tt.want {
			t.Errorf("%v, standing %d: members matter", tt.setting, tt.at)
		}
	}
}

func TestSettingOf(t *testing.T) {
	for content, want := range map[string]visibility.Setting{
		`{"history_visibility":"world_readable"}`: visibility.WorldReadable, `{"history_visibility":"shared"}`: visibility.Shared,
		`{"history_visibility":"invited"}`: visibility.Invited, `{"history_visibility":"joined"}`: visibility.Joined,
		`{}`: visibility.Shared, `{"history_visibility":"Joined"}`: visibility.Shared, `{"history_visibility":7}`: visibility.Shared,
		`{"history_visibility":null}`: visibility.Shared, `{"history_visibility":["joined"]}`: visibility.Shared,
	} {
		if got := visibility.SettingOf(state(t, "m.room.history_visibility", "", content)); got != want {
			t.Errorf("%s: %v, want %v", content, got, want)
		}
	}
	if got := visibility.SettingOf(nil); got != visibility.Shared {
		t.Errorf("no event: %v, want shared", got)
	}
}

// Of an event that changes the setting the less restrictive side counts, and only of that.
func TestFor(t *testing.T) {
	for before, want := range map[visibility.Setting]visibility.Setting{
		visibility.WorldReadable: visibility.WorldReadable, visibility.Shared: visibility.Shared,
		visibility.Invited: visibility.Invited, visibility.Joined: visibility.Invited,
	} {
		change := state(t, "m.room.history_visibility", "", `{"history_visibility":"invited"}`)
		if got := visibility.For(change, before); got != want {
			t.Errorf("from %v to invited: %v, want %v", before, got, want)
		}
		other := state(t, "m.room.history_visibility", "elsewhere", `{"history_visibility":"world_readable"}`)
		if got := visibility.For(other, before); got != before {
			t.Errorf("another slot: %v, want %v", got, before)
		}
	}
}

func TestOwn(t *testing.T) {
	for _, tt := range []struct {
		typ, key, membership string
		want                 visibility.Standing
	}{
		{"m.room.member", "@bob:b.example", "join", visibility.IsJoined},
		{"m.room.member", "@bob:b.example", "invite", visibility.IsInvited},
		{"m.room.member", "@bob:b.example", "leave", visibility.Outside},
		{"m.room.member", "@bob:b.example", "knock", visibility.Outside},
		{"m.room.member", "@carol:c.example", "join", visibility.Outside},
		{"org.example", "@bob:b.example", "join", visibility.Outside},
	} {
		x := state(t, tt.typ, tt.key, fmt.Sprintf(`{"membership":%q}`, tt.membership))
		if got := visibility.Own(x, self); got != tt.want {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}
