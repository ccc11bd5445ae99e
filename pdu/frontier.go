// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Frontiers tells the outbox of the present of rooms, by what the store has: it is asked within the outbox's jobs, and is there
// before any engine is. It implements transaction.Rooms.
type Frontiers struct{}

// Frontier gives a room's forward extremities, whoever made them, the oldest first and the newest limit of them at most, to a server
// that is in the room; to others nothing. known is false when we are not in the room: what its present is is then not known here.
func (Frontiers) Frontier(tx *persistence.Tx, id ident.RoomID, server ident.ServerName, limit int) (
	events []persistence.Outbound, known bool, err error,
) {
	room, found, err := tx.Room(id)
	if err != nil || !found || Membership(room.Membership) != Joined {
		return nil, false, err
	}
	joined, err := tx.JoinedFrom(room.NID, server)
	if err != nil || joined == 0 {
		return nil, true, err
	}
	ends := slices.Concat(room.Extremities, room.Held)
	slices.Sort(ends) // numbers are given in the order of arrival
	for _, nid := range ends[max(0, len(ends)-limit):] {
		e, found, err := tx.EventByNID(nid)
		if err != nil || !found {
			return nil, false, fmt.Errorf("read extremity %d of %s: %w", nid, id, orCorrupt(err))
		}
		events = append(events, persistence.Outbound{Kind: persistence.KindPDU, RoomID: id, EventID: e.ID, Content: e.JSON})
	}
	return events, true, nil
}

func orCorrupt(err error) error {
	if err == nil {
		return persistence.ErrCorrupt
	}
	return err
}

// About gives the user whose membership an event of ours gives.
func (Frontiers) About(pdu []byte) (ident.UserID, bool) {
	if !bytes.Contains(pdu, []byte(`"`+memberType+`"`)) { // most are something else
		return "", false
	}
	var e struct {
		Type     string  `json:"type"`
		StateKey *string `json:"state_key"`
	}
	if json.Unmarshal(pdu, &e) != nil || e.Type != memberType || e.StateKey == nil {
		return "", false
	}
	user, err := ident.ParseUserID(*e.StateKey)
	return user, err == nil
}
