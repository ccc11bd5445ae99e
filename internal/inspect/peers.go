// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// The states of a peer.
const (
	PeerOK    = "ok"    // the last attempt was answered
	PeerRetry = "retry" // the last attempt failed
	PeerHeld  = "held"  // a rule keeps us from sending
	PeerNew   = "new"   // nothing was ever sent to it
)

var peerStates = []string{PeerOK, PeerRetry, PeerHeld, PeerNew}

// Peer is how we and another server stand.
type Peer struct {
	Server      string `json:"server"`
	State       string `json:"state"`
	Failures    int    `json:"failures"` // in a row
	NextTry     int64  `json:"next_try_ts,omitempty"`
	LastSuccess int64  `json:"last_success_ts,omitempty"`
	LastFailure int64  `json:"last_failure_ts,omitempty"`
	Class       string `json:"class,omitempty"` // of the last failure, however long ago
	LastInbound int64  `json:"last_inbound_ts,omitempty"`
	Items       int    `json:"items"` // that wait for it
	Parked      int    `json:"parked"`
	Oldest      int64  `json:"oldest_ts,omitempty"` // of what waits
	Rooms       int    `json:"rooms"`               // that we share
}

// Peers lists the servers that something was sent to, that sent us something or that share a room with us, by name. The time of a
// filter is that of the last contact in either direction, its room one that they are in.
func (i *Inspector) Peers(ctx context.Context, f Filter) ([]Peer, error) {
	pattern, err := f.check(peerStates)
	if err != nil {
		return nil, err
	}
	names, err := i.peerNames(ctx, pattern, ident.RoomID(f.RoomID))
	if err != nil {
		return nil, fmt.Errorf("list peers: %w", err)
	}
	b, err := i.backlog(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("list peers: %w", err)
	}
	known := map[ident.ServerName]persistence.NumberedDestination{}
	for _, d := range b.destinations {
		known[d.Server] = d
	}
	list := []Peer{}
	for _, name := range slices.Sorted(keysOf(names)) {
		if len(list) == clampLimit(f.Limit) {
			break
		}
		d, sentTo := known[name]
		p := b.peer(name, d, sentTo)
		if f.State != "" && p.State != f.State || f.Class != "" && (p.Class != f.Class || p.Failures == 0) {
			continue
		}
		if err := i.view(ctx, func(tx *persistence.Tx) error { return p.addContact(tx, name) }); err != nil {
			return nil, fmt.Errorf("list peers: %w", err)
		}
		if f.within(max(p.LastSuccess, p.LastFailure, p.LastInbound)) {
			list = append(list, p)
		}
	}
	return list, nil
}

func keysOf(names transaction.Names) func(func(ident.ServerName) bool) {
	return func(yield func(ident.ServerName) bool) {
		for name := range names {
			if !yield(name) {
				return
			}
		}
	}
}

// peerNames are the servers that match, of one room if that is given.
func (i *Inspector) peerNames(ctx context.Context, pattern transaction.Pattern, room ident.RoomID) (transaction.Names, error) {
	names := transaction.Names{}
	add := func(list []ident.ServerName) {
		for _, name := range list {
			if pattern.Matches(name) && string(name) != i.ServerName() {
				names[name] = true
			}
		}
	}
	if room != "" {
		err := i.view(ctx, func(tx *persistence.Tx) error {
			head, found, err := tx.Room(room)
			if err == nil && !found {
				err = fmt.Errorf("room %s: %w", room, ErrNotFound)
			}
			if err != nil {
				return err
			}
			servers, err := tx.RoomServers(head.NID)
			for name := range servers {
				add([]ident.ServerName{name})
			}
			return err
		})
		return names, err
	}
	err := i.view(ctx, func(tx *persistence.Tx) error {
		inRooms, err := tx.RoomServerNames()
		if err != nil {
			return err
		}
		senders, err := tx.SenderNames()
		add(inRooms)
		add(senders)
		return err
	})
	if err != nil {
		return nil, err
	}
	b := &backlog{}
	err = b.readDestinations(ctx, i, pattern)
	for _, d := range b.destinations {
		add([]ident.ServerName{d.Server})
	}
	return names, err
}

// peer puts together what the ledger of deliveries knows.
func (b *backlog) peer(name ident.ServerName, d persistence.NumberedDestination, sentTo bool) Peer {
	p := Peer{Server: string(name), State: PeerNew}
	if sentTo {
		q := b.queue(d, Filter{})
		p.Failures, p.LastSuccess, p.LastFailure, p.Class = d.Failures, d.LastSuccess, d.LastFailure, d.LastClass
		p.Items, p.Parked, p.Oldest, p.NextTry = q.Items, q.Parked, q.Oldest, q.NextTry
		switch {
		case d.LastFailure > d.LastSuccess: // also where a reset has forgotten the streak
			p.State = PeerRetry
		case d.LastSuccess != 0:
			p.State = PeerOK
		}
	}
	if b.hold(name) != nil {
		p.State = PeerHeld
	}
	return p
}

// addContact adds what has to be looked up for each peer.
func (p *Peer) addContact(tx *persistence.Tx, name ident.ServerName) error {
	latest, err := tx.ReceivedTransactions(name, 0, 1)
	if len(latest) > 0 {
		p.LastInbound = latest[0].ReceivedAt
	}
	if err != nil {
		return err
	}
	rooms, err := tx.SharedRooms(name)
	for _, room := range rooms {
		if room.Membership == persistence.RoomJoined {
			p.Rooms++
		}
	}
	return err
}

// PeerRoom is a room that a peer is in.
type PeerRoom struct {
	RoomID     string `json:"room_id"`
	Version    string `json:"room_version"`
	Membership string `json:"membership"` // our own
	Members    int    `json:"members"`    // the peer's that are joined
	Queued     int    `json:"queued"`     // items of it that wait for the peer
	Parked     int    `json:"parked"`
	// Refused is how many events of the room that the peer sent were not accepted here, as far as records are kept.
	Refused int `json:"refused"`
}

// PeerRooms lists the rooms that a peer is in as far as we know, those in which most is queued first.
func (i *Inspector) PeerRooms(ctx context.Context, f Filter) ([]PeerRoom, error) {
	name, err := f.peer()
	if err != nil {
		return nil, err
	}
	queue, err := i.Queue(ctx, Filter{Server: f.Server, Limit: MaxLimit})
	if err != nil && !isNotFound(err) {
		return nil, err
	}
	queued, parked, refused := map[string]int{}, map[string]int{}, map[string]int{}
	for _, r := range queue.ByRoom {
		queued[r.RoomID] = r.Items
	}
	for _, p := range queue.Refused {
		parked[p.RoomID]++
	}
	err = i.eachVerdictOf(ctx, name, f, func(v persistence.Verdict) { refused[string(v.Room)]++ })
	if err != nil {
		return nil, fmt.Errorf("rooms of %s: %w", name, err)
	}
	rooms := []PeerRoom{}
	err = i.view(ctx, func(tx *persistence.Tx) error {
		shared, err := tx.SharedRooms(name)
		for _, room := range shared {
			id := string(room.ID)
			if f.RoomID == "" || f.RoomID == id {
				rooms = append(rooms, PeerRoom{
					RoomID: id, Version: room.Version, Membership: pdu.Membership(room.Membership).String(), Members: room.Joined,
					Queued: queued[id], Parked: parked[id], Refused: refused[id],
				})
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("rooms of %s: %w", name, err)
	}
	slices.SortStableFunc(rooms, func(a, b PeerRoom) int { return cmp.Compare(b.Queued+b.Parked, a.Queued+a.Parked) })
	return rooms[:min(len(rooms), clampLimit(f.Limit))], nil
}
