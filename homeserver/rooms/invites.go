// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// How users of ours stand to rooms that this server is not in: a row for each change, under the position of its entry in the stream.
const outsideSchema = `
CREATE TABLE hs_outside (
	user       TEXT    NOT NULL,
	room       TEXT    NOT NULL,
	position   INTEGER NOT NULL,
	membership TEXT    NOT NULL, -- 'invite', 'knock', 'leave' or 'ban'
	sender     TEXT    NOT NULL,
	event      TEXT    NOT NULL, -- '' of a leave that the room does not know of
	shown      TEXT    NOT NULL, -- JSON list of stripped events (S-15), of an invitation or a knock
	PRIMARY KEY (user, room, position)
) STRICT, WITHOUT ROWID;`

// Outside is how a user stands to a room that this server is not in, from a position on.
type Outside struct {
	Room       ident.RoomID
	Position   persistence.Position
	Membership string // "invite", "knock", "leave" or "ban"
	Sender     ident.UserID
	Event      ident.EventID
	Shown      json.RawMessage // a list of stripped events
}

// OutsideOf is how a user stood last to a room that this server is not in, as of a position. What the room itself says since, when this
// server has entered it, comes after.
func OutsideOf(tx *persistence.Tx, user ident.UserID, room ident.RoomID, at persistence.Position) (o Outside, found bool, err error) {
	o.Room = room
	found, err = tx.QueryRow(`SELECT position, membership, sender, event, shown FROM hs_outside
		WHERE user = ? AND room = ? AND position <= ? ORDER BY position DESC LIMIT 1`, []any{string(user), string(room), at},
		&o.Position, &o.Membership, &o.Sender, &o.Event, &o.Shown)
	return o, found, err
}

// MayInvite implements messaging.Invites: whoever has an account may be invited.
func (r *Rooms) MayInvite(ctx context.Context, _, invitee ident.UserID, _ ident.RoomID) error {
	known := false
	err := r.store.View(ctx, func(tx *persistence.Tx) (err error) {
		known, err = r.known(tx, invitee)
		return err
	})
	if err == nil && !known {
		return messaging.ErrInviteRefused
	}
	return err
}

// Changed implements messaging.Invites: what a client is to be told of a room that this server is not in is kept, and entered in the
// stream.
func (r *Rooms) Changed(tx *persistence.Tx, s messaging.Standing) error {
	kind, err := stream.Invite, error(nil)
	if s.Membership == "knock" {
		kind = stream.Knock
	}
	shown := []byte("[]")
	if len(s.State) > 0 {
		if shown, err = json.Marshal(s.State); err != nil {
			return fmt.Errorf("what %s shows: %w", s.Room, err)
		}
	}
	at, err := stream.Append(tx, stream.Entry{Kind: kind, Room: s.Room, User: s.User})
	if err != nil {
		return err
	}
	var id ident.EventID
	if s.Event != nil {
		id = s.Event.ID()
	}
	_, err = tx.Exec(`INSERT INTO hs_outside (user, room, position, membership, sender, event, shown) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		string(s.User), string(s.Room), at, s.Membership, string(s.Sender), string(id), string(shown))
	if err != nil {
		return fmt.Errorf("%s of %s to %s: %w", s.Membership, s.User, s.Room, err)
	}
	return nil
}
