// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Who is no user any more leaves all rooms. That they are to is noted in the job in which they cease to be one, so that a restart goes on
// with it.
const departuresSchema = `
CREATE TABLE hs_departures (
	user TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;`

// Departures has users leave their rooms who have been deactivated.
type Departures struct {
	accounts.Bystander
	rooms *Rooms
	news  chan struct{} // of one; somebody is to leave
}

var _ accounts.Witness = (*Departures)(nil)

// NewDepartures makes it of what stands in the store. Users leave while Run runs.
func NewDepartures(rooms *Rooms) *Departures {
	return &Departures{rooms: rooms, news: make(chan struct{}, 1)}
}

// UserDeactivated implements accounts.Witness.
func (d *Departures) UserDeactivated(tx *persistence.Tx, user ident.UserID) error {
	tx.AfterCommit(func() {
		select {
		case d.news <- struct{}{}:
		default:
		}
	})
	_, err := tx.Exec(`INSERT OR IGNORE INTO hs_departures (user) VALUES (?)`, string(user))
	return err
}

// Run has those leave who are to, until ctx ends. An error is the store's.
func (d *Departures) Run(ctx context.Context) error {
	for {
		err := d.leaveAll(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-d.news:
		}
	}
}

func (d *Departures) leaveAll(ctx context.Context) error {
	var users []ident.UserID
	err := d.rooms.store.View(ctx, func(tx *persistence.Tx) error {
		return tx.Query(`SELECT user FROM hs_departures ORDER BY user`, nil, func(r persistence.Row) error {
			var user ident.UserID
			err := r.Scan(&user)
			users = append(users, user)
			return err
		})
	})
	if err != nil {
		return err
	}
	for _, user := range users {
		if err := d.leave(ctx, user); err != nil {
			return err
		}
	}
	return nil
}

// leave has a user leave every room. One that does not let them go, which only a server can be the cause of that is not there, is left to
// itself.
func (d *Departures) leave(ctx context.Context, user ident.UserID) error {
	if err := d.rooms.rooms.CatchUp(ctx); err != nil {
		return err
	}
	rooms, err := d.rooms.JoinedRooms(ctx, user)
	if err != nil {
		return err
	}
	for _, room := range rooms {
		err := d.rooms.server.Leave(ctx, user, room)
		if _, refused := errors.AsType[*api.Error](refusal(err)); err != nil && !refused {
			return err
		}
	}
	return d.rooms.store.Update(ctx, func(tx *persistence.Tx) error {
		_, err := tx.Exec(`DELETE FROM hs_departures WHERE user = ?`, string(user))
		return err
	})
}
