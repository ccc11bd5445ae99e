// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// search is what somebody looks for in the directory.
type search struct {
	Limit  int    `json:"limit"`
	Since  string `json:"since"`
	Filter struct {
		Term  string    `json:"generic_search_term"`
		Types []*string `json:"room_types"` // null: rooms without a type
	} `json:"filter"`
}

// publicPage is a page of the directory. Its tokens are a direction and the place that the page ends before or after.
type publicPage struct {
	Chunk []Description `json:"chunk"`
	Next  string        `json:"next_batch,omitempty"`
	Prev  string        `json:"prev_batch,omitempty"`
	Total int           `json:"total_room_count_estimate"`
}

// getPublicRooms is GET /publicRooms.
func (r *Rooms) getPublicRooms(ctx context.Context, q *api.Request) (api.Reply, error) {
	limit, err := q.Int("limit", 0)
	if err != nil {
		return api.Reply{}, err
	}
	return r.publicRooms(ctx, q, search{Limit: limit, Since: q.Query.Get("since")})
}

// postPublicRooms is POST /publicRooms.
func (r *Rooms) postPublicRooms(ctx context.Context, q *api.Request) (api.Reply, error) {
	var s search
	if err := q.Decode(&s); err != nil {
		return api.Reply{}, err
	}
	return r.publicRooms(ctx, q, s)
}

func (r *Rooms) publicRooms(ctx context.Context, q *api.Request, s search) (api.Reply, error) {
	page, err := r.searchDirectory(ctx, s)
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

// searchDirectory gives a page of the directory, in the order of places whichever way one pages.
func (r *Rooms) searchDirectory(ctx context.Context, s search) (publicPage, error) {
	forward, from, err := parsePlace(s.Since)
	if err != nil {
		return publicPage{}, err
	}
	limit := maxPublicPage
	if s.Limit > 0 {
		limit = min(s.Limit, maxPublicPage)
	}
	page := publicPage{Chunk: []Description{}}
	candidates, more, err := r.places(ctx, forward, from, &page.Total)
	if err != nil {
		return publicPage{}, err
	}
	var shown []int64 // the places of the page
	for i, c := range candidates {
		if len(page.Chunk) == limit {
			candidates, more = candidates[:i], true
			break
		}
		shown = append(shown, c.place)
		d, err := r.describe(ctx, c.room)
		if errors.Is(err, pdu.ErrUnknownRoom) {
			continue
		}
		if err != nil {
			return publicPage{}, err
		}
		if s.wants(d.Description) {
			page.Chunk = append(page.Chunk, d.Description)
		}
	}
	if !forward {
		slices.Reverse(page.Chunk)
		slices.Reverse(shown)
	}
	if len(shown) > 0 {
		if more || !forward {
			page.Next = "f" + strconv.FormatInt(shown[len(shown)-1], 10)
		}
		if s.Since != "" && (more || forward) {
			page.Prev = "b" + strconv.FormatInt(shown[0], 10)
		}
	}
	return page, nil
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
		return false, 0, api.InvalidParam("since: %.40q is no token of this directory", token)
	}
	return token[0] == 'f', place, nil
}

// wants says whether a room is what is looked for.
func (s search) wants(d Description) bool {
	if s.Filter.Types != nil && !slices.ContainsFunc(s.Filter.Types, func(t *string) bool {
		return t == nil && d.Type == "" || t != nil && *t == d.Type
	}) {
		return false
	}
	return s.Filter.Term == "" || d.matches(s.Filter.Term)
}
