// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// What is in the directory is found in the order in which it came there, which stays: paging through it neither skips nor repeats (M-71).
const publishedSchema = `
CREATE TABLE hs_published (
	place INTEGER PRIMARY KEY,
	room  TEXT    NOT NULL UNIQUE
) STRICT;`

// publish puts a room into the directory.
func publish(tx *persistence.Tx, room ident.RoomID) error {
	if _, err := tx.Exec(`INSERT OR IGNORE INTO hs_published (room) VALUES (?)`, string(room)); err != nil {
		return fmt.Errorf("publish %s: %w", room, err)
	}
	return nil
}

// withdraw takes a room out of the directory.
func withdraw(tx *persistence.Tx, room ident.RoomID) error {
	if _, err := tx.Exec(`DELETE FROM hs_published WHERE room = ?`, string(room)); err != nil {
		return fmt.Errorf("withdraw %s: %w", room, err)
	}
	return nil
}

func isPublished(tx *persistence.Tx, room ident.RoomID) (is bool, err error) {
	var place int64
	return tx.QueryRow(`SELECT place FROM hs_published WHERE room = ?`, []any{string(room)}, &place)
}

// getPublished is GET /directory/list/room/{roomId}.
func (r *Rooms) getPublished(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	if err := r.mustBeHere(ctx, room); err != nil {
		return api.Reply{}, err
	}
	visibility := "private"
	err = r.store.View(ctx, func(tx *persistence.Tx) error {
		is, err := isPublished(tx, room)
		if is {
			visibility = "public"
		}
		return err
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]string{"visibility": visibility})
}

// putPublished is PUT /directory/list/room/{roomId}, for those who could change the room's own alias.
func (r *Rooms) putPublished(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	body := struct {
		Visibility string `json:"visibility"`
	}{"public"}
	if err := q.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Visibility != "public" && body.Visibility != "private" {
		return api.Reply{}, api.BadJSON("visibility is public or private, not %.40q", body.Visibility)
	}
	if err := r.mustBeHere(ctx, room); err != nil {
		return api.Reply{}, err
	}
	s, err := r.standing(ctx, room, q.User)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	if !q.Admin && !s.maySet(canonicalType) {
		return api.Reply{}, api.Forbidden("it takes the power to change the alias of the room")
	}
	return api.Reply{}, r.store.Update(ctx, func(tx *persistence.Tx) error {
		if body.Visibility == "public" {
			return publish(tx, room)
		}
		return withdraw(tx, room)
	})
}

// mustBeHere refuses a room that this server is not in.
func (r *Rooms) mustBeHere(ctx context.Context, room ident.RoomID) error {
	info, err := r.engine.Room(ctx, room)
	if errors.Is(err, pdu.ErrUnknownRoom) || err == nil && info.Membership != pdu.Joined {
		return api.NotFound("this server is in no such room")
	}
	return err
}
