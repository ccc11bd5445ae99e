// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"
	"strconv"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Kinds of changes that stand in no entry: what the store has a position for.
const (
	// Event is an event of a room.
	Event Kind = -1
	// State is a change of a room's state that no event made.
	State Kind = -2
)

// OfRoom says whether a change concerns whoever is in its room, rather than its user.
func (k Kind) OfRoom() bool {
	return k == Event || k == State || k == Receipt || k == Typing
}

// InRoom says whether a change that is about a user and a room concerns them while they are in the room only.
func (k Kind) InRoom() bool { return k == AccountData || k == Counts }

// OfCompany says whether a change concerns whoever shares a room with its user.
func (k Kind) OfCompany() bool { return k == Presence || k == DeviceList }

// Change is anything that has a position and that a client may be told.
type Change struct {
	Entry                    // User is the sender of an event, "" of a change of state
	RoomNID int64            // of Event and State
	Event   ident.EventID    // of Event
	Placed  *pdu.Placed      // of Event, but for what the ring gives
	Gap     bool             // of Event: what is before it is missing
	Slots   []event.StateKey // of State: what is another now
	Moves   bool             // more or fewer are joined or invited now
	Members []Member         // member events of users of ours
	Company []ident.RoomID   // the user's, of what concerns whoever shares a room with them
}

// Member is a member event of a user of ours, in a room's state.
type Member struct {
	User       ident.UserID
	Was        string // "leave" for a slot that is empty
	Membership string // likewise
	Event      ident.EventID
}

// Batch is what happened after a position and through another, all of it and in order.
type Batch struct {
	After, Through persistence.Position
	Changes        []Change
}

// Token is a position as clients have it: the first that has not been seen.
func Token(at persistence.Position) string { return strconv.FormatInt(int64(at)+1, 10) }

// ParseToken is the position that has been seen, of a token.
func ParseToken(token string) (persistence.Position, error) {
	n, err := strconv.ParseInt(token, 10, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("%.40q is no token of this server", token)
	}
	return persistence.Position(n - 1), nil
}
