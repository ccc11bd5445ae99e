// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// getPublicRooms is GET /publicRooms.
func (r *Rooms) getPublicRooms(ctx context.Context, q *api.Request) (api.Reply, error) {
	limit, err := q.Int("limit", 0)
	if err != nil {
		return api.Reply{}, err
	}
	return r.publicRooms(ctx, q, messaging.PublicRoomsQuery{Limit: limit, Since: q.Query.Get("since")})
}

// postPublicRooms is POST /publicRooms.
func (r *Rooms) postPublicRooms(ctx context.Context, q *api.Request) (api.Reply, error) {
	var body struct {
		Limit  int    `json:"limit"`
		Since  string `json:"since"`
		Filter struct {
			Term  string    `json:"generic_search_term"`
			Types []*string `json:"room_types"` // null: rooms without a type
		} `json:"filter"`
		AllNetworks bool   `json:"include_all_networks"`
		Instance    string `json:"third_party_instance_id"`
	}
	if err := q.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	return r.publicRooms(ctx, q, messaging.PublicRoomsQuery{
		Limit: max(0, body.Limit), Since: body.Since, Search: body.Filter.Term, RoomTypes: body.Filter.Types,
		AllNetworks: body.AllNetworks, Instance: body.Instance,
	})
}

// publicRooms asks our directory, or that of the server in the query.
func (r *Rooms) publicRooms(ctx context.Context, q *api.Request, wanted messaging.PublicRoomsQuery) (api.Reply, error) {
	wanted.Limit = min(wanted.Limit, maxPublicPage)
	page, err := messaging.PublicRoomsPage{}, error(nil)
	if name := q.Query.Get("server"); name != "" && name != string(r.server.Name()) {
		server, invalid := ident.ParseServerName(name)
		if invalid != nil {
			return api.Reply{}, api.InvalidParam("server: %v", invalid)
		}
		page, err = r.server.PublicRoomsOf(ctx, server, wanted)
	} else {
		page, err = r.PublicRooms(ctx, wanted)
	}
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	return api.JSON(page)
}

// listed is a room's place in the directory.
type listed struct {
	place int64
	room  ident.RoomID
}

// PublicRooms implements messaging.PublicRooms: a page of the directory, in the order of places whichever way one pages. A token is a
// direction and the place that the page before ended at.
func (r *Rooms) PublicRooms(ctx context.Context, q messaging.PublicRoomsQuery) (messaging.PublicRoomsPage, error) {
	forward, from, err := parsePlace(q.Since)
	if err != nil {
		return messaging.PublicRoomsPage{}, err
	}
	total := 0
	candidates, more, err := r.places(ctx, forward, from, &total)
	if err != nil {
		return messaging.PublicRoomsPage{}, err
	}
	limit := maxPublicPage
	if q.Limit > 0 {
		limit = min(q.Limit, maxPublicPage)
	}
	found, looked, err := r.sift(ctx, q, candidates, limit)
	if err != nil {
		return messaging.PublicRoomsPage{}, err
	}
	more = more || len(looked) < len(candidates)
	if !forward {
		slices.Reverse(found)
		slices.Reverse(looked)
	}
	page := messaging.PublicRoomsPage{Rooms: found, Total: &total}
	if len(looked) > 0 && (more || !forward) {
		page.NextBatch = "f" + strconv.FormatInt(looked[len(looked)-1].place, 10)
	}
	if len(looked) > 0 && q.Since != "" && (more || forward) {
		page.PrevBatch = "b" + strconv.FormatInt(looked[0].place, 10)
	}
	return page, nil
}

// sift gives the rooms that are looked for, up to limit, and those that were looked at for it.
func (r *Rooms) sift(ctx context.Context, q messaging.PublicRoomsQuery, candidates []listed, limit int) (
	found []messaging.RoomSummary, looked []listed, err error,
) {
	found = []messaging.RoomSummary{}
	for _, c := range candidates {
		if len(found) == limit {
			break
		}
		looked = append(looked, c)
		summary, err := r.server.Summary(ctx, c.room)
		if errors.Is(err, pdu.ErrUnknownRoom) || errors.Is(err, pdu.ErrNotJoined) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("directory: %w", err)
		}
		if isSought(q, summary) {
			found = append(found, summary)
		}
	}
	return found, looked, nil
}

// places lists rooms of the directory on one side of a place, the nearest first, with how many there are in all.
func (r *Rooms) places(ctx context.Context, forward bool, from int64, total *int) (list []listed, more bool, err error) {
	query := `SELECT place, room FROM hs_published WHERE place > ? ORDER BY place LIMIT ?`
	if !forward {
		query = `SELECT place, room FROM hs_published WHERE place < ? ORDER BY place DESC LIMIT ?`
	}
	err = r.store.View(ctx, func(tx *persistence.Tx) error {
		if _, err := tx.QueryRow(`SELECT count(*) FROM hs_published`, nil, total); err != nil {
			return err
		}
		return tx.Query(query, []any{from, maxPublicLooked + 1}, func(row persistence.Row) error {
			var l listed
			err := row.Scan(&l.place, &l.room)
			list = append(list, l)
			return err
		})
	})
	if more = len(list) > maxPublicLooked; more {
		list = list[:maxPublicLooked]
	}
	return list, more, err
}

// parsePlace reads a token; none is the beginning.
func parsePlace(token string) (forward bool, place int64, err error) {
	if token == "" {
		return true, 0, nil
	}
	place, err = strconv.ParseInt(token[1:], 10, 64)
	if err != nil || token[0] != 'f' && token[0] != 'b' {
		return false, 0, &transport.Error{
			Status: http.StatusBadRequest, Code: spec.ErrorInvalidParam, Message: fmt.Sprintf("since: %.40q is no token of this directory", token),
		}
	}
	return token[0] == 'f', place, nil
}

// isSought says whether a room is what is looked for. Rooms of other networks there are none.
func isSought(q messaging.PublicRoomsQuery, s messaging.RoomSummary) bool {
	if q.Instance != "" && !q.AllNetworks {
		return false
	}
	if q.RoomTypes != nil && !slices.ContainsFunc(q.RoomTypes, func(t *string) bool {
		return t == nil && s.RoomType == "" || t != nil && *t == s.RoomType
	}) {
		return false
	}
	term := strings.ToLower(q.Search)
	return slices.ContainsFunc([]string{s.Name, s.Topic, s.CanonicalAlias}, func(called string) bool {
		return strings.Contains(strings.ToLower(called), term)
	})
}
