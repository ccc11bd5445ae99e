// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"
	"net/http"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const forgottenSchema = `
CREATE TABLE hs_forgotten (
	user     TEXT    NOT NULL,
	room     TEXT    NOT NULL,
	position INTEGER NOT NULL, -- what the user is to the room since is not forgotten
	PRIMARY KEY (user, room)
) STRICT, WITHOUT ROWID;`

// Forgotten is the rooms that a user has forgotten, with the position at which they did: who has had to do with the room after that has
// not forgotten it any more.
func Forgotten(tx *persistence.Tx, user ident.UserID) (rooms map[ident.RoomID]persistence.Position, err error) {
	rooms = map[ident.RoomID]persistence.Position{}
	err = tx.Query(`SELECT room, position FROM hs_forgotten WHERE user = ?`, []any{string(user)}, func(r persistence.Row) error {
		var room ident.RoomID
		var at persistence.Position
		err := r.Scan(&room, &at)
		rooms[room] = at
		return err
	})
	return rooms, err
}

// forget is POST /rooms/{roomId}/forget, for a room that the user has left.
func (r *Rooms) forget(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	membership, err := r.membership(ctx, room, q.User)
	if err != nil {
		return api.Reply{}, err
	}
	err = r.store.Update(ctx, func(tx *persistence.Tx) error {
		if membership == "" {
			outside, _, err := OutsideOf(tx, q.User, room, tx.LastPosition())
			if err != nil {
				return err
			}
			membership = outside.Membership
		}
		if membership == "join" || membership == "invite" || membership == "knock" {
			return &api.Error{Status: http.StatusBadRequest, Code: "M_UNKNOWN", Message: "leave the room before you forget it"}
		}
		at, err := stream.Append(tx, stream.Entry{Kind: stream.Forgotten, Room: room, User: q.User})
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT OR REPLACE INTO hs_forgotten (user, room, position) VALUES (?, ?, ?)`, string(q.User), string(room), at)
		if err != nil {
			return fmt.Errorf("forget %s: %w", room, err)
		}
		return nil
	})
	return api.Reply{}, err
}
