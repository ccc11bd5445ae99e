// SPDX-License-Identifier: Apache-2.0

package eventfilter

import (
	"slices"
	"strings"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Filter chooses events. A list that is nil chooses all, one that is empty none.
type Filter struct {
	Limit       *int            `json:"limit"`
	Types       *[]string       `json:"types"`
	NotTypes    []string        `json:"not_types"`
	Senders     *[]ident.UserID `json:"senders"`
	NotSenders  []ident.UserID  `json:"not_senders"`
	Rooms       *[]ident.RoomID `json:"rooms"`
	NotRooms    []ident.RoomID  `json:"not_rooms"`
	ContainsURL *bool           `json:"contains_url"`

	LazyLoadMembers           bool `json:"lazy_load_members"`
	IncludeRedundantMembers   bool `json:"include_redundant_members"`
	UnreadThreadNotifications bool `json:"unread_thread_notifications"`
}

// Terms is how many terms the filter has: each may be compared with each event.
func (f *Filter) Terms() int {
	return given(f.Types) + len(f.NotTypes) + given(f.Senders) + len(f.NotSenders) + given(f.Rooms) + len(f.NotRooms)
}

func given[T any](list *[]T) int {
	if list == nil {
		return 0
	}
	return len(*list)
}

// WantsOf says whether events of a room are wanted.
func (f *Filter) WantsOf(room ident.RoomID) bool { return Chosen(room, f.Rooms, f.NotRooms) }

// WantsSender says whether events of a user are wanted.
func (f *Filter) WantsSender(user ident.UserID) bool { return Chosen(user, f.Senders, f.NotSenders) }

// WantsType says whether events of a type are wanted.
func (f *Filter) WantsType(typ string) bool {
	matches := func(pattern string) bool { return matchType(pattern, typ) }
	return (f.Types == nil || slices.ContainsFunc(*f.Types, matches)) && !slices.ContainsFunc(f.NotTypes, matches)
}

// Wants says whether an event is wanted.
func (f *Filter) Wants(e *event.Event) bool {
	return f.WantsOf(e.RoomID()) && f.WantsType(e.Type()) && f.WantsSender(e.Sender()) &&
		(f.ContainsURL == nil || *f.ContainsURL == hasURL(e))
}

// hasURL says whether an event's content has a url that is a string.
func hasURL(e *event.Event) bool {
	_, ok := e.Content().Get("url").Text()
	return ok
}

// Chosen says whether one is among the wanted, and not among the unwanted, who win.
func Chosen[T comparable](one T, wanted *[]T, unwanted []T) bool {
	return (wanted == nil || slices.Contains(*wanted, one)) && !slices.Contains(unwanted, one)
}

// matchType matches a pattern in which "*" stands for any text. Its cost is the product of the lengths at most.
func matchType(pattern, typ string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == typ
	}
	typ, ok := strings.CutPrefix(typ, first)
	if !ok {
		return false
	}
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(typ, part)
		}
		_, left, found := strings.Cut(typ, part)
		if !found {
			return false
		}
		typ, rest = left, after
	}
}
