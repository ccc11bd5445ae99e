// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
)

// messages is GET /rooms/{roomId}/messages. What is missing on the way back is fetched from other servers, once.
func (r *Rooms) messages(ctx context.Context, q *api.Request) (api.Reply, error) {
	x, err := r.read(ctx, q)
	if err != nil {
		return api.Reply{}, err
	}
	query, err := x.pageQuery(q)
	if err != nil {
		return api.Reply{}, err
	}
	page, err := x.page(ctx, query)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	reply := struct {
		Chunk []json.RawMessage `json:"chunk"`
		Start string            `json:"start"`
		End   string            `json:"end,omitempty"` // "" where there is nothing more
		State []json.RawMessage `json:"state,omitempty"`
	}{Start: query.From.String()}
	if page.More {
		reply.End = page.End.String()
	}
	if reply.Chunk, err = x.write(ctx, page.Events); err != nil {
		return api.Reply{}, err
	}
	if x.filter.LazyLoadMembers && len(page.Events) > 0 {
		if reply.State, err = x.senders(ctx, page.Events[0].After, page.Events); err != nil {
			return api.Reply{}, err
		}
	}
	return api.JSON(reply)
}

// pageQuery reads which page is asked for.
func (x *reading) pageQuery(q *api.Request) (roomview.PageQuery, error) {
	query := roomview.PageQuery{Room: x.nid, From: roomview.Token{Position: x.now}, Choose: x.choose}
	switch dir := q.Query.Get("dir"); dir {
	case "b":
	case "f":
		query.Forward, query.From, query.To = true, roomview.Token{}, x.now
	case "":
		return query, api.MissingParam("dir")
	default:
		return query, api.InvalidParam("dir is f or b, not %.40q", dir)
	}
	limit, err := q.Int("limit", defaultPage)
	if err != nil {
		return query, err
	}
	query.Limit = min(limit, maxPage)
	if x.filter.Limit != nil {
		query.Limit = min(query.Limit, max(0, *x.filter.Limit))
	}
	if text := q.Query.Get("from"); text != "" {
		if query.From, err = roomview.ParseToken(text); err != nil {
			return query, api.InvalidParam("from: %v", err)
		}
	}
	if text := q.Query.Get("to"); text != "" {
		to, err := roomview.ParseToken(text)
		if err != nil {
			return query, api.InvalidParam("to: %v", err)
		}
		query.To = to.Position
	}
	return query, nil
}

// page goes through the room. What turns out to be missing is fetched, unless that was in vain a moment ago; what nobody gives is gone
// over.
func (x *reading) page(ctx context.Context, query roomview.PageQuery) (roomview.Page, error) {
	page, err := x.r.rooms.Page(ctx, query)
	for fetches := 0; err == nil && page.Missing && fetches < maxFetches; fetches++ {
		query.From, query.Limit = page.End, query.Limit-len(page.Events)
		found, failed := x.fetch(ctx, query.Limit)
		if failed != nil {
			return roomview.Page{}, failed
		}
		query.OverGaps = found == 0
		before := page.Events
		page, err = x.r.rooms.Page(ctx, query)
		page.Events = append(before, page.Events...)
		query.Limit += len(before)
	}
	return page, err
}

// fetch asks other servers for history, and says how many events it has found. That nobody gives any is no error.
func (x *reading) fetch(ctx context.Context, limit int) (found int, err error) {
	var gaps []persistence.Gap
	err = x.r.store.View(ctx, func(tx *persistence.Tx) (err error) {
		gaps, err = tx.Gaps(x.nid, 1) // those asked for in vain come last
		return err
	})
	if err != nil || len(gaps) == 0 || time.Since(time.UnixMilli(gaps[0].AskedAt)) < fetchAgain {
		return 0, err
	}
	fetching, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	progress, err := x.r.engine.Backfill(fetching, x.room, max(limit, defaultPage))
	if errors.Is(err, pdu.ErrNotJoined) || fetching.Err() != nil && ctx.Err() == nil {
		return 0, nil
	}
	return progress.Found, err
}
