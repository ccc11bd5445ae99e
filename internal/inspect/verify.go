// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// The results of a finding.
const (
	FoundGood    = "ok"
	FoundBad     = "bad"
	FoundUnknown = "unknown" // it cannot be told from what is there
)

// Verification is what can be proved of a transaction from its record alone.
type Verification struct {
	ID        string    `json:"txn_id"`
	Peer      string    `json:"peer"`
	Direction string    `json:"dir"`
	OK        bool      `json:"ok"` // nothing is bad
	Findings  []Finding `json:"findings"`
}

// Finding is one thing that was checked.
type Finding struct {
	Subject string `json:"subject"` // "transaction", or an event id
	Check   string `json:"check"`
	Result  string `json:"result"`
	Detail  string `json:"detail,omitempty"`
}

// Verify checks what a transaction is made of: of an outbound one that its body is that which its id was made of, since what was once
// sent must never change (T-02); of each event its id, its content hash and its signatures (P-12, P-15, P-17).
func (file TransactionFile) Verify(ctx context.Context) Verification {
	t := file.Transaction
	v := Verification{ID: t.ID, Peer: t.Peer, Direction: t.Direction, Findings: []Finding{}}
	if t.Direction == Out {
		v.body(file)
	}
	var documents []persistence.KeyDocument
	for _, k := range file.Keys {
		documents = append(documents, persistence.KeyDocument{Server: ident.ServerName(k.Server), FetchedAt: k.Fetched, Document: k.Document})
	}
	archive := keys.NewArchive(documents)
	sent := sentPDUs(t.Body) // what went out counts, not the copies of it
	for n, e := range file.Events {
		if n < len(sent) {
			e.PDU = sent[n]
		}
		v.event(ctx, e, archive)
	}
	v.OK = true
	for _, f := range v.Findings {
		v.OK = v.OK && f.Result != FoundBad
	}
	return v
}

func (v *Verification) add(subject, check, result, detail string) {
	v.Findings = append(v.Findings, Finding{subject, check, result, detail})
}

func (v *Verification) body(file TransactionFile) {
	const subject = "transaction"
	t := file.Transaction
	if canonical, err := canonicaljson.Canonicalize(t.Body, canonicaljson.Lenient); err != nil || !bytes.Equal(canonical, t.Body) {
		v.add(subject, "body", FoundBad, "it is not canonical JSON, as all that we send is")
	}
	id := transaction.TransactionID(ident.ServerName(t.Peer), persistence.Position(file.Through), t.Began, t.Body)
	if id == t.ID {
		v.add(subject, "id", FoundGood, "the body is the one that was frozen")
	} else {
		v.add(subject, "id", FoundBad, fmt.Sprintf("the body has the id %s: it is not the one that was frozen", id))
	}
	if n := len(sentPDUs(t.Body)); n != t.PDUs {
		v.add(subject, "contents", FoundBad, fmt.Sprintf("the body has %d PDUs, the record says %d", n, t.PDUs))
	}
}

func (v *Verification) event(ctx context.Context, e FileEvent, source event.KeySource) {
	subject := orUnknown(e.EventID)
	parsed, err := e.parse()
	var malformed *event.FormatError
	switch {
	case errors.As(err, &malformed):
		v.add(subject, "format", FoundBad, err.Error())
		return
	case err != nil:
		v.add(subject, "format", FoundUnknown, err.Error())
		return
	}
	switch {
	case string(parsed.ID()) == e.EventID:
		v.add(subject, "id", FoundGood, "")
	default:
		v.add(subject, "id", FoundBad, fmt.Sprintf("what is there is the event %s", parsed.ID()))
	}
	switch {
	case !parsed.HashMismatch():
		v.add(subject, "content hash", FoundGood, "")
	case e.Redacted:
		v.add(subject, "content hash", FoundUnknown, "it was redacted: its content is gone")
	default:
		v.add(subject, "content hash", FoundBad, "the content is not what was hashed")
	}
	switch fault := event.VerifySignatures(ctx, []*event.Event{parsed}, source)[0]; {
	case fault == nil:
		v.add(subject, "signatures", FoundGood, "")
	case errors.Is(fault, event.ErrNoKey):
		v.add(subject, "signatures", FoundUnknown, fault.Error())
	default:
		v.add(subject, "signatures", FoundBad, fault.Error())
	}
}

func orUnknown(id string) string {
	if id == "" {
		return "an event"
	}
	return id
}

// TransactionDiff is how two transactions differ.
type TransactionDiff struct {
	A      TransactionRef `json:"a"`
	B      TransactionRef `json:"b"`
	Same   bool           `json:"same"` // they carry the same events
	Fields []FieldDiff    `json:"fields"`
	OnlyA  []PDUResult    `json:"only_a"`
	OnlyB  []PDUResult    `json:"only_b"`
	Both   []PDUPair      `json:"both"`
}

// FieldDiff is a property in which they differ.
type FieldDiff struct {
	Field string `json:"field"`
	A     string `json:"a"`
	B     string `json:"b"`
}

// PDUPair is an event that is in both, and what the receivers said.
type PDUPair struct {
	EventID string `json:"event_id"`
	ErrorA  string `json:"error_a,omitempty"`
	ErrorB  string `json:"error_b,omitempty"`
}

// Diff holds two transactions against each other.
func (a TransactionFile) Diff(b TransactionFile) TransactionDiff {
	s, t := a.Transaction, b.Transaction
	d := TransactionDiff{
		A: TransactionRef{s.ID, s.Peer, s.Direction}, B: TransactionRef{t.ID, t.Peer, t.Direction},
		Fields: []FieldDiff{}, OnlyA: []PDUResult{}, OnlyB: []PDUResult{}, Both: []PDUPair{},
	}
	for _, f := range []FieldDiff{
		{"server", a.Server, b.Server}, {"direction", s.Direction, t.Direction}, {"peer", s.Peer, t.Peer}, {"state", s.State, t.State},
		{"pdus", fmt.Sprint(s.PDUs), fmt.Sprint(t.PDUs)}, {"edus", fmt.Sprint(s.EDUs), fmt.Sprint(t.EDUs)},
		{"attempts", fmt.Sprint(s.Attempts), fmt.Sprint(t.Attempts)}, {"class", s.Class, t.Class}, {"status", fmt.Sprint(s.Status), fmt.Sprint(t.Status)},
		{"error", s.Error, t.Error},
	} {
		if f.A != f.B {
			d.Fields = append(d.Fields, f)
		}
	}
	inB := map[string]PDUResult{}
	for _, r := range t.Results {
		inB[r.EventID] = r
	}
	for _, r := range s.Results {
		if other, both := inB[r.EventID]; both {
			d.Both = append(d.Both, PDUPair{r.EventID, r.Error, other.Error})
			delete(inB, r.EventID)
		} else {
			d.OnlyA = append(d.OnlyA, r)
		}
	}
	for _, r := range t.Results {
		if _, left := inB[r.EventID]; left {
			d.OnlyB = append(d.OnlyB, r)
		}
	}
	d.Same = len(d.OnlyA)+len(d.OnlyB) == 0
	return d
}
