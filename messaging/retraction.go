// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// retractions takes out of transactions what ends an invitation or a knock of a user of ours: the leave or ban of a room that this
// server is not in, which the engine would drop. It implements transaction.PDUReceiver.
//
// Without the state of the room nobody can say whether the sender may do that. An invitation ends by the word of who made it; a knock by
// that of anyone who names it, for only members of the room have seen it, or of a user of the server that took it. What the event does
// not name, since another has come here than into the room, it must stand after.
type retractions struct{ s *Server }

// retraction is the end of an invitation or a knock.
type retraction struct {
	event *event.Event
	ends  persistence.Outsider
}

// ReceivePDUs hands the engine everything else.
func (x retractions) ReceivePDUs(ctx context.Context, in transaction.Inbound) (transaction.Staged, error) {
	var found []retraction
	rest := make([][]byte, 0, len(in.PDUs))
	for _, wire := range in.PDUs {
		ended, is, err := x.read(ctx, wire)
		if err != nil {
			return transaction.Staged{}, err
		}
		if is {
			found = append(found, ended)
		} else {
			rest = append(rest, wire)
		}
	}
	if len(found) == 0 {
		return x.s.engine.ReceivePDUs(ctx, in)
	}
	in.PDUs = rest
	staged, err := x.s.engine.ReceivePDUs(ctx, in)
	if err != nil {
		return transaction.Staged{}, err
	}
	return x.join(ctx, staged, found)
}

// join adds what is good of the retractions to what the engine has staged.
func (x retractions) join(ctx context.Context, staged transaction.Staged, found []retraction) (transaction.Staged, error) {
	events := make([]*event.Event, len(found))
	for i, r := range found {
		events[i] = r.event
	}
	faults := event.VerifySignatures(ctx, events, x.s.ring)
	if err := context.Cause(ctx); err != nil {
		return transaction.Staged{}, err
	}
	var good []retraction
	for i, r := range found {
		if staged.Results[r.event.ID()] = ""; faults[i] != nil {
			staged.Results[r.event.ID()] = faults[i].Error()
			continue
		}
		good = append(good, r)
	}
	return transaction.Staged{Results: staged.Results, Keep: func(ctx context.Context, reply func(*persistence.Tx) error) error {
		return staged.Keep(ctx, func(tx *persistence.Tx) error {
			for _, r := range good {
				if err := x.s.endOutside(tx, r.ends.Event, r.standing()); err != nil {
					return err
				}
			}
			return reply(tx)
		})
	}}, nil
}

func (r retraction) standing() Standing {
	member, _ := r.event.Membership()
	return Standing{
		Room: r.ends.Room, Version: r.ends.Version, User: r.ends.User, Membership: member.Membership, Sender: r.event.Sender(), Event: r.event,
		Told: true,
	}
}

// read says whether a PDU is a retraction. Most are not, and few are about members at all.
func (x retractions) read(ctx context.Context, wire []byte) (r retraction, is bool, err error) {
	if !bytes.Contains(wire, []byte(`"m.room.member"`)) {
		return r, false, nil
	}
	root, malformed := canonicaljson.Parse(wire, canonicaljson.Lenient)
	if malformed != nil {
		return r, false, nil
	}
	key, _ := root.Get("state_key").Text()
	id, _ := root.Get("room_id").Text()
	user, notUser := ident.ParseUserID(key)
	if notUser != nil || user.Server() != x.s.self {
		return r, false, nil
	}
	var outside bool
	if r.ends, outside, err = x.outsider(ctx, user, ident.RoomID(id)); err != nil || !outside {
		return r, false, err
	}
	version, _ := event.VersionOf(r.ends.Version)
	if r.event, malformed = event.Parse(version, wire); malformed != nil {
		return r, false, nil
	}
	return r, r.isGood(), nil
}

// outsider finds the invitation or knock of a user, unless the room is here or about to be: then the engine judges.
func (x retractions) outsider(ctx context.Context, user ident.UserID, room ident.RoomID) (persistence.Outsider, bool, error) {
	stood, found, err := x.s.outsider(ctx, user, room)
	if err != nil || !found {
		return stood, false, err
	}
	info, err := x.s.engine.Room(ctx, room)
	if errors.Is(err, pdu.ErrUnknownRoom) {
		return stood, true, nil
	}
	if err != nil {
		return stood, false, fmt.Errorf("room of a retraction: %w", err)
	}
	return stood, info.Membership == pdu.Left, nil
}

// isGood says whether the event is one that ends what it is to end, but for its signatures.
func (r retraction) isGood() bool {
	member, isMember := r.event.Membership()
	if !isMember || member.Membership != "leave" && member.Membership != "ban" {
		return false
	}
	sender := r.event.Sender()
	named := slices.Contains(r.event.AuthEvents(), r.ends.Event)
	later := r.event.Depth() > r.ends.Depth
	if r.ends.Membership == "knock" {
		return sender != r.ends.User && (named || later && sender.Server() == r.ends.Via)
	}
	return sender == r.ends.Sender && (named || later)
}
