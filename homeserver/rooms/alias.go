// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
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

const canonicalType = "m.room.canonical_alias"

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

// addAlias gives a room an alias of ours; errAliasTaken when there is one of that name.
func addAlias(tx *persistence.Tx, alias ident.RoomAlias, room ident.RoomID, creator ident.UserID) error {
	n, err := tx.Exec(`INSERT OR IGNORE INTO hs_aliases (alias, room, creator) VALUES (?, ?, ?)`, string(alias), string(room), string(creator))
	if err != nil {
		return fmt.Errorf("alias %s: %w", alias, err)
	}
	if n == 0 {
		return errAliasTaken
	}
	return nil
}

// ResolveAlias implements messaging.Aliases.
func (r *Rooms) ResolveAlias(ctx context.Context, alias ident.RoomAlias) (target messaging.AliasTarget, found bool, err error) {
	own, found, err := r.ownAlias(ctx, alias)
	return messaging.AliasTarget{Room: own.room}, found, err
}

// resolve finds the room of an alias, with servers over which to reach it: who has the alias is asked (M-01, M-69).
func (r *Rooms) resolve(ctx context.Context, alias ident.RoomAlias) (ident.RoomID, []ident.ServerName, error) {
	if alias.Server() != r.server.Name() {
		target, err := r.server.ResolveAlias(ctx, alias)
		return target.Room, target.Servers, err
	}
	own, found, err := r.ownAlias(ctx, alias)
	if err != nil {
		return "", nil, err
	}
	if !found {
		return "", nil, api.NotFound("no room has the alias %s", alias)
	}
	servers, err := r.engine.Servers(ctx, own.room)
	if err != nil && !errors.Is(err, pdu.ErrUnknownRoom) {
		return "", nil, err
	}
	return own.room, servers[:min(len(servers), maxAliasServers)], nil
}

func aliasOf(q *api.Request) (ident.RoomAlias, error) {
	alias, err := ident.ParseRoomAlias(q.Param("alias"))
	if err != nil {
		return "", api.InvalidParam("alias: %v", err)
	}
	return alias, nil
}

// ownAliasOf is the alias in the path, which has to be one of ours.
func (r *Rooms) ownAliasOf(q *api.Request) (ident.RoomAlias, error) {
	alias, err := aliasOf(q)
	if err == nil && alias.Server() != r.server.Name() {
		return "", api.InvalidParam("%s is not an alias of this server", alias)
	}
	return alias, err
}

// getAlias is GET /directory/room/{roomAlias}.
func (r *Rooms) getAlias(ctx context.Context, q *api.Request) (api.Reply, error) {
	alias, err := aliasOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	room, servers, err := r.resolve(ctx, alias)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	if servers == nil {
		servers = []ident.ServerName{}
	}
	return api.JSON(map[string]any{"room_id": room, "servers": servers})
}

// putAlias is PUT /directory/room/{roomAlias}.
func (r *Rooms) putAlias(ctx context.Context, q *api.Request) (api.Reply, error) {
	alias, err := r.ownAliasOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	var body struct {
		Room *string `json:"room_id"`
	}
	if err := q.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Room == nil {
		return api.Reply{}, api.MissingParam("room_id")
	}
	room, err := ident.ParseRoomID(*body.Room)
	if err != nil {
		return api.Reply{}, api.InvalidParam("room_id: %v", err)
	}
	err = r.store.Update(ctx, func(tx *persistence.Tx) error { return addAlias(tx, alias, room, q.User) })
	if errors.Is(err, errAliasTaken) {
		return api.Reply{}, &api.Error{Status: http.StatusConflict, Code: "M_UNKNOWN", Message: "the alias is taken"}
	}
	return api.Reply{}, err
}

// deleteAlias is DELETE /directory/room/{roomAlias}: for who made it, and for those who could change the room's own alias.
func (r *Rooms) deleteAlias(ctx context.Context, q *api.Request) (api.Reply, error) {
	alias, err := r.ownAliasOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	own, found, err := r.ownAlias(ctx, alias)
	if err != nil {
		return api.Reply{}, err
	}
	if !found {
		return api.Reply{}, api.NotFound("there is no alias %s", alias)
	}
	if own.creator != q.User && !q.Admin {
		s, err := r.standing(ctx, own.room, q.User)
		if err != nil && !errors.Is(err, pdu.ErrUnknownRoom) {
			return api.Reply{}, err
		}
		if !s.maySet(canonicalType) {
			return api.Reply{}, api.Forbidden("the alias is another's, and you may not change that of the room")
		}
	}
	return api.Reply{}, r.store.Update(ctx, func(tx *persistence.Tx) error {
		_, err := tx.Exec(`DELETE FROM hs_aliases WHERE alias = ? AND room = ?`, string(alias), string(own.room))
		return err
	})
}

// roomAliases is GET /rooms/{roomId}/aliases: those of this server, for who may read the room's state.
func (r *Rooms) roomAliases(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	v, err := r.viewOf(ctx, room, q.User)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	if v.left != nil {
		return api.Reply{}, errOutside
	}
	aliases := []ident.RoomAlias{}
	err = r.store.View(ctx, func(tx *persistence.Tx) error {
		return tx.Query(`SELECT alias FROM hs_aliases WHERE room = ? ORDER BY alias`, []any{string(room)}, func(row persistence.Row) error {
			var alias ident.RoomAlias
			err := row.Scan(&alias)
			aliases = append(aliases, alias)
			return err
		})
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]any{"aliases": aliases})
}
