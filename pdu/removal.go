// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Who is removed from a room while it lacks events will not be given them: the others refuse all that they are asked for by a server
// that is not in the room (P-89), so that the removal would wait for ever, and our users would speak to nobody. It is believed if the
// server whose user made it refuses us too, and the room as we know it allows it: then the room is left. The event still waits, since
// the state before it is not known: what it makes of the room is found out should we join again.

// isRefusal says whether an answer is that of a server which gives us nothing of a room.
func isRefusal(err error) bool {
	var failure *transport.Failure
	return errors.As(err, &failure) && failure.Status == http.StatusForbidden
}

// believeRemoval looks for removals of our users among the quarantined events of servers that refused us.
func (s *search) believeRemoval(ctx context.Context) error {
	if len(s.refused) == 0 {
		return nil
	}
	var list []persistence.Staging
	err := s.e.store.View(ctx, func(tx *persistence.Tx) (err error) {
		list, err = tx.QuarantineOf(s.head.nid, maxQuarantined)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for our removal: %w", err)
	}
	list = slices.DeleteFunc(list, func(w persistence.Staging) bool { return !s.refused[w.Origin] })
	ids := make([]ident.EventID, 0, len(list))
	for _, w := range list[:min(len(list), maxRemovals)] {
		ids = append(ids, w.ID)
	}
	records, err := s.e.records(ctx, ids)
	if err != nil {
		return fmt.Errorf("look for our removal: %w", err)
	}
	ids = slices.DeleteFunc(ids, func(id ident.EventID) bool { return !s.removesUs(records[id]) })
	if len(ids) == 0 {
		return nil
	}
	err = s.e.do(ctx, s.head.id, true, func(b *batch) error { return b.leaveRemoved(ids) })
	if err != nil {
		s.problem = err
		return s.ownFailure(err)
	}
	return nil
}

// removesUs says whether a server that refused us put out a user of ours.
func (s *search) removesUs(r *record) bool {
	if r == nil || !s.refused[r.event.Sender().Server()] {
		return false
	}
	m, is := r.event.Membership()
	user, _ := r.event.StateKey()
	return is && (m.Membership == "leave" || m.Membership == "ban") && ident.UserID(user).Server() == s.e.self
}

// leaveRemoved leaves the room if the current state allows one of the events that remove us.
func (b *batch) leaveRemoved(ids []ident.EventID) error {
	if b.mustBeJoined() != nil {
		return nil
	}
	for _, id := range ids {
		r, err := b.stored(id)
		if err != nil {
			return err
		}
		_, staged, err := b.stagingOf(r)
		if err != nil {
			return err
		}
		missing, _, err := b.missing(r, true)
		if err != nil {
			return err
		}
		if r.inGraph || !staged || len(missing) > 0 {
			continue
		}
		result, err := b.checkAt(r.event, b.head.current)
		if err != nil {
			return err
		}
		if !result.OK {
			continue
		}
		b.head.membership = Left
		return nil
	}
	return nil
}
