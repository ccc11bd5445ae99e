// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// TransactionRef names one transaction. Ids are chosen by the sender, so that two servers may use the same one: then Peer or
// Direction tells which is meant.
type TransactionRef struct {
	ID        string `json:"txn_id"`
	Peer      string `json:"peer,omitempty"`
	Direction string `json:"dir,omitempty"`
}

// TransactionDetail is everything that is kept of a transaction.
type TransactionDetail struct {
	Transaction
	// Tries are the attempts to deliver it, oldest first: failures while they are among the persistence.KeptFailures
	// latest of the peer, and the success. Outbound only.
	Tries []Attempt `json:"tries"`
	// Results are its PDUs: of an outbound one in the order of sending, of an inbound one those that the reply names, by id.
	Results []PDUResult `json:"results"`
	// Body is what was sent; that of an inbound transaction is not kept, its events are.
	Body  json.RawMessage `json:"body,omitempty"`
	Reply json.RawMessage `json:"reply,omitempty"`

	sent persistence.SentTransaction // of an outbound one
}

// Attempt is one try to deliver a transaction.
type Attempt struct {
	Number   int    `json:"number"`
	Began    int64  `json:"ts"`
	Duration int64  `json:"duration_us"`
	Class    string `json:"class"`           // "ok" or the failure class
	Phase    string `json:"phase,omitempty"` // how far the request had come when it failed, where that is known
	Status   int    `json:"status"`
	Message  string `json:"message,omitempty"`
}

// PDUResult is what became of one PDU of a transaction.
type PDUResult struct {
	EventID string `json:"event_id"` // "" when it cannot be told, as of an event in a room version that is not known here
	RoomID  string `json:"room_id,omitempty"`
	Type    string `json:"type,omitempty"`
	// Error is what the receiver said in its reply, "" for nothing: then it has taken the event in.
	Error string `json:"error,omitempty"`
	// Outcome is our own verdict, "" when the event is not stored here.
	Outcome string `json:"outcome,omitempty"`
}

// Transaction gives one transaction in full.
func (i *Inspector) Transaction(ctx context.Context, ref TransactionRef) (TransactionDetail, error) {
	var found []TransactionDetail
	err := i.view(ctx, func(tx *persistence.Tx) (err error) {
		found, err = candidates(tx, ref)
		return err
	})
	if err != nil {
		return TransactionDetail{}, fmt.Errorf("transaction %s: %w", ref.ID, err)
	}
	switch len(found) {
	case 0:
		return TransactionDetail{}, fmt.Errorf("transaction %s: %w", ref.ID, ErrNotFound)
	case 1:
		return i.complete(ctx, found[0])
	}
	return TransactionDetail{}, badQuery{fmt.Errorf("%d transactions have the id %s (%s): name one by its peer and direction",
		len(found), ref.ID, describe(found))}
}

// describe tells candidates apart.
func describe(found []TransactionDetail) string {
	const enough = 5
	var names []string
	for _, t := range found[:min(len(found), enough)] {
		names = append(names, t.Direction+" "+t.Peer)
	}
	return strings.Join(names, ", ")
}

// candidates are the transactions that fit a reference.
func candidates(tx *persistence.Tx, ref TransactionRef) (found []TransactionDetail, err error) {
	fits := func(t Transaction) bool {
		return (ref.Peer == "" || t.Peer == ref.Peer) && (ref.Direction == "" || t.Direction == ref.Direction)
	}
	sent, err := tx.SentTransactionsByID(ref.ID)
	if err != nil {
		return nil, err
	}
	for _, row := range sent {
		if t := sentTransaction(row); fits(t) {
			found = append(found, TransactionDetail{Transaction: t, Body: validJSON(row.Body), Reply: validJSON(row.Reply), sent: row})
		}
	}
	received, err := tx.ReceivedTransactionsByID(ref.ID)
	if err != nil {
		return nil, err
	}
	for _, row := range received {
		if t := receivedTransaction(row); fits(t) {
			found = append(found, TransactionDetail{Transaction: t, Reply: validJSON(row.Reply)})
		}
	}
	return found, nil
}

// validJSON keeps a reply that is not JSON from spoiling the whole answer.
func validJSON(raw []byte) json.RawMessage {
	if len(raw) == 0 || json.Valid(raw) {
		return raw
	}
	quoted, _ := json.Marshal(string(raw)) // a string always has a JSON form
	return quoted
}

// complete adds attempts and results.
func (i *Inspector) complete(ctx context.Context, t TransactionDetail) (TransactionDetail, error) {
	t.Tries, t.Results = []Attempt{}, []PDUResult{}
	err := i.view(ctx, func(tx *persistence.Tx) error {
		if t.Direction == Out {
			rows, err := tx.Attempts(t.sent)
			if err != nil {
				return err
			}
			for _, a := range rows {
				t.Tries = append(t.Tries, Attempt{a.Number, a.StartedAt, a.DurationUS, a.Class, a.Phase, a.Status, a.Message})
			}
		}
		return t.addResults(tx)
	})
	if err != nil {
		return TransactionDetail{}, fmt.Errorf("transaction %s: %w", t.ID, err)
	}
	return t, nil
}

// addResults names the PDUs: from the body where there is one, else from the reply.
func (t *TransactionDetail) addResults(tx *persistence.Tx) error {
	replied := replyResults(t.Reply)
	t.Failed = 0
	for _, why := range replied {
		if why != "" {
			t.Failed++
		}
	}
	if t.Direction == Out {
		var body struct {
			PDUs []json.RawMessage `json:"pdus"`
		}
		_ = json.Unmarshal(t.Body, &body) // we wrote it; of anything else there is nothing to list
		for _, raw := range body.PDUs {
			r, err := sentPDU(tx, raw)
			if err != nil {
				return err
			}
			r.Error = replied[r.EventID]
			t.Results = append(t.Results, r)
		}
	} else {
		for _, id := range slices.Sorted(maps.Keys(replied)) {
			t.Results = append(t.Results, PDUResult{EventID: id, Error: replied[id]})
		}
	}
	for n := range t.Results {
		if err := t.Results[n].addOurs(tx); err != nil {
			return err
		}
	}
	return nil
}

// sentPDU reads as much of a PDU of ours as is needed to name it.
func sentPDU(tx *persistence.Tx, raw []byte) (PDUResult, error) {
	var head struct {
		RoomID  string `json:"room_id"`
		Type    string `json:"type"`
		EventID string `json:"event_id"` // room versions 1 and 2
	}
	if json.Unmarshal(raw, &head) != nil {
		return PDUResult{}, nil
	}
	r := PDUResult{EventID: head.EventID, RoomID: head.RoomID, Type: head.Type}
	room, found, err := tx.Room(ident.RoomID(head.RoomID))
	if err != nil || !found {
		return r, err
	}
	if version, known := event.VersionOf(room.Version); known {
		if e, err := event.Parse(version, raw); err == nil {
			r.EventID = string(e.ID())
		}
	}
	return r, nil
}

// addOurs adds what is known of the event here.
func (r *PDUResult) addOurs(tx *persistence.Tx) error {
	stored, found, err := tx.Event(ident.EventID(r.EventID))
	if err != nil {
		return err
	}
	if found {
		r.RoomID = string(stored.Room)
		r.Outcome = pdu.Outcome(stored.Outcome).String()
		if e, err := parse(stored); err == nil {
			r.Type = e.Type()
		}
	}
	if found && stored.Outcome != persistence.OutcomeStaged {
		return nil
	}
	verdict, found, err := tx.Verdict(ident.EventID(r.EventID))
	if found {
		r.Outcome = pdu.Outcome(verdict.Outcome).String()
	}
	return err
}
