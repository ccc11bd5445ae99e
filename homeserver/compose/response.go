// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"encoding/json"

	"github.com/strata-matrix/strata/homeserver/push"
	"github.com/strata-matrix/strata/transport/ident"
)

// response is the answer to a sync (S-01, S-13).
type response struct {
	NextBatch   string     `json:"next_batch"`
	AccountData *list      `json:"account_data,omitempty"`
	Presence    *list      `json:"presence,omitempty"`
	ToDevice    *list      `json:"to_device,omitempty"`
	Rooms       *roomLists `json:"rooms,omitempty"`

	DeviceLists   *deviceLists   `json:"device_lists,omitempty"`
	KeyCounts     map[string]int `json:"device_one_time_keys_count"`
	FallbackTypes []string       `json:"device_unused_fallback_key_types"`
}

// list is events.
type list struct {
	Events []json.RawMessage `json:"events"`
}

func listOf(events []json.RawMessage) *list {
	if events == nil {
		events = []json.RawMessage{}
	}
	return &list{events}
}

// some is a list of some events, nil of none.
func some(events []json.RawMessage) *list {
	if len(events) == 0 {
		return nil
	}
	return &list{events}
}

type roomLists struct {
	Join   map[ident.RoomID]*joinedRoom  `json:"join,omitempty"`
	Invite map[ident.RoomID]*invitedRoom `json:"invite,omitempty"`
	Knock  map[ident.RoomID]*knockedRoom `json:"knock,omitempty"`
	Leave  map[ident.RoomID]*leftRoom    `json:"leave,omitempty"`
}

// states is the state of a room as the client has asked for it: exactly one is not nil (S-07).
type states struct {
	State      *list `json:"state,omitempty"`
	StateAfter *list `json:"state_after,omitempty"`
	// Unstable is state_after by the name that matrix-js-sdk asks for.
	Unstable *list `json:"org.matrix.msc4222.state_after,omitempty"`
}

type timeline struct {
	Events    []json.RawMessage `json:"events"`
	Limited   bool              `json:"limited"`
	PrevBatch string            `json:"prev_batch,omitempty"`
}

type joinedRoom struct {
	Summary *summary `json:"summary,omitempty"`
	states
	Timeline    *timeline `json:"timeline,omitempty"`
	Ephemeral   *list     `json:"ephemeral,omitempty"`
	AccountData *list     `json:"account_data,omitempty"`

	Unread  *push.Count           `json:"unread_notifications,omitempty"`
	Threads map[string]push.Count `json:"unread_thread_notifications,omitempty"`
}

type leftRoom struct {
	states
	Timeline    *timeline `json:"timeline,omitempty"`
	AccountData *list     `json:"account_data,omitempty"`
}

type invitedRoom struct {
	InviteState list `json:"invite_state"`
}

type knockedRoom struct {
	KnockState list `json:"knock_state"`
}

// summary is what a room without a name is called by, and how many are in it (S-14).
type summary struct {
	Heroes  []ident.UserID `json:"m.heroes,omitempty"`
	Joined  int            `json:"m.joined_member_count"`
	Invited int            `json:"m.invited_member_count"`
}
