// SPDX-License-Identifier: Apache-2.0

package adminapi

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// destination is one server in Synapse's shape. Times are ms.
type destination struct {
	Name          string `json:"destination"`
	RetryLast     int64  `json:"retry_last_ts"`                   // of the last try, 0 when it did not fail
	RetryInterval int64  `json:"retry_interval"`                  // from then to the next, in ms; 0 likewise
	Failure       *int64 `json:"failure_ts"`                      // since when it fails, null when it does not
	LastSuccess   *int64 `json:"last_successful_stream_ordering"` // the position up to which it has everything, null for none
}

const (
	// defaultLimit is Synapse's.
	defaultLimit = 100
	// portion is how many destinations are read in one job of the store.
	portion = 1000
)

// list is a page of destinations.
func (h *handler) list(r *http.Request) (any, error) {
	query := r.URL.Query()
	p, err := pageOf(query)
	if err != nil {
		return nil, err
	}
	compare, known := orders[cmp.Or(query.Get("order_by"), "destination")]
	if !known {
		return nil, invalid("Query parameter 'order_by' must be one of %s", strings.Join(orderNames(), ", "))
	}
	list, err := h.matching(r.Context(), strings.ToLower(query.Get("destination"))) // Synapse's wildcards, % and _, mean themselves
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b destination) int {
		order := compare(a, b)
		if p.backwards {
			order = -order
		}
		return cmp.Or(order, strings.Compare(a.Name, b.Name))
	})
	answer := struct {
		Destinations []destination `json:"destinations"`
		Total        int           `json:"total"`
		Next         string        `json:"next_token,omitempty"`
	}{Total: len(list), Next: p.next(len(list))}
	answer.Destinations = cut(p, list)
	return answer, nil
}

// matching reads the destinations whose names contain a text.
func (h *handler) matching(ctx context.Context, text string) (list []destination, err error) {
	for after, more := int64(0), true; more; {
		err := h.config.Store.View(ctx, func(tx *persistence.Tx) error {
			read, err := tx.NumberedDestinations(after, portion)
			more = len(read) == portion
			for _, d := range read {
				after = d.Number
				if strings.Contains(strings.ToLower(string(d.Server)), text) {
					list = append(list, inSynapsesShape(d.Destination))
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// inSynapsesShape tells of a destination what Synapse does.
func inSynapsesShape(d persistence.Destination) destination {
	shown := destination{Name: string(d.Server)}
	if d.LastSuccess > 0 {
		cursor := int64(d.Cursor)
		shown.LastSuccess = &cursor
	}
	if d.Failures > 0 {
		shown.RetryLast, shown.RetryInterval, shown.Failure = d.LastFailure, max(0, d.RetryAt-d.LastFailure), &d.FailingSince
	}
	return shown
}

// orders are what destinations can be sorted by.
var orders = map[string]func(a, b destination) int{
	"destination":    func(a, b destination) int { return strings.Compare(a.Name, b.Name) },
	"retry_last_ts":  func(a, b destination) int { return cmp.Compare(a.RetryLast, b.RetryLast) },
	"retry_interval": func(a, b destination) int { return cmp.Compare(a.RetryInterval, b.RetryInterval) },
	"failure_ts":     func(a, b destination) int { return compareNull(a.Failure, b.Failure) },
	"last_successful_stream_ordering": func(a, b destination) int {
		return compareNull(a.LastSuccess, b.LastSuccess)
	},
}

func orderNames() (names []string) {
	for name := range orders {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// compareNull puts null before everything, as SQLite does.
func compareNull(a, b *int64) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return cmp.Compare(*a, *b)
}

// show is one destination.
func (h *handler) show(r *http.Request) (any, error) {
	var shown destination
	err := h.of(r, func(_ *persistence.Tx, d persistence.Destination) error {
		shown = inSynapsesShape(d)
		return nil
	})
	return shown, err
}

// of looks at the destination that the path names.
func (h *handler) of(r *http.Request, look func(*persistence.Tx, persistence.Destination) error) error {
	return h.config.Store.View(r.Context(), func(tx *persistence.Tx) error {
		d, found, err := tx.Destination(ident.ServerName(r.PathValue("destination"))) // what is no name is not found
		if err != nil {
			return err
		}
		if !found {
			return &refusal{http.StatusNotFound, "M_NOT_FOUND", "Unknown destination"}
		}
		return look(tx, d.Destination)
	})
}

// room is a room that a destination is in. Synapse gives the position of what was sent last for it; here it is that of the destination.
type room struct {
	ID       string `json:"room_id"`
	Position int64  `json:"stream_ordering"`
}

// rooms is a page of the rooms that we share with a destination.
func (h *handler) rooms(r *http.Request) (any, error) {
	p, err := pageOf(r.URL.Query())
	if err != nil {
		return nil, err
	}
	var list []room
	err = h.of(r, func(tx *persistence.Tx, d persistence.Destination) error {
		shared, err := tx.SharedRooms(d.Server)
		for _, s := range shared {
			list = append(list, room{string(s.ID), int64(d.Cursor)})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if p.backwards {
		slices.Reverse(list)
	}
	return struct {
		Rooms []room `json:"rooms"`
		Total int    `json:"total"`
		Next  string `json:"next_token,omitempty"`
	}{cut(p, list), len(list), p.next(len(list))}, nil
}

// reset has a destination that failed tried again now, as if it had not.
func (h *handler) reset(r *http.Request) (any, error) {
	var failing ident.ServerName
	err := h.of(r, func(_ *persistence.Tx, d persistence.Destination) error {
		if d.Failures == 0 {
			return &refusal{http.StatusBadRequest, "M_UNKNOWN", "The retry timing does not need to be reset for this destination."}
		}
		failing = d.Server
		return nil
	})
	if err != nil {
		return nil, err
	}
	_, err = h.config.Outbox.Reset(r.Context(), transaction.Names{failing: true}, 0)
	return struct{}{}, err
}

// page is which part of a list is wanted, in which direction.
type page struct {
	from, limit int
	backwards   bool
}

func pageOf(query url.Values) (p page, err error) {
	if p.from, err = natural(query, "from", 0); err != nil {
		return p, err
	}
	if p.limit, err = natural(query, "limit", defaultLimit); err != nil {
		return p, err
	}
	switch query.Get("dir") {
	case "", "f":
	case "b":
		p.backwards = true
	default:
		return p, invalid("Query parameter 'dir' must be one of ['b', 'f']")
	}
	return p, nil
}

func natural(query url.Values, name string, otherwise int) (int, error) {
	text := query.Get(name)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	switch {
	case err != nil:
		return 0, invalid("Query parameter %s must be an integer", name)
	case n < 0:
		return 0, invalid("Query parameter %s must be a positive integer.", name)
	}
	return int(n), nil
}

// next is the token of the page after this one, "" for none.
func (p page) next(total int) string {
	if p.from+p.limit >= total {
		return ""
	}
	return strconv.Itoa(p.from + p.limit)
}

// cut is the page's part of a list, never nil: null is not an empty list.
func cut[T any](p page, list []T) []T {
	start := min(p.from, len(list))
	return append([]T{}, list[start:min(start+p.limit, len(list))]...)
}
