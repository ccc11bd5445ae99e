// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// The directions of a transaction.
const (
	In  = "in"
	Out = "out"
)

// The states of a transaction.
const (
	Answered = "answered" // its reply is kept
	Pending  = "pending"  // outbound, frozen, no answer yet
	// Withdrawn: outbound, refused for what is in it or dropped by an operator. Others carry what was in it, but for what was
	// dropped or parked.
	Withdrawn = "withdrawn"
)

// TransactionQuery selects transactions. The zero value is the latest ones.
type TransactionQuery struct {
	Peer      string `json:"peer,omitempty"`  // server name, or a pattern with * and ?; "" for all
	Direction string `json:"dir,omitempty"`   // In, Out or "" for both
	Since     int64  `json:"since,omitempty"` // ms; none that began before
	Until     int64  `json:"until,omitempty"` // ms; none that began after, 0 for no end
	Class     string `json:"class,omitempty"` // of the last attempt
	State     string `json:"state,omitempty"`
	RoomID    string `json:"room_id,omitempty"` // only those with an event of it
	Before    int64  `json:"before,omitempty"`  // position; to go on where a list ended
	Limit     int    `json:"limit,omitempty"`   // 0 for DefaultLimit
}

// Transaction is one transaction of either direction.
type Transaction struct {
	Position  int64  `json:"position"`
	Direction string `json:"dir"`
	Peer      string `json:"peer"`
	ID        string `json:"txn_id"`
	Began     int64  `json:"ts"` // when it arrived, or when its contents were frozen
	PDUs      int    `json:"pdus"`
	EDUs      int    `json:"edus"`
	State     string `json:"state"`
	// Failed is how many PDUs the receiver answered with an error. Of outbound ones only the full view tells.
	Failed   int `json:"failed"`
	Attempts int `json:"attempts"`
	// Class is "ok" or the failure class of the last attempt, "" before the first.
	Class  string `json:"class"`
	Status int    `json:"status"` // HTTP status of the last attempt, 0 for none
	// Duration is that of the last attempt, or of the work on an inbound one up to its reply.
	Duration int64  `json:"duration_us"`
	Ended    int64  `json:"ended_ts,omitempty"`
	Error    string `json:"error,omitempty"` // what the peer or the network said at the last attempt
}

// clockSkew is how much the order of positions and that of beginnings can differ: an inbound transaction gets its position
// at its end, and its work is bounded by 2 minutes.
const clockSkew = 5 * time.Minute

// Transactions lists transactions, newest first.
func (i *Inspector) Transactions(ctx context.Context, q TransactionQuery) ([]Transaction, error) {
	if q.Direction != "" && q.Direction != In && q.Direction != Out {
		return nil, badQuery{fmt.Errorf("direction %q is neither %s nor %s", q.Direction, In, Out)}
	}
	if q.Until != 0 && q.Until < q.Since {
		return nil, badQuery{errors.New("the time asked for ends before it begins")}
	}
	pattern, err := Filter{Server: q.Peer, State: q.State, RoomID: q.RoomID}.check([]string{Answered, Pending, Withdrawn})
	if err != nil {
		return nil, err
	}
	peer := q.Peer
	if isPattern(peer) {
		peer = ""
	}
	sent := &pages{next: q.Before, ended: q.Direction == In, read: i.sentPage(ctx, peer)}
	received := &pages{next: q.Before, ended: q.Direction == Out, read: i.receivedPage(ctx, peer)}
	list := []Transaction{}
	for len(list) < clampLimit(q.Limit) {
		t, found, err := newest(sent, received)
		if err != nil {
			return nil, fmt.Errorf("list transactions: %w", err)
		}
		if !found || t.Began < q.Since-clockSkew.Milliseconds() {
			break
		}
		if t.Began < q.Since || q.Until != 0 && t.Began > q.Until || !pattern.Matches(ident.ServerName(t.Peer)) ||
			q.Class != "" && t.Class != q.Class || q.State != "" && t.State != q.State {
			continue
		}
		in := true
		if q.RoomID != "" {
			if in, err = i.holdsRoom(ctx, t, q.RoomID); err != nil {
				return nil, fmt.Errorf("list transactions: %w", err)
			}
		}
		if in {
			list = append(list, t)
		}
	}
	return list, nil
}

// pages is a list of one direction that is read as it is used up.
type pages struct {
	read  func(before int64) ([]Transaction, error)
	next  int64 // before which position the next page ends
	ended bool
	rows  []Transaction
}

func (p *pages) peek() (t Transaction, found bool, err error) {
	if len(p.rows) == 0 && !p.ended {
		if p.rows, err = p.read(p.next); err != nil {
			return t, false, err
		}
		p.ended = len(p.rows) < page
	}
	if len(p.rows) == 0 {
		return t, false, nil
	}
	return p.rows[0], true, nil
}

func (p *pages) pop() {
	p.next = p.rows[0].Position
	p.rows = p.rows[1:]
}

// newest takes the newer head of two lists.
func newest(a, b *pages) (Transaction, bool, error) {
	first, inA, err := a.peek()
	if err != nil {
		return first, false, err
	}
	second, inB, err := b.peek()
	switch {
	case err != nil || !inA && !inB:
		return second, false, err
	case inA && (!inB || first.Position > second.Position):
		a.pop()
		return first, true, nil
	}
	b.pop()
	return second, true, nil
}

func (i *Inspector) sentPage(ctx context.Context, peer string) func(int64) ([]Transaction, error) {
	return func(before int64) (list []Transaction, err error) {
		err = i.view(ctx, func(tx *persistence.Tx) error {
			rows, err := tx.SentTransactions(ident.ServerName(peer), persistence.Position(before), page)
			for _, row := range rows {
				list = append(list, sentTransaction(row))
			}
			return err
		})
		return list, err
	}
}

func (i *Inspector) receivedPage(ctx context.Context, peer string) func(int64) ([]Transaction, error) {
	return func(before int64) (list []Transaction, err error) {
		err = i.view(ctx, func(tx *persistence.Tx) error {
			rows, err := tx.ReceivedTransactions(ident.ServerName(peer), persistence.Position(before), page)
			for _, row := range rows {
				list = append(list, receivedTransaction(row))
			}
			return err
		})
		return list, err
	}
}

func sentTransaction(row persistence.SentTransaction) Transaction {
	t := Transaction{
		Position: int64(row.Position), Direction: Out, Peer: string(row.Destination), ID: row.TxnID, Began: row.FrozenAt,
		PDUs: row.PDUs, EDUs: row.EDUs, State: Pending, Attempts: row.Attempts, Class: row.Last.Class, Status: row.Last.Status,
		Duration: row.Last.DurationUS, Ended: row.EndedAt, Error: row.Last.Message,
	}
	switch {
	case row.Withdrawn:
		t.State = Withdrawn
	case row.EndedAt != 0:
		t.State = Answered
	}
	return t
}

func receivedTransaction(row persistence.ReceivedTransaction) Transaction {
	return Transaction{
		Position: int64(row.Position), Direction: In, Peer: string(row.Origin), ID: row.TxnID, Began: row.ReceivedAt,
		PDUs: row.PDUs, EDUs: row.EDUs, State: Answered, Failed: row.Failed, Attempts: 1, Class: "ok", Status: 200,
		Duration: row.DurationUS, Ended: row.ReceivedAt + row.DurationUS/1000,
	}
}

// replyResults reads the reply to a transaction: for each PDU why it was refused, "" when it was not (T-04).
func replyResults(reply []byte) map[string]string {
	var parsed struct {
		PDUs map[string]json.RawMessage `json:"pdus"`
	}
	if json.Unmarshal(reply, &parsed) != nil {
		return nil
	}
	results := make(map[string]string, len(parsed.PDUs))
	for id, raw := range parsed.PDUs {
		var result struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(raw, &result) != nil {
			result.Error = "the result of this PDU cannot be read"
		}
		results[id] = result.Error
	}
	return results
}
