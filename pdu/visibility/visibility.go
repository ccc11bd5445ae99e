// SPDX-License-Identifier: Apache-2.0

package visibility

import (
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Slot is where the room's setting is.
var Slot = event.StateKey{Type: "m.room.history_visibility"}

// Setting is a value of history_visibility, less restrictive the greater it is.
type Setting int

// The settings that the specification knows.
const (
	Joined Setting = iota
	Invited
	Shared
	WorldReadable
)

var names = [...]string{Joined: "joined", Invited: "invited", Shared: "shared", WorldReadable: "world_readable"}

// String names the setting as events do.
func (s Setting) String() string { return names[s] }

// SettingOf is what an event sets, Shared for none and for what is not understood: "By default if no history_visibility is set, or
// if the value is not understood, the visibility is assumed to be shared."
func SettingOf(x *event.Event) Setting {
	if x == nil {
		return Shared
	}
	text, _ := x.Content().Get("history_visibility").Text()
	for s, name := range names {
		if name == text {
			return Setting(s)
		}
	}
	return Shared
}

// For is the setting that an event is judged by, of that in the state before it: for an event that changes the setting, "the user
// should be allowed to see the event if the history_visibility before or after the event would allow them to see it".
func For(x *event.Event, before Setting) Setting {
	if x.IsState(Slot) {
		return max(before, SettingOf(x))
	}
	return before
}

// NeedsMembers says whether it matters who was in the room at the event, for a server that is in it now.
func (s Setting) NeedsMembers() bool { return s < Shared }

// Standing is how a server stands to a room: the most that any of its users is.
type Standing int

// The standings that matter.
const (
	Outside Standing = iota
	IsInvited
	IsJoined
)

// StandingOf is what a membership event gives its user's server.
func StandingOf(x *event.Event) Standing {
	switch m, _ := x.Membership(); m.Membership {
	case "join":
		return IsJoined
	case "invite":
		return IsInvited
	}
	return Outside
}

// Own is the standing that the event itself gives a server: that of a membership event of one of its users, "if their membership
// before or after the event would allow them to see it".
func Own(x *event.Event, server ident.ServerName) Standing {
	key, isState := x.StateKey()
	if !isState || x.Type() != "m.room.member" || ident.UserID(key).Server() != server {
		return Outside
	}
	return StandingOf(x)
}

// Decision says whether a server may see an event, and why.
type Decision struct {
	Visible bool
	Setting Setting
	Reason  string
}

// Decide applies the rules. at is the greatest standing of the server before the event and by it; now says that it is joined now,
// and so has joined since, or was joined then.
func Decide(s Setting, at Standing, now bool) Decision {
	switch {
	case s == WorldReadable:
		return Decision{true, s, "anyone may read the room"}
	case at == IsJoined:
		return Decision{true, s, "a user of the server was joined"}
	case s == Shared && now:
		return Decision{true, s, "a user of the server is joined now"}
	case s == Invited && at == IsInvited:
		return Decision{true, s, "a user of the server was invited"}
	case s == Shared:
		return Decision{false, s, "no user of the server was joined, or is now"}
	case s == Invited:
		return Decision{false, s, "no user of the server was joined or invited"}
	}
	return Decision{false, s, "no user of the server was joined"}
}
