// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// QueueDetail is a queue with what is in it.
type QueueDetail struct {
	Queue
	ByRoom  []QueueRoom  `json:"by_room"` // those with the most first; EDUs have no room
	Waiting []QueueItem  `json:"waiting"` // the oldest first, up to the limit of the question
	Refused []ParkedItem `json:"refused"` // parked items, likewise
	Tries   []Attempt    `json:"tries"`   // failures, the latest last, likewise
}

// QueueRoom is how much of a queue is of one room.
type QueueRoom struct {
	RoomID string `json:"room_id"`
	Items  int    `json:"items"`
	Oldest int64  `json:"oldest_ts"`
}

// QueueItem is one thing that waits.
type QueueItem struct {
	Position int64  `json:"position"`
	Kind     string `json:"kind"` // "pdu" or "edu"
	Type     string `json:"type,omitempty"`
	RoomID   string `json:"room_id,omitempty"`
	EventID  string `json:"event_id,omitempty"`
	Queued   int64  `json:"queued_ts"`
	// Frozen says that it is part of the transaction that was sent and not answered, or is about to be sent.
	Frozen bool `json:"frozen"`
	// Stands says that others of its room were forgotten, of which it is to lead the destination to the present.
	Stands bool `json:"stands_for_room,omitempty"`
}

// ParkedItem is something that the destination refused.
type ParkedItem struct {
	QueueItem
	Parked  int64           `json:"parked_ts"`
	NextTry int64           `json:"next_try_ts"`
	Tries   int             `json:"tries"` // since it was parked
	Class   string          `json:"class"`
	Status  int             `json:"status"`
	Message string          `json:"message,omitempty"` // what the destination said
	Content json.RawMessage `json:"content"`
}

// Queue shows what waits for one destination.
func (i *Inspector) Queue(ctx context.Context, f Filter) (QueueDetail, error) {
	name, err := ident.ParseServerName(f.Server)
	if err != nil {
		return QueueDetail{}, badQuery{err}
	}
	if _, err := f.check(queueStates); err != nil {
		return QueueDetail{}, err
	}
	b, err := i.backlog(ctx, transaction.Names{name: true})
	if err == nil && len(b.destinations) == 0 {
		err = fmt.Errorf("%w: nothing was ever queued for it", ErrNotFound)
	}
	if err != nil {
		return QueueDetail{}, fmt.Errorf("queue of %s: %w", name, err)
	}
	d := b.destinations[0]
	detail := QueueDetail{Queue: b.queue(d, f)}
	var items []persistence.LoggedItem
	b.waiting(d, func(item persistence.LoggedItem) {
		if f.selects(item.Outbound) {
			items = append(items, item)
		}
	})
	slices.SortFunc(items, func(a, b persistence.LoggedItem) int { return cmp.Compare(a.Position, b.Position) })
	detail.ByRoom = byRoom(items)
	err = i.view(ctx, func(tx *persistence.Tx) error { return detail.fill(tx, name, items, f) })
	if err != nil {
		return QueueDetail{}, fmt.Errorf("queue of %s: %w", name, err)
	}
	return detail, nil
}

func byRoom(items []persistence.LoggedItem) []QueueRoom {
	rooms, at := []QueueRoom{}, map[ident.RoomID]int{}
	for _, item := range items {
		if item.RoomID == "" {
			continue
		}
		n, known := at[item.RoomID]
		if !known {
			n = len(rooms)
			at[item.RoomID] = n
			rooms = append(rooms, QueueRoom{RoomID: string(item.RoomID), Oldest: item.QueuedAt})
		}
		rooms[n].Items++
	}
	slices.SortStableFunc(rooms, func(a, b QueueRoom) int { return cmp.Compare(b.Items, a.Items) })
	return rooms
}

// fill adds what has to be looked up one by one.
func (q *QueueDetail) fill(tx *persistence.Tx, name ident.ServerName, items []persistence.LoggedItem, f Filter) error {
	q.Waiting, q.Refused, q.Tries = []QueueItem{}, []ParkedItem{}, []Attempt{}
	limit := clampLimit(f.Limit)
	open, _, err := tx.OpenTransaction(name)
	if err != nil {
		return err
	}
	for _, item := range items[:min(len(items), limit)] {
		whole, _, err := tx.OutboundItem(item.Position)
		if err != nil {
			return err
		}
		shown := queueItem(item.Outbound, whole.Content)
		shown.Frozen = slices.Contains(open.Items, item.Position)
		q.Waiting = append(q.Waiting, shown)
	}
	parked, err := tx.ParkedItems(name, persistence.MaxParked)
	if err != nil {
		return err
	}
	for _, p := range parked {
		if f.selects(p.Outbound) && len(q.Refused) < limit {
			q.Refused = append(q.Refused, ParkedItem{
				QueueItem: queueItem(p.Outbound, p.Content), Parked: p.ParkedAt, NextTry: p.RetryAt, Tries: p.Tries, Class: p.Class,
				Status: p.Status, Message: p.Message, Content: validJSON(p.Content),
			})
		}
	}
	failed, err := tx.FailedAttempts(name)
	for _, a := range failed[max(0, len(failed)-limit):] {
		q.Tries = append(q.Tries, Attempt{a.Number, a.StartedAt, a.DurationUS, a.Class, a.Phase, a.Status, a.Message})
	}
	if n := len(q.Tries); n > 0 && q.Failures > 0 && q.Error == "" {
		q.Error = q.Tries[n-1].Message
	}
	return err
}

func queueItem(item persistence.Outbound, content []byte) QueueItem {
	shown := QueueItem{
		Position: int64(item.Position), Kind: "pdu", RoomID: string(item.RoomID), EventID: string(item.EventID), Queued: item.QueuedAt,
		Stands: item.Compacted,
	}
	var head struct {
		Type    string `json:"type"`
		EDUType string `json:"edu_type"`
	}
	_ = json.Unmarshal(content, &head) // we wrote it, or it was checked when it came
	if shown.Type = head.Type; item.Kind == persistence.KindEDU {
		shown.Kind, shown.Type = "edu", head.EDUType
	}
	return shown
}

// QueueHistory lists what was sent and is over, newest first. What ended lately may have begun long ago, so that all that is kept is
// looked at where the filter lets little through.
func (i *Inspector) QueueHistory(ctx context.Context, f Filter) ([]Transaction, error) {
	pattern, err := f.check([]string{Answered, Withdrawn})
	if err != nil {
		return nil, err
	}
	list := []Transaction{}
	sent := &pages{read: i.sentPage(ctx, "")}
	for len(list) < clampLimit(f.Limit) {
		t, found, err := sent.peek()
		if err != nil {
			return nil, fmt.Errorf("queue history: %w", err)
		}
		if !found {
			break
		}
		sent.pop()
		if t.Ended == 0 || !f.within(t.Ended) || !pattern.Matches(ident.ServerName(t.Peer)) ||
			f.State != "" && t.State != f.State || f.Class != "" && t.Class != f.Class {
			continue
		}
		if f.RoomID != "" {
			in, err := i.holdsRoom(ctx, t, f.RoomID)
			if err != nil {
				return nil, fmt.Errorf("queue history: %w", err)
			}
			if !in {
				continue
			}
		}
		list = append(list, t)
	}
	return list, nil
}

// holdsRoom tells whether a PDU of a transaction is of a room.
func (i *Inspector) holdsRoom(ctx context.Context, t Transaction, room string) (in bool, err error) {
	detail, err := i.Transaction(ctx, TransactionRef{ID: t.ID, Peer: t.Peer, Direction: t.Direction})
	in = slices.ContainsFunc(detail.Results, func(r PDUResult) bool { return r.RoomID == room })
	return in, err
}
