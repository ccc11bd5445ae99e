// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// What a peer's timeline is made of.
const (
	DidSend    = "sent"     // a transaction of ours was answered
	DidFail    = "failed"   // an attempt failed
	DidReceive = "received" // a transaction of theirs
	DidPark    = "parked"   // something that they refused was set aside
	DidRefuse  = "refused"  // we refused an event of theirs
	DidHold    = "held"     // a rule that holds them was made
)

// PeerMoment is one thing that happened between us and another server.
type PeerMoment struct {
	At      int64  `json:"ts"`
	Kind    string `json:"kind"`
	TxnID   string `json:"txn_id,omitempty"`
	EventID string `json:"event_id,omitempty"`
	RoomID  string `json:"room_id,omitempty"`
	PDUs    int    `json:"pdus,omitempty"`
	EDUs    int    `json:"edus,omitempty"`
	Took    int64  `json:"duration_us,omitempty"`
	Class   string `json:"class,omitempty"`
	Status  int    `json:"status,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// PeerTimeline lists what happened between us and a server, oldest first: the latest that a filter selects. Of a room there are only
// events that were refused, by them or by us.
func (i *Inspector) PeerTimeline(ctx context.Context, f Filter) ([]PeerMoment, error) {
	name, err := f.peer()
	if err != nil {
		return nil, err
	}
	t := &peerTimeline{filter: f, moments: []PeerMoment{}}
	if f.RoomID == "" {
		if err := t.addTransactions(ctx, i, name); err != nil {
			return nil, fmt.Errorf("timeline of %s: %w", name, err)
		}
	}
	if err := i.view(ctx, func(tx *persistence.Tx) error { return t.addRecords(tx, name) }); err != nil {
		return nil, fmt.Errorf("timeline of %s: %w", name, err)
	}
	err = i.eachVerdictOf(ctx, name, f, func(row persistence.Verdict) {
		m := PeerMoment{At: max(row.JudgedAt, row.ReceivedAt), Kind: DidRefuse, TxnID: row.Txn, EventID: string(row.Event), RoomID: string(row.Room)}
		if v, err := pdu.VerdictOf(row); err == nil {
			m.Class = v.Outcome.String()
			m.Detail = v.Decisive().Rule + " " + v.Decisive().Detail
		}
		t.add(m)
	})
	if err != nil {
		return nil, fmt.Errorf("timeline of %s: %w", name, err)
	}
	slices.SortStableFunc(t.moments, func(a, b PeerMoment) int { return cmp.Compare(a.At, b.At) })
	return t.moments[max(0, len(t.moments)-clampLimit(f.Limit)):], nil
}

type peerTimeline struct {
	filter  Filter
	moments []PeerMoment
}

func (t *peerTimeline) add(m PeerMoment) {
	if t.filter.within(m.At) && (t.filter.Class == "" || t.filter.Class == m.Class) {
		t.moments = append(t.moments, m)
	}
}

// addTransactions adds what was answered, in either direction: as many as are asked for of each.
func (t *peerTimeline) addTransactions(ctx context.Context, i *Inspector, name ident.ServerName) error {
	limit := clampLimit(t.filter.Limit)
	err := i.eachSentTo(ctx, name, func(s persistence.SentTransaction) bool {
		if s.Last.Class == persistence.ClassOK {
			t.add(PeerMoment{At: s.EndedAt, Kind: DidSend, TxnID: s.TxnID, PDUs: s.PDUs, EDUs: s.EDUs, Took: s.Last.DurationUS, Class: s.Last.Class, Status: s.Last.Status})
		}
		return len(t.moments) < limit
	})
	if err != nil {
		return err
	}
	received := &pages{read: i.receivedPage(ctx, string(name))}
	for enough := len(t.moments) + limit; len(t.moments) < enough; {
		r, found, err := received.peek()
		if err != nil || !found || r.Began < t.filter.Since {
			return err
		}
		received.pop()
		m := PeerMoment{At: r.Began, Kind: DidReceive, TxnID: r.ID, PDUs: r.PDUs, EDUs: r.EDUs, Took: r.Duration, Class: r.Class, Status: r.Status}
		if r.Failed > 0 {
			m.Detail = fmt.Sprintf("%d PDUs were refused at once", r.Failed)
		}
		t.add(m)
	}
	return nil
}

// addRecords adds failures, what is parked and rules.
func (t *peerTimeline) addRecords(tx *persistence.Tx, name ident.ServerName) error {
	parked, err := tx.ParkedItems(name, persistence.MaxParked)
	if err != nil {
		return err
	}
	for _, p := range parked {
		if t.filter.RoomID == "" || t.filter.RoomID == string(p.RoomID) {
			t.add(PeerMoment{At: p.ParkedAt, Kind: DidPark, EventID: string(p.EventID), RoomID: string(p.RoomID), Class: p.Class, Status: p.Status, Detail: p.Message})
		}
	}
	if t.filter.RoomID != "" {
		return nil
	}
	failed, err := tx.FailedAttempts(name)
	if err != nil {
		return err
	}
	for _, a := range failed {
		t.add(PeerMoment{At: a.StartedAt, Kind: DidFail, Took: a.DurationUS, Class: a.Class, Status: a.Status, Detail: a.Message})
	}
	b := &backlog{}
	if b.holds, err = tx.Holds(); err != nil {
		return err
	}
	if rule := b.hold(name); rule != nil {
		t.add(PeerMoment{At: rule.Since, Kind: DidHold, Detail: rule.Pattern + " " + rule.Reason})
	}
	return nil
}
