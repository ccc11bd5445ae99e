// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"fmt"
	"net/http"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const aliasesSchema = `
CREATE TABLE hs_aliases (
	alias   TEXT PRIMARY KEY,
	room    TEXT NOT NULL,
	creator TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_aliases_room ON hs_aliases (room);`

// errAliasTaken is the refusal of an alias that somebody has.
var errAliasTaken = &api.Error{Status: http.StatusBadRequest, Code: "M_ROOM_IN_USE", Message: "the alias is taken"}

// freeAlias is the alias of ours with a local name, if nobody has it.
func (r *Rooms) freeAlias(ctx context.Context, local string) (ident.RoomAlias, error) {
	alias, err := ident.ParseRoomAlias("#" + local + ":" + string(r.server.Name()))
	if err != nil || alias.Server() != r.server.Name() {
		return "", api.InvalidParam("room_alias_name: %.80q is no name of an alias", local)
	}
	_, taken, err := r.ownAlias(ctx, alias)
	if err != nil {
		return "", err
	}
	if taken {
		return "", errAliasTaken
	}
	return alias, nil
}

// owned is an alias of ours.
type owned struct {
	room    ident.RoomID
	creator ident.UserID
}

func (r *Rooms) ownAlias(ctx context.Context, alias ident.RoomAlias) (o owned, found bool, err error) {
	err = r.store.View(ctx, func(tx *persistence.Tx) (err error) {
		found, err = tx.QueryRow(`SELECT room, creator FROM hs_aliases WHERE alias = ?`, []any{string(alias)}, &o.room, &o.creator)
		return err
	})
	return o, found, err
}

// putAlias gives a room an alias of ours; errAliasTaken when there is one of that name.
func putAlias(tx *persistence.Tx, alias ident.RoomAlias, room ident.RoomID, creator ident.UserID) error {
	n, err := tx.Exec(`INSERT OR IGNORE INTO hs_aliases (alias, room, creator) VALUES (?, ?, ?)`, string(alias), string(room), string(creator))
	if err != nil {
		return fmt.Errorf("alias %s: %w", alias, err)
	}
	if n == 0 {
		return errAliasTaken
	}
	return nil
}

// resolve finds the room of an alias, with servers that are in it.
func (r *Rooms) resolve(ctx context.Context, alias ident.RoomAlias) (ident.RoomID, []ident.ServerName, error) {
	own, found, err := r.ownAlias(ctx, alias)
	if err != nil {
		return "", nil, err
	}
	if !found {
		return "", nil, api.NotFound("no room has the alias %s", alias)
	}
	return own.room, nil, nil
}
