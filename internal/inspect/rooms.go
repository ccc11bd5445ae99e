// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Room is the head of a room.
type Room struct {
	ID          string          `json:"room_id"`
	Name        string          `json:"name,omitempty"`
	Version     string          `json:"room_version"`
	Membership  string          `json:"membership"` // of this server: joining, joined or left
	Partial     bool            `json:"partial"`    // joined with members left out; the whole state is being fetched
	Members     int             `json:"members"`    // joined, of all servers
	Servers     int             `json:"servers"`    // with joined members, this one included
	Extremities []ident.EventID `json:"extremities"`
	Depth       int64           `json:"depth"` // the greatest among the extremities
}

// RoomDetail is a room with its servers and, when asked for, its current state.
type RoomDetail struct {
	Room
	ServerList []RoomServer    `json:"server_list"`
	Missing    []ident.EventID `json:"missing"` // events that the graph references and that are not here
	// Completion is how the search for the whole state of a partial room stands.
	Completion *Completion `json:"completion,omitempty"`
	// State is the current state by type and state key, without PDUs; nil when it was not asked for.
	State []Event `json:"state,omitempty"`
}

// Completion is how far the whole state of a partial room has been sought.
type Completion struct {
	Join     ident.EventID `json:"event_id"` // our join: the state before it is what is missing
	Attempts int           `json:"attempts"`
	NextTry  int64         `json:"next_try_ts,omitempty"`
	Note     string        `json:"note,omitempty"` // how the last attempt ended
}

// RoomServer is a server with joined members.
type RoomServer struct {
	Name    string `json:"server"`
	Members int    `json:"members"`
}

// Rooms lists the rooms by id.
func (i *Inspector) Rooms(ctx context.Context) ([]Room, error) {
	var rows []persistence.Room
	err := i.view(ctx, func(tx *persistence.Tx) (err error) {
		rows, err = tx.Rooms()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list rooms: %w", err)
	}
	list := make([]Room, 0, len(rows))
	for _, row := range rows {
		detail, err := i.head(ctx, row)
		if err != nil {
			return nil, fmt.Errorf("room %s: %w", row.ID, err)
		}
		list = append(list, detail.Room)
	}
	return list, nil
}

// Room gives one room; withState adds its current state, at the cost of reading all of it.
func (i *Inspector) Room(ctx context.Context, id string, withState bool) (RoomDetail, error) {
	row, err := i.room(ctx, id)
	if err != nil {
		return RoomDetail{}, err
	}
	detail, err := i.head(ctx, row)
	if err == nil && withState {
		detail.State, err = i.stateOf(ctx, rootOf(row.State), nil)
	}
	if err != nil {
		return RoomDetail{}, fmt.Errorf("room %s: %w", id, err)
	}
	return detail, nil
}

// room reads a room's row.
func (i *Inspector) room(ctx context.Context, id string) (row persistence.Room, err error) {
	if _, err := ident.ParseRoomID(id); err != nil {
		return row, badQuery{err}
	}
	err = i.view(ctx, func(tx *persistence.Tx) error {
		var found bool
		if row, found, err = tx.Room(ident.RoomID(id)); err == nil && !found {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return row, fmt.Errorf("room %s: %w", id, err)
	}
	return row, nil
}

// head reads what a room's row leads to.
func (i *Inspector) head(ctx context.Context, row persistence.Room) (RoomDetail, error) {
	d := RoomDetail{
		Room: Room{
			ID: string(row.ID), Version: row.Version, Membership: pdu.Membership(row.Membership).String(),
			Extremities: []ident.EventID{},
		},
		ServerList: []RoomServer{}, Missing: []ident.EventID{},
	}
	err := i.view(ctx, func(tx *persistence.Tx) error {
		servers, err := tx.RoomServers(row.NID)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(servers)) {
			d.ServerList = append(d.ServerList, RoomServer{string(name), servers[name]})
			d.Members += servers[name]
		}
		d.Servers = len(servers)
		missing, err := tx.Gaps(row.NID, maxGaps)
		if err != nil {
			return err
		}
		for _, gap := range missing {
			d.Missing = append(d.Missing, gap.Event)
		}
		slices.Sort(d.Missing)
		partial, found, err := tx.Partial(row.NID)
		if err != nil {
			return err
		}
		if found {
			d.Partial = true
			d.Completion = &Completion{partial.Join, partial.Attempts, partial.RetryAt, partial.Note}
		}
		return d.addExtremities(tx, row.Extremities)
	})
	if err != nil {
		return d, err
	}
	d.Name, err = i.name(ctx, row)
	return d, err
}

func (d *RoomDetail) addExtremities(tx *persistence.Tx, nids []int64) error {
	for _, nid := range nids {
		stored, found, err := tx.EventByNID(nid)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("%w: extremity %d is not stored", persistence.ErrCorrupt, nid)
		}
		parsed, err := parse(stored)
		if err != nil {
			return err
		}
		d.Extremities = append(d.Extremities, stored.ID)
		d.Depth = max(d.Depth, parsed.Depth())
	}
	return nil
}

// name is the room's name, "" for none.
func (i *Inspector) name(ctx context.Context, row persistence.Room) (string, error) {
	id, found, err := state.Get(nodes{ctx, i}, rootOf(row.State), event.StateKey{Type: "m.room.name"})
	if err != nil || !found {
		return "", err
	}
	stored, found, err := i.event(ctx, id)
	if err != nil || !found {
		return "", err
	}
	parsed, err := parse(stored)
	if err != nil {
		return "", err
	}
	name, _ := parsed.Content().Get("name").Text()
	return name, nil
}
