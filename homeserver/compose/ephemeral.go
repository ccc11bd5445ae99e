// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/strata-matrix/strata/homeserver/ephemeral"
	"github.com/strata-matrix/strata/homeserver/push"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// aside is what there is to tell of a room besides its events.
type aside struct {
	changed   bool // there are events, or another state
	ephemeral []json.RawMessage
	counted   bool // what is unread is not what it was
	counts    bool // what is unread is told
	unread    push.Count
	threads   map[string]push.Count
}

// typed is content with its type, as a client gets what is no event of a room.
type typed struct {
	Type    string          `json:"type"`
	Sender  ident.UserID    `json:"sender,omitempty"`
	Content json.RawMessage `json:"content"`
}

func typedEvent(kind string, sender ident.UserID, content any) (json.RawMessage, error) {
	encoded, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	return json.Marshal(typed{kind, sender, encoded})
}

// asides looks at rooms, some in each job.
func (x *composition) asides(list []roomview.Membership) (map[ident.RoomID]*aside, error) {
	counted, err := x.countedRooms()
	if err != nil {
		return nil, err
	}
	list, all := x.untouched(list, counted)
	for part := range slices.Chunk(list, loadAtOnce) {
		err := x.view(func(tx *persistence.Tx) error {
			for _, m := range part {
				a, err := x.aside(tx, m, counted[m.Room])
				if err != nil {
					return err
				}
				all[m.Room] = a
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// untouched takes those rooms out in which linear has met nothing: there is nothing to be looked up.
func (x *composition) untouched(list []roomview.Membership, counted map[ident.RoomID]bool) (rest []roomview.Membership, all map[ident.RoomID]*aside) {
	all = make(map[ident.RoomID]*aside, len(list))
	for _, m := range list {
		if x.scan != nil && x.scan.rooms[m.Room] == nil && !counted[m.Room] && (m.Membership != "join" || x.then[m.Room] == "join") {
			all[m.Room] = &aside{}
		} else {
			rest = append(rest, m)
		}
	}
	return rest, all
}

// countedRooms is the rooms in which what is unread is not what it was.
func (x *composition) countedRooms() (map[ident.RoomID]bool, error) {
	counted := map[ident.RoomID]bool{}
	if !x.scan.may(stream.Counts) {
		return counted, nil
	}
	err := x.view(func(tx *persistence.Tx) error {
		entries, err := stream.Of(tx, x.user, stream.Counts, x.sinceOrStart(), x.now)
		for _, e := range entries {
			counted[e.Room] = true
		}
		return err
	})
	return counted, err
}

// view runs a job that reads.
func (x *composition) view(f func(*persistence.Tx) error) error { return x.c.store.View(x.ctx, f) }

func (x *composition) aside(tx *persistence.Tx, m roomview.Membership, counted bool) (*aside, error) {
	a := &aside{changed: x.initial || x.fullState, counted: counted, counts: counted}
	if !a.changed {
		last, err := roomview.LastChange(tx, m.Room, x.now)
		if err != nil {
			return nil, err
		}
		a.changed = last > x.since
	}
	if m.Membership != "join" {
		return a, nil
	}
	after := x.sinceOrStart()
	if x.then[m.Room] != "join" {
		after = 0
	}
	if err := x.addTyping(tx, a, m.Room, after); err != nil {
		return nil, err
	}
	if err := x.addReceipts(tx, a, m.Room, after); err != nil {
		return nil, err
	}
	if !a.changed && !a.counts {
		return a, nil
	}
	var err error
	a.counts = true // the count for a new event comes with it (S-20)
	a.unread, a.threads, err = push.Unread(tx, x.user, m.Room)
	return a, err
}

// addTyping tells who types, all of them (S-18).
func (x *composition) addTyping(tx *persistence.Tx, a *aside, room ident.RoomID, after persistence.Position) error {
	const kind = "m.typing"
	filter := &x.filter.Room.Ephemeral
	if !filter.WantsType(kind) || !filter.WantsOf(room) {
		return nil
	}
	users, since, err := ephemeral.Typers(tx, room)
	if err != nil || since <= after || after == 0 && len(users) == 0 {
		return err
	}
	e, err := typedEvent(kind, "", map[string][]ident.UserID{"user_ids": users})
	a.ephemeral = append(a.ephemeral, e)
	return err
}

// addReceipts tells how far people have read, one event for each thread (S-18).
func (x *composition) addReceipts(tx *persistence.Tx, a *aside, room ident.RoomID, after persistence.Position) error {
	const kind = "m.receipt"
	filter := &x.filter.Room.Ephemeral
	if !filter.WantsType(kind) || !filter.WantsOf(room) {
		return nil
	}
	receipts, err := ephemeral.Receipts(tx, room, after, x.now)
	if err != nil {
		return err
	}
	var threads []string
	contents := map[string]receiptContent{}
	for _, r := range receipts {
		if r.Type == ephemeral.PrivateReceipt && r.User != x.user || !filter.WantsSender(r.User) {
			continue
		}
		content := contents[r.Thread]
		if content == nil {
			content = receiptContent{}
			contents[r.Thread], threads = content, append(threads, r.Thread)
		}
		content.put(r)
	}
	for _, thread := range threads {
		e, err := typedEvent(kind, "", contents[thread])
		if err != nil {
			return err
		}
		a.ephemeral = append(a.ephemeral, e)
	}
	return nil
}

// receiptContent is the content of m.receipt.
type receiptContent map[ident.EventID]map[string]map[ident.UserID]receiptData

func (c receiptContent) put(r messaging.Receipt) {
	if c[r.Event] == nil {
		c[r.Event] = map[string]map[ident.UserID]receiptData{}
	}
	if c[r.Event][r.Type] == nil {
		c[r.Event][r.Type] = map[ident.UserID]receiptData{}
	}
	c[r.Event][r.Type][r.User] = receiptData{r.TS, r.Thread}
}

type receiptData struct {
	TS     int64  `json:"ts"`
	Thread string `json:"thread_id,omitempty"`
}

// presence tells of those who share a room with the user, and of the user (S-32).
func (x *composition) presence() error {
	const kind = "m.presence"
	filter := &x.filter.Presence
	if !filter.WantsType(kind) || !x.scan.may(stream.Presence) {
		return nil
	}
	var list []ephemeral.Present
	err := x.view(func(tx *persistence.Tx) (err error) {
		list, err = ephemeral.PresenceChanges(tx, x.sinceOrStart(), x.now)
		return err
	})
	if err != nil {
		return err
	}
	var events []json.RawMessage
	for _, p := range list {
		if !filter.WantsSender(p.User) || x.initial && p.Presence == ephemeral.Offline {
			continue
		}
		if known, err := x.meets(p.User); err != nil || !known {
			if err != nil {
				return err
			}
			continue
		}
		e, err := typedEvent(kind, p.User, p.Content(time.UnixMilli(x.clock)))
		if err != nil {
			return err
		}
		events = append(events, e)
	}
	if len(events) > 0 {
		x.out.Presence, x.something = listOf(events), true
	}
	return nil
}

// meets says whether somebody shares a room with the user.
func (x *composition) meets(other ident.UserID) (bool, error) {
	if other == x.user {
		return true, nil
	}
	rooms, err := x.c.view.RoomsWith(x.ctx, other)
	return slices.ContainsFunc(rooms, func(room ident.RoomID) bool { return x.joins[room] }), err
}
