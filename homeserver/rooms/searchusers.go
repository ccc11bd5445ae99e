// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"strings"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Limits of a search for users: of what is found, and of what is looked at.
const (
	usualUsersFound  = 10
	maxUsersFound    = 100
	maxUsersLooked   = 20_000
	maxRoomsSearched = 200
)

// foundUser is a user as a search shows them.
type foundUser struct {
	ID      string `json:"user_id"`
	Name    string `json:"display_name,omitempty"`
	Picture string `json:"avatar_url,omitempty"`
}

// searchUsers is POST /user_directory/search: among those who are in a room with the caller, or in one of the directory's. The term is in
// the id or the name, in whatever case.
func (r *Rooms) searchUsers(ctx context.Context, q *api.Request) (api.Reply, error) {
	var body struct {
		Term  *string `json:"search_term"`
		Limit *int    `json:"limit"`
	}
	if err := q.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Term == nil {
		return api.Reply{}, api.MissingParam("search_term")
	}
	limit := usualUsersFound
	if body.Limit != nil {
		limit = max(0, min(*body.Limit, maxUsersFound))
	}
	rooms, err := r.searchedRooms(ctx, q.User)
	if err != nil {
		return api.Reply{}, err
	}
	found, limited, err := r.usersLike(ctx, rooms, strings.ToLower(strings.TrimPrefix(*body.Term, "@")), limit)
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]any{"results": found, "limited": limited})
}

// searchedRooms is the rooms whose members a user may find.
func (r *Rooms) searchedRooms(ctx context.Context, user ident.UserID) ([]ident.RoomID, error) {
	rooms, err := r.JoinedRooms(ctx, user)
	if err != nil {
		return nil, err
	}
	err = r.store.View(ctx, func(tx *persistence.Tx) error {
		return tx.Query(`SELECT room FROM hs_published ORDER BY place LIMIT ?`, []any{maxRoomsSearched}, func(row persistence.Row) error {
			var room ident.RoomID
			err := row.Scan(&room)
			rooms = append(rooms, room)
			return err
		})
	})
	return rooms[:min(len(rooms), maxRoomsSearched)], err
}

// usersLike looks for a term in small letters among the members of rooms. limited says that there may be more.
func (r *Rooms) usersLike(ctx context.Context, rooms []ident.RoomID, term string, limit int) (found []foundUser, limited bool, err error) {
	found = []foundUser{}
	seen, looked := map[string]bool{}, 0
	for _, room := range rooms {
		members, err := r.engine.StateOfType(ctx, room, memberType)
		if err != nil {
			return nil, false, refusal(err)
		}
		for _, e := range members {
			if looked++; looked > maxUsersLooked {
				return found, true, nil
			}
			key, _ := e.StateKey()
			user := foundUser{ID: key, Name: textIn(e, "displayname"), Picture: textIn(e, "avatar_url")}
			if seen[key] || membershipOf(e) != "join" || !strings.Contains(strings.ToLower(key[1:]), term) && !strings.Contains(strings.ToLower(user.Name), term) {
				continue
			}
			if len(found) == limit {
				return found, true, nil
			}
			seen[key] = true
			found = append(found, user)
		}
	}
	return found, false, nil
}
