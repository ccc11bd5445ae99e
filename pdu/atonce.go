// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// What a transaction brings is judged before it is stored where that can be done at once: in rooms that nobody works on, when all
// that is new there rests on what is known. Then the job that keeps the reply stores what became of it too. Whatever else there is
// gets staged by that job, and judged in its room's turn.

// keep makes what was taken in durable, in one job with what reply stores. Should that fail with events that were judged, all are
// staged: one that cannot be stored must not be in the way of the others, and in its room's turn it is found out which it is.
func (i *intake) keep(ctx context.Context, reply func(*persistence.Tx) error) error {
	fresh := i.freshByRoom()
	taken := i.e.takeIdle(slices.Sorted(maps.Keys(fresh)))
	defer i.e.giveBack(taken)
	var batches []*batch
	i.judged = map[ident.RoomID]bool{}
	for _, id := range taken {
		if b, ok := i.judgeAtOnce(id, fresh[id]); ok {
			batches = append(batches, b)
			i.judged[id] = true
		}
	}
	store := func(tx *persistence.Tx) error {
		if err := i.stage(tx); err != nil {
			return err
		}
		return reply(tx)
	}
	if len(batches) == 0 {
		return i.e.store.Update(ctx, store)
	}
	// What took its time to judge is stored all the same: the sender would only have it judged again.
	if err := i.e.commit(i.e.stopped, batches, store); err == nil {
		return nil
	}
	i.judged = nil
	return i.e.store.Update(i.e.stopped, store)
}

// freshByRoom is what is to be judged.
func (i *intake) freshByRoom() map[ident.RoomID][]*incoming {
	fresh := map[ident.RoomID][]*incoming{}
	for _, in := range i.arrived {
		if !in.bad && !in.skip {
			fresh[in.room.id] = append(fresh[in.room.id], in)
		}
	}
	return fresh
}

// judgeAtOnce judges events of a room whose turn the caller has. ok is false when they are to be staged: they wait for something,
// there is more than one copy of an event, or it has to be looked anew which of them are stored, because the room is not as it was when
// that was done last.
func (i *intake) judgeAtOnce(id ident.RoomID, fresh []*incoming) (b *batch, ok bool) {
	b, err := i.e.newBatch(i.e.stopped, id)
	if err != nil || b.head.membership != Joined {
		return nil, false
	}
	staged := make([]persistence.Staging, 0, len(fresh))
	for _, in := range fresh {
		if _, copied := b.loaded[in.event.ID()]; copied || in.nid != 0 || in.room != b.was {
			return nil, false
		}
		r := &record{room: in.room.nid, event: in.event, redacted: in.event.HashMismatch()}
		b.loaded[in.event.ID()] = r
		staged = append(staged, i.staging(r))
	}
	if err := b.judgeAll(staged, i.waiting[b.head.nid]); err != nil {
		return nil, false
	}
	return b, len(b.waits)+len(b.unsigned) == 0
}
