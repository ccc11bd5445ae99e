// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// A gap is an event that one in the graph references and that is not in it: what is before it is not here. When it arrives it is
// no extremity. Servers can make as many gaps as they like, so they are never read all: a room knows whether it has any, and those
// of the events that a turn judges are looked up together.

// openGaps notes which parents of an event that stands on a given state are not in the graph.
func (b *batch) openGaps(first *event.Event) error {
	for _, id := range first.PrevEvents() {
		r, err := b.record(id)
		if err != nil {
			return err
		}
		if r == nil || !r.inGraph {
			b.head.gapped, b.gapAt[id] = true, true
			b.opened = append(b.opened, persistence.Gap{Event: id, Depth: first.Depth(), Server: first.Sender().Server()})
		}
	}
	return nil
}

// loadGaps looks up which of the events are gaps.
func (b *batch) loadGaps(ids []ident.EventID) error {
	if !b.head.gapped {
		return nil
	}
	unknown := slices.DeleteFunc(slices.Clone(ids), func(id ident.EventID) bool { _, ok := b.gapAt[id]; return ok })
	found, err := b.e.gapsAmong(b.ctx, b.head.nid, unknown)
	for _, id := range unknown {
		b.gapAt[id] = found[id]
	}
	return err
}

func (b *batch) isGap(id ident.EventID) (bool, error) {
	err := b.loadGaps([]ident.EventID{id})
	return b.gapAt[id], err
}

// closeGap says whether an event that gets its place in the graph was a gap, and closes it.
func (b *batch) closeGap(id ident.EventID) (closed bool, err error) {
	if closed, err = b.isGap(id); closed {
		b.gapAt[id] = false
		b.closed = append(b.closed, id)
	}
	return closed, err
}

// gapsAmong is those of the events that are gaps of a room.
func (e *Engine) gapsAmong(ctx context.Context, room int64, ids []ident.EventID) (found map[ident.EventID]bool, err error) {
	found = map[ident.EventID]bool{}
	for chunk := range slices.Chunk(ids, loadChunk) {
		err := e.store.View(ctx, func(tx *persistence.Tx) error {
			for _, id := range chunk {
				is, err := tx.IsGap(room, id)
				if err != nil {
					return err
				}
				found[id] = is
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("look for gaps: %w", err)
		}
	}
	return found, nil
}
