// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"encoding/json"
	"fmt"

	"github.com/strata-matrix/strata/homeserver/eventfilter"
	"github.com/strata-matrix/strata/transport/ident"
)

// Filter says what a client wants to be told (CS "Filtering", S-28). The zero value is everything.
type Filter struct {
	EventFields []string           `json:"event_fields"`
	EventFormat string             `json:"event_format"` // "client", "federation" or ""
	Presence    eventfilter.Filter `json:"presence"`
	AccountData eventfilter.Filter `json:"account_data"`
	Room        RoomFilter         `json:"room"`
}

// RoomFilter says what a client wants of rooms.
type RoomFilter struct {
	Rooms        *[]ident.RoomID    `json:"rooms"`
	NotRooms     []ident.RoomID     `json:"not_rooms"`
	IncludeLeave bool               `json:"include_leave"`
	Ephemeral    eventfilter.Filter `json:"ephemeral"`
	State        eventfilter.Filter `json:"state"`
	Timeline     eventfilter.Filter `json:"timeline"`
	AccountData  eventfilter.Filter `json:"account_data"`
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

func (f *Filter) parts() []*eventfilter.Filter {
	return []*eventfilter.Filter{&f.Presence, &f.AccountData, &f.Room.Ephemeral, &f.Room.State, &f.Room.Timeline, &f.Room.AccountData}
}

// size is how many terms a filter has: each is compared with each event.
func (f *Filter) size() int {
	n := len(f.EventFields) + len(f.Room.NotRooms)
	if f.Room.Rooms != nil {
		n += len(*f.Room.Rooms)
	}
	for _, e := range f.parts() {
		n += e.Terms()
	}
	return n
}

// timelineLimit is how many events a timeline may have.
func (f *Filter) timelineLimit() int {
	if f.Room.Timeline.Limit == nil {
		return defaultTimeline
	}
	return min(*f.Room.Timeline.Limit, maxTimeline)
}

// wants says whether a client wants to be told of a room at all.
func (f *RoomFilter) wants(room ident.RoomID) bool {
	return eventfilter.Chosen(room, f.Rooms, f.NotRooms)
}
