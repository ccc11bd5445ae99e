// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// relations is GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}, with or without a relation and an event type.
func (r *Rooms) relations(ctx context.Context, q *api.Request) (api.Reply, error) {
	parent, err := eventOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	x, err := r.read(ctx, q)
	if err != nil {
		return api.Reply{}, err
	}
	if _, err := x.event(ctx, parent); err != nil {
		return api.Reply{}, err
	}
	w, err := windowOf(q, x.now)
	if err != nil {
		return api.Reply{}, err
	}
	w.Room, w.Parent, w.Kind = x.nid, parent, q.Param("rel")
	var reply struct {
		Chunk []json.RawMessage `json:"chunk"`
		Next  string            `json:"next_batch,omitempty"`
		Prev  string            `json:"prev_batch,omitempty"`
		Depth int               `json:"recursion_depth,omitempty"`
	}
	reply.Prev = q.Query.Get("from")
	list := x.direct
	if q.Query.Get("recurse") == "true" {
		reply.Depth = maxRecursion
		if list, err = x.indirect(ctx, w); err != nil {
			return api.Reply{}, err
		}
	}
	shown, next, err := x.relatedPage(ctx, w, list, q.Param("type"))
	if err != nil {
		return api.Reply{}, err
	}
	reply.Next = next
	if reply.Chunk, err = x.write(ctx, shown); err != nil {
		return api.Reply{}, err
	}
	return api.JSON(reply)
}

// window is the part that a request asks for of what is ordered as in the graph.
type window struct {
	persistence.RelatedQuery
	limit int // of what is shown
}

// windowOf reads dir, limit, from and to. A token of the stream, or of a place before an event, is a position: what came through it, or
// what came after it. One of this list, or of history, is a place in the graph.
func windowOf(q *api.Request, now persistence.Position) (w window, err error) {
	w.To, w.Through = persistence.HistoryPlace{Depth: math.MaxInt64, NID: math.MaxInt64}, now
	switch dir := q.Query.Get("dir"); dir {
	case "", "b":
	case "f":
		w.Forward = true
	default:
		return w, api.InvalidParam("dir is f or b, not %.40q", dir)
	}
	if w.limit, err = pageLimit(q); err != nil {
		return w, err
	}
	for _, name := range []string{"from", "to"} {
		text := q.Query.Get(name)
		if text == "" {
			continue
		}
		token, err := roomview.ParseToken(text)
		if err != nil {
			return w, api.InvalidParam("%s: %v", name, err)
		}
		w.bound(token, w.Forward == (name == "from"))
	}
	return w, nil
}

// pageLimit is how many a page is to have.
func pageLimit(q *api.Request) (int, error) {
	limit, err := q.Int("limit", defaultPage)
	return max(1, min(limit, maxPage)), err
}

// bound has a window begin, or end, at a token.
func (w *window) bound(t roomview.Token, begin bool) {
	place := persistence.HistoryPlace{Depth: t.Depth, NID: t.NID}
	switch {
	case t.History && begin:
		w.From = place
	case t.History:
		w.To = place
	case begin:
		w.After = t.Position
	default:
		w.Through = min(w.Through, t.Position)
	}
}

// after is the window without what comes first in it, through a place.
func (w window) after(place persistence.HistoryPlace) window {
	if w.Forward {
		place.NID++
		w.From = place
	} else {
		w.To = place
	}
	return w
}

// token is where a window begins, for who goes on from there.
func (w window) token() string {
	place := w.To
	if w.Forward {
		place = w.From
	}
	return roomview.Token{History: true, Depth: place.Depth, NID: place.NID}.String()
}

// relatives gives the first of a window.
type relatives func(ctx context.Context, w window) ([]persistence.Related, error)

// direct gives what relates to the window's event.
func (x *reading) direct(ctx context.Context, w window) (list []persistence.Related, err error) {
	err = x.r.store.View(ctx, func(tx *persistence.Tx) error {
		list, err = tx.Related(w.RelatedQuery)
		return err
	})
	return list, err
}

// indirect gathers what relates to the window's event, and what relates to that, to a depth. It is bounded: of more the last of each.
func (x *reading) indirect(ctx context.Context, w window) (relatives, error) {
	var all []persistence.Related
	err := x.r.store.View(ctx, func(tx *persistence.Tx) error {
		parents, looked := []ident.EventID{w.Parent}, 0
		for level := 0; level < maxRecursion && len(parents) > 0; level++ {
			var next []ident.EventID
			for _, parent := range parents {
				list, err := tx.Related(persistence.RelatedQuery{Room: w.Room, Parent: parent, Through: w.Through, Limit: maxRelated - looked})
				if err != nil {
					return err
				}
				for _, one := range list {
					if next = append(next, one.ID); w.Kind == "" || w.Kind == one.Kind {
						all = append(all, one)
					}
				}
				if looked += len(list); looked >= maxRelated {
					return nil
				}
			}
			parents = next
		}
		return nil
	})
	slices.SortFunc(all, func(a, b persistence.Related) int { return comparePlaces(a.Place, b.Place) })
	all = slices.CompactFunc(all, func(a, b persistence.Related) bool { return a.Place == b.Place }) // ids that servers choose may make rings
	return func(_ context.Context, w window) ([]persistence.Related, error) { return w.of(all), nil }, err
}

func comparePlaces(a, b persistence.HistoryPlace) int {
	return cmp.Or(cmp.Compare(a.Depth, b.Depth), cmp.Compare(a.NID, b.NID))
}

// of is the part of a list in the order of the graph that a window asks for.
func (w window) of(all []persistence.Related) (list []persistence.Related) {
	for _, one := range all {
		if comparePlaces(one.Place, w.From) >= 0 && comparePlaces(one.Place, w.To) < 0 && (w.After == 0 || one.Position > w.After) {
			list = append(list, one)
		}
	}
	if !w.Forward {
		slices.Reverse(list)
	}
	return list[:min(len(list), w.Limit)]
}

// relatedPage is what of a window the user sees, of a type if one is given, and where the rest begins, "" if there is none.
func (x *reading) relatedPage(ctx context.Context, w window, give relatives, kind string) (shown []*pdu.Placed, next string, err error) {
	w.Limit = relatedAtOnce
	for looked := 0; looked < maxRelated; looked += relatedAtOnce {
		list, err := give(ctx, w)
		if err != nil {
			return nil, "", err
		}
		for _, one := range list {
			if len(shown) == w.limit {
				return shown, w.token(), nil
			}
			w = w.after(one.Place)
			found, err := x.r.engine.Placed(ctx, one.ID)
			if err != nil {
				return nil, "", refusal(err)
			}
			if kind != "" && found.Event.Type() != kind {
				continue
			}
			choice, err := x.choose(ctx, &found)
			if err != nil {
				return nil, "", err
			}
			if choice == roomview.Take {
				shown = append(shown, &found)
			}
		}
		if len(list) < relatedAtOnce {
			return shown, "", nil
		}
	}
	return shown, w.token(), nil
}
