// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Standing is how a user of ours stands to a room that this server is not in. Once it is in the room, the state of that says so, and
// nothing is told of those who were outside.
type Standing struct {
	Room       ident.RoomID
	Version    string // of the room
	User       ident.UserID
	Membership string       // "invite", "knock", "leave" or "ban"
	Sender     ident.UserID // who made it so: the user, or who invited or removed them

	// Event is the member event.
	Event *event.Event
	// Told is false of a leave of ours that no server of the room took (M-25): nobody else has the event.
	Told bool
	// State is what the room shows of itself, for an invitation or a knock: stripped events (M-35), the last of which is the member event.
	State []json.RawMessage
}

// strip is what clients see of an event of a room that they are not in (M-35).
func strip(e *event.Event) json.RawMessage {
	key, _ := e.StateKey()
	return stripped(e.Content(), string(e.Sender()), e.Type(), key)
}

func stripped(content canonicaljson.Value, sender, eventType, key string) json.RawMessage {
	text := append([]byte(`{"content":`), content.Canonical()...)
	text = canonicaljson.AppendString(append(text, `,"sender":`...), sender)
	text = canonicaljson.AppendString(append(text, `,"state_key":`...), key)
	text = canonicaljson.AppendString(append(text, `,"type":`...), eventType)
	return append(text, '}')
}

// standOutside stores that a user is invited or knocks, and tells the homeserver in the same job. What comes again is not told again.
func (s *Server) standOutside(ctx context.Context, e *event.Event, via ident.ServerName, state []json.RawMessage) error {
	member, _ := e.Membership()
	user, _ := e.StateKey()
	now := persistence.Outsider{
		User: ident.UserID(user), Room: e.RoomID(), Version: e.Version().ID, Membership: member.Membership, Event: e.ID(),
		Sender: e.Sender(), Via: via, Depth: e.Depth(), TS: e.OriginServerTS(), Since: time.Now().UnixMilli(),
	}
	err := s.store.Update(ctx, func(tx *persistence.Tx) error {
		before, _, err := tx.Outsider(now.User, now.Room)
		if err != nil || before.Event == now.Event || isLate(before, now) {
			return err
		}
		if err := s.mayStand(tx, now); err != nil {
			return err
		}
		if err := tx.PutOutsider(now); err != nil {
			return err
		}
		return s.tellStanding(tx, Standing{
			Room: now.Room, Version: now.Version, User: now.User, Membership: now.Membership, Sender: now.Sender, Event: e, Told: true,
			State: append(state, strip(e)),
		})
	})
	if err != nil {
		return fmt.Errorf("store %s of %s to %s: %w", now.Membership, now.User, now.Room, err)
	}
	return nil
}

// isLate says whether an invitation was overtaken on its way by a later one of the same server: that it is the earlier one can be seen
// where it stands in the room, and by the clock if they stand in one place.
func isLate(before, now persistence.Outsider) bool {
	if before.Membership == "knock" || now.Membership != "invite" || before.Via != now.Via {
		return false
	}
	return now.Depth < before.Depth || now.Depth == before.Depth && now.TS < before.TS
}

// endOutside ends an invitation or a knock, unless another has taken its place, and tells the homeserver.
func (s *Server) endOutside(tx *persistence.Tx, ended ident.EventID, left Standing) error {
	stood, found, err := tx.Outsider(left.User, left.Room)
	if err != nil || !found || stood.Membership == "leave" || stood.Event != ended {
		return err
	}
	now := time.Now()
	if err := tx.EndOutsider(left.User, left.Room, now.UnixMilli(), now.Add(-inviteMemory).UnixMilli()); err != nil {
		return err
	}
	return s.tellStanding(tx, left)
}

// mayStand refuses an invitation of a server that has invited the user to too many rooms.
func (s *Server) mayStand(tx *persistence.Tx, o persistence.Outsider) error {
	if o.Membership != "invite" {
		return nil
	}
	n, err := tx.InvitedVia(o.User, o.Via, maxInvitesVia)
	if err == nil && n >= maxInvitesVia {
		return forbidden("%s has been invited to %d rooms by you", o.User, n)
	}
	return err
}

// outsider is how a user stands to a room, if they stand outside of it.
func (s *Server) outsider(ctx context.Context, user ident.UserID, room ident.RoomID) (o persistence.Outsider, found bool, err error) {
	err = s.store.View(ctx, func(tx *persistence.Tx) error {
		o, found, err = tx.Outsider(user, room)
		return err
	})
	return o, found && o.Membership != "leave", err
}

func (s *Server) tellStanding(tx *persistence.Tx, standing Standing) error {
	tx.AfterCommit(func() {
		s.trace.Emit(trace.MessagingStanding{
			Room: string(standing.Room), User: string(standing.User), Membership: standing.Membership, Sender: string(standing.Sender),
			Told: standing.Told,
		})
	})
	if s.core.Invites == nil {
		return nil
	}
	return s.core.Invites.Changed(tx, standing)
}
