// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Filter says what a client wants to be told (CS "Filtering", S-28). The zero value is everything.
type Filter struct {
	EventFields []string    `json:"event_fields"`
	EventFormat string      `json:"event_format"` // "client", "federation" or ""
	Presence    EventFilter `json:"presence"`
	AccountData EventFilter `json:"account_data"`
	Room        RoomFilter  `json:"room"`
}

// RoomFilter says what a client wants of rooms.
type RoomFilter struct {
	Rooms        *[]ident.RoomID `json:"rooms"`
	NotRooms     []ident.RoomID  `json:"not_rooms"`
	IncludeLeave bool            `json:"include_leave"`
	Ephemeral    EventFilter     `json:"ephemeral"`
	State        EventFilter     `json:"state"`
	Timeline     EventFilter     `json:"timeline"`
	AccountData  EventFilter     `json:"account_data"`
}

// EventFilter chooses events. A list that is nil chooses all, one that is empty none.
type EventFilter struct {
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

// ParseFilter reads a filter.
func ParseFilter(text json.RawMessage) (*Filter, error) {
	f := &Filter{}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	if f.EventFormat != "" && f.EventFormat != "client" && f.EventFormat != "federation" {
		return nil, fmt.Errorf("filter: event_format %.40q is neither client nor federation", f.EventFormat)
	}
	if n := f.size(); n > maxFilterTerms {
		return nil, fmt.Errorf("filter: %d terms, at most %d are taken", n, maxFilterTerms)
	}
	for _, e := range f.parts() {
		if e.Limit != nil && *e.Limit < 0 {
			return nil, fmt.Errorf("filter: limit %d is less than 0", *e.Limit)
		}
	}
	return f, nil
}

// CheckFilter refuses what is no filter: for those that are uploaded.
func CheckFilter(text json.RawMessage) error {
	_, err := ParseFilter(text)
	return err
}

func (f *Filter) parts() []*EventFilter {
	return []*EventFilter{&f.Presence, &f.AccountData, &f.Room.Ephemeral, &f.Room.State, &f.Room.Timeline, &f.Room.AccountData}
}

// size is how many terms a filter has: each is compared with each event.
func (f *Filter) size() int {
	n := len(f.EventFields) + given(f.Room.Rooms) + len(f.Room.NotRooms)
	for _, e := range f.parts() {
		n += given(e.Types) + len(e.NotTypes) + given(e.Senders) + len(e.NotSenders) + given(e.Rooms) + len(e.NotRooms)
	}
	return n
}

func given[T any](list *[]T) int {
	if list == nil {
		return 0
	}
	return len(*list)
}

// timelineLimit is how many events a timeline may have.
func (f *Filter) timelineLimit() int {
	if f.Room.Timeline.Limit == nil {
		return defaultTimeline
	}
	return min(*f.Room.Timeline.Limit, maxTimeline)
}

// wants says whether a client wants to be told of a room at all.
func (f *RoomFilter) wants(room ident.RoomID) bool { return chosen(room, f.Rooms, f.NotRooms) }

// wantsOf says whether events of a room are wanted.
func (f *EventFilter) wantsOf(room ident.RoomID) bool { return chosen(room, f.Rooms, f.NotRooms) }

// wantsType says whether events of a type are wanted.
func (f *EventFilter) wantsType(typ string) bool {
	matches := func(pattern string) bool { return matchType(pattern, typ) }
	return (f.Types == nil || slices.ContainsFunc(*f.Types, matches)) && !slices.ContainsFunc(f.NotTypes, matches)
}

// wantsEvent says whether an event is wanted.
func (f *EventFilter) wantsEvent(e *event.Event) bool {
	return f.wantsOf(e.RoomID()) && f.wantsType(e.Type()) && chosen(e.Sender(), f.Senders, f.NotSenders) &&
		(f.ContainsURL == nil || *f.ContainsURL == hasURL(e))
}

// hasURL says whether an event's content has a url that is a string.
func hasURL(e *event.Event) bool {
	_, ok := e.Content().Get("url").Text()
	return ok
}

// chosen says whether one is among the wanted, and not among the unwanted, who win.
func chosen[T comparable](one T, wanted *[]T, unwanted []T) bool {
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
