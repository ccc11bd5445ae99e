// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"errors"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

var (
	// ErrNotFound: what was asked for is not in the store.
	ErrNotFound = errors.New("not found")
	// ErrQuery: the question makes no sense as it was put; the text of the error that wraps it says what would.
	ErrQuery = errors.New("bad query")
)

// badQuery is an ErrQuery that says only what is wrong.
type badQuery struct{ why error }

func (b badQuery) Error() string   { return b.why.Error() }
func (b badQuery) Unwrap() []error { return []error{ErrQuery, b.why} }

// Limits of one answer, so that a question costs a running server little. They are Strata's own.
const (
	// DefaultLimit is how many rows a list has when the query names no number.
	DefaultLimit = 50
	// MaxLimit is how many it has at most.
	MaxLimit = 10_000
	// page is how many rows one view reads.
	page = 200
)

// Inspector reads one store. It has no state of its own, and any goroutine may use it.
type Inspector struct {
	store *persistence.Store
}

// New looks into store, which stays the caller's to close.
func New(store *persistence.Store) *Inspector { return &Inspector{store: store} }

// ServerName is the server whose store it is.
func (i *Inspector) ServerName() string { return i.store.ServerName() }

func (i *Inspector) view(ctx context.Context, f func(*persistence.Tx) error) error {
	return i.store.View(ctx, f)
}

// event reads one stored event.
func (i *Inspector) event(ctx context.Context, id ident.EventID) (stored persistence.Event, found bool, err error) {
	err = i.view(ctx, func(tx *persistence.Tx) error {
		stored, found, err = tx.Event(id)
		return err
	})
	return stored, found, err
}

// parse reads the event in a stored row.
func parse(stored persistence.Event) (*event.Event, error) {
	version, known := event.VersionOf(stored.RoomVersion)
	if !known {
		return nil, errors.New("room version " + stored.RoomVersion + " is not known")
	}
	return event.ParseStored(version, stored.ID, stored.JSON)
}

// nodes reads state trees, one node a view.
type nodes struct {
	ctx context.Context
	i   *Inspector
}

// Node implements state.Nodes.
func (n nodes) Node(hash state.Root) (state.Node, error) {
	var data []byte
	err := n.i.view(n.ctx, func(tx *persistence.Tx) error {
		var found bool
		var err error
		if data, found, err = tx.StateNode(hash[:]); err == nil && !found {
			err = persistence.ErrCorrupt
		}
		return err
	})
	if err != nil {
		return state.Node{}, err
	}
	return state.ReadNode(hash, data)
}

// clampLimit is how many rows a query gets.
func clampLimit(limit int) int {
	if limit <= 0 {
		return DefaultLimit
	}
	return min(limit, MaxLimit)
}
