// SPDX-License-Identifier: Apache-2.0

package ephemeral

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const typingSchema = `
CREATE TABLE hs_typing (
	room  TEXT    NOT NULL,
	user  TEXT    NOT NULL,
	until INTEGER NOT NULL, -- ms
	PRIMARY KEY (room, user)
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_typing_rooms (
	room     TEXT PRIMARY KEY,
	position INTEGER NOT NULL -- since when those type who do
) STRICT, WITHOUT ROWID;`

// Typers lists who types in a room, and the position since when it is these; 0 for a room in which nobody ever did.
func Typers(tx *persistence.Tx, room ident.RoomID) (users []ident.UserID, since persistence.Position, err error) {
	users = []ident.UserID{}
	if _, err = tx.QueryRow(`SELECT position FROM hs_typing_rooms WHERE room = ?`, []any{string(room)}, &since); err != nil || since == 0 {
		return users, 0, err
	}
	err = tx.Query(`SELECT user FROM hs_typing WHERE room = ? ORDER BY user`, []any{string(room)}, func(r persistence.Row) error {
		var user ident.UserID
		err := r.Scan(&user)
		users = append(users, user)
		return err
	})
	return users, since, err
}

// setTyping writes that a user types until some time, or no more. It tells whether that is news.
func setTyping(tx *persistence.Tx, room ident.RoomID, user ident.UserID, typing bool, until time.Time) error {
	var n int64
	var err error
	if typing {
		if n, err = tx.Exec(`UPDATE hs_typing SET until = ? WHERE room = ? AND user = ?`, until.UnixMilli(), string(room), string(user)); err != nil || n > 0 {
			return err // as before, only longer
		}
		n, err = tx.Exec(`INSERT INTO hs_typing (room, user, until) VALUES (?, ?, ?)`, string(room), string(user), until.UnixMilli())
	} else {
		n, err = tx.Exec(`DELETE FROM hs_typing WHERE room = ? AND user = ?`, string(room), string(user))
	}
	if err != nil || n == 0 {
		return err
	}
	return typingChanged(tx, room)
}

func typingChanged(tx *persistence.Tx, room ident.RoomID) error {
	at, err := stream.Append(tx, stream.Entry{Kind: stream.Typing, Room: room})
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO hs_typing_rooms (room, position) VALUES (?, ?)
		ON CONFLICT (room) DO UPDATE SET position = excluded.position`, string(room), at)
	return err
}

// putTyping is PUT /rooms/{roomId}/typing/{userId}.
func (e *Ephemeral) putTyping(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Typing  *bool  `json:"typing"`
		Timeout *int64 `json:"timeout"` // ms
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Typing == nil {
		return api.Reply{}, api.MissingParam("typing")
	}
	if r.Param("userID") != string(r.User) {
		return api.Reply{}, api.Forbidden("only %s can tell whether they type", r.Param("userID"))
	}
	room, err := e.take(ctx, r)
	if err != nil {
		return api.Reply{}, err
	}
	lasts := usualTyping
	if body.Timeout != nil {
		lasts = time.Duration(max(0, min(*body.Timeout, maxTyping.Milliseconds()))) * time.Millisecond
	}
	err = e.store.Update(ctx, func(tx *persistence.Tx) error {
		return setTyping(tx, room, r.User, *body.Typing, time.Now().Add(lasts))
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.Reply{}, whileInRoom(e.teller.SendTyping(ctx, room, r.User, *body.Typing))
}

// whileInRoom takes the error of who has left the room in the meantime as none: then there is nobody to tell.
func whileInRoom(err error) error {
	if errors.Is(err, pdu.ErrNotJoined) || errors.Is(err, pdu.ErrUnknownRoom) {
		return nil
	}
	return err
}

// mayAct is Rooms.MayAct, for which nobody is in a room that is not known.
func mayAct(ctx context.Context, rooms Rooms, room ident.RoomID, user ident.UserID) (bool, error) {
	in, err := rooms.MayAct(ctx, room, user)
	return in, whileInRoom(err)
}

// Typing implements messaging.Typing.
func (e *Ephemeral) Typing(_ context.Context, room ident.RoomID, user ident.UserID, typing bool) {
	e.tell(func(tx *persistence.Tx, now time.Time) error {
		return setTyping(tx, room, user, typing, now.Add(usualTyping))
	})
}

// expireTyping ends the typing of those who have not been heard of.
func (e *Ephemeral) expireTyping(ctx context.Context, now time.Time) error {
	var waits bool
	expired := func(tx *persistence.Tx, each func(room ident.RoomID) error) error {
		return tx.Query(`SELECT room FROM hs_typing WHERE until <= ?`, []any{now.UnixMilli()}, func(r persistence.Row) error {
			var room ident.RoomID
			if err := r.Scan(&room); err != nil {
				return err
			}
			return each(room)
		})
	}
	err := e.store.View(ctx, func(tx *persistence.Tx) error {
		return expired(tx, func(ident.RoomID) error { waits = true; return nil })
	})
	if err != nil || !waits {
		return err
	}
	return e.store.Update(ctx, func(tx *persistence.Tx) error {
		var rooms []ident.RoomID
		if err := expired(tx, func(room ident.RoomID) error { rooms = append(rooms, room); return nil }); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM hs_typing WHERE until <= ?`, now.UnixMilli()); err != nil {
			return err
		}
		slices.Sort(rooms)
		for _, room := range slices.Compact(rooms) {
			if err := typingChanged(tx, room); err != nil {
				return err
			}
		}
		return nil
	})
}
