// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/signing"
)

// A percentile is the least value that so many of a hundred do not exceed (nearest rank).
func TestPercentile(t *testing.T) {
	twenty := make([]int64, 20)
	for n := range twenty {
		twenty[n] = int64(n + 1)
	}
	for _, tt := range []struct {
		values []int64
		of     int
		want   int64
	}{{[]int64{7}, 50, 7}, {[]int64{7}, 95, 7}, {[]int64{1, 2}, 50, 1}, {[]int64{1, 2}, 95, 2}, {twenty, 50, 10}, {twenty, 95, 19}, {twenty[:19], 95, 19}} {
		if got := percentile(tt.values, tt.of); got != tt.want {
			t.Errorf("%d %% of %v: %d, want %d", tt.of, tt.values, got, tt.want)
		}
	}
}

// b.example answered three transactions and failed once before; it sent one with a refused PDU.
func TestPeer(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	now := time.Now().UnixMilli()
	b.update(func(tx *persistence.Tx) error {
		if err := tx.AddDestination("b.example", 0); err != nil {
			return err
		}
		for n := range 3 {
			txn, err := tx.Freeze(persistence.SentTransaction{Destination: "b.example", TxnID: fmt.Sprint("t", n), Body: []byte(`{}`), FrozenAt: now})
			if err != nil {
				return err
			}
			if n == 0 {
				err := tx.RecordFailure(txn, persistence.Attempt{Number: 1, StartedAt: now - 9, Class: "http5xx", Status: 502, Message: "bad gateway"})
				if err != nil {
					return err
				}
			}
			ok := persistence.Attempt{Number: 2, StartedAt: now, DurationUS: int64(n+1) * 1000, Class: "ok", Status: 200}
			if err := tx.RecordSuccess(txn, ok, now, []byte(`{}`)); err != nil {
				return err
			}
			after := persistence.Destination{Server: "b.example", LastSuccess: now, LastFailure: now - 9, LastClass: "http5xx"}
			if err := tx.SetDelivered(after, ok); err != nil {
				return err
			}
		}
		_, err := tx.KeepReply(persistence.ReceivedTransaction{Origin: "b.example", TxnID: "x", PDUs: 2, Failed: 1, ReceivedAt: now - 5, Reply: []byte(`{"pdus":{}}`)})
		if err != nil {
			return err
		}
		return tx.SetRoomServer(b.room.NID, "c.example", 2)
	})
	p, err := b.look.Peer(b.Context(), Filter{Server: "b.example"})
	if err != nil {
		t.Fatal(err)
	}
	want := PeerDetail{
		Peer:    Peer{Server: "b.example", State: PeerOK, LastSuccess: now, LastFailure: now - 9, Class: "http5xx", LastInbound: now - 5},
		WeReach: "yes", TheyReach: "yes", Error: "bad gateway", Status: 502, Attempts: 4, Succeeded: 3, Samples: 3, P50: 2000, P95: 3000,
		Errors: []PeerFault{{Direction: Out, Class: "http5xx", Count: 1, Last: now - 9, Status: 502, Message: "bad gateway"}},
	}
	if diff := cmp.Diff(want, p); diff != "" {
		t.Errorf("peer (-want +got):\n%s", diff)
	}
	c, err := b.look.Peer(b.Context(), Filter{Server: "c.example"})
	if err != nil || c.State != PeerNew || c.Rooms != 1 || c.WeReach != "unknown" || c.TheyReach != "unknown" {
		t.Errorf("one that shares a room only: %+v, %v", c, err)
	}
	if _, err := b.look.Peer(b.Context(), Filter{Server: "d.example"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("one that we have nothing to do with: %v", err)
	}
	list, err := b.look.Peers(b.Context(), Filter{})
	if err != nil || len(list) != 2 || list[0].Server != "b.example" || list[1].Rooms != 1 {
		t.Errorf("peers %+v, %v", list, err)
	}
	moments, err := b.look.PeerTimeline(b.Context(), Filter{Server: "b.example"})
	var kinds []string
	for _, m := range moments {
		kinds = append(kinds, m.Kind)
	}
	if want := []string{DidFail, DidReceive, DidSend, DidSend, DidSend}; err != nil || !cmp.Equal(kinds, want) {
		t.Errorf("timeline %v, %v, want %v", kinds, err, want)
	}
}

// What was sent is proved by its id, and each event by its own; a changed byte shows, also after a journey as JSON, and a key that is
// missing makes nothing bad (T-02, P-12, P-15, P-17).
func TestVerify(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	e := b.add("hello", true, nil)
	body := fmt.Appendf(nil, `{"origin":"one.example","origin_server_ts":5,"pdus":[%s]}`, e.JSON())
	id := transaction.TransactionID("b.example", 7, 5, body)
	b.update(func(tx *persistence.Tx) error {
		if err := tx.AddDestination("b.example", 0); err != nil {
			return err
		}
		_, err := tx.Freeze(persistence.SentTransaction{Destination: "b.example", TxnID: id, Body: body, PDUs: 1, Through: 7, FrozenAt: 5})
		return err
	})
	file, err := b.look.TransactionFile(b.Context(), TransactionRef{ID: id})
	if err != nil {
		t.Fatal(err)
	}
	results := func(file TransactionFile) (list []string) {
		for _, f := range file.Verify(b.Context()).Findings {
			list = append(list, f.Check+" "+f.Result)
		}
		return list
	}
	if got, want := results(file), []string{"id ok", "id ok", "content hash ok", "signatures unknown"}; !cmp.Equal(got, want) {
		t.Errorf("without keys: %v, want %v", got, want)
	}
	file.Keys = append(file.Keys, FileKeys{"one.example", time.Now().UnixMilli(), fmt.Appendf(nil,
		`{"server_name":"one.example","valid_until_ts":%d,"verify_keys":{%q:{"key":%q}}}`,
		time.Now().Add(time.Hour).UnixMilli(), b.key.ID, signing.EncodeBase64(b.key.Public()))})
	text, err := json.MarshalIndent(file, " ", "\t")
	if err != nil {
		t.Fatal(err)
	}
	read, err := ReadTransactionFile(text)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := results(read), []string{"id ok", "id ok", "content hash ok", "signatures ok"}; !cmp.Equal(got, want) {
		t.Errorf("after a journey: %v, want %v", got, want)
	}
	var forged TransactionFile
	if forged, err = ReadTransactionFile([]byte(strings.ReplaceAll(string(text), "hello", "hullo"))); err != nil {
		t.Fatal(err)
	}
	// In room version 11 the id of an event is a hash of what redaction leaves of it, which has no body, but the content's hash.
	if got, want := results(forged), []string{"id bad", "id ok", "content hash bad", "signatures ok"}; !cmp.Equal(got, want) {
		t.Errorf("forged: %v, want %v", got, want)
	}
	for _, text := range []string{"", "[]", `{"format":"other"}`} {
		if _, err := ReadTransactionFile([]byte(text)); !errors.Is(err, ErrQuery) {
			t.Errorf("%q: %v, want a bad query", text, err)
		}
	}
}

// FuzzTransactionFile: whatever is in a file, it is refused or can be looked at.
func FuzzTransactionFile(f *testing.F) {
	f.Add([]byte(`{"format":"strata.transaction/1","transaction":{"txn_id":"x","dir":"out","peer":"a","body":{"pdus":[{}]}},"events":[{"room_version":"11","pdu":{}}],"keys":[{"server":"a","document":{}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := ReadTransactionFile(text)
		if err != nil {
			return
		}
		file.Verify(t.Context())
		file.Explain()
		file.Diff(file)
	})
}

func TestDiff(t *testing.T) {
	side := func(peer string, results ...PDUResult) TransactionFile {
		return TransactionFile{Server: "s", Transaction: TransactionDetail{Transaction: Transaction{ID: "x", Peer: peer}, Results: results}}
	}
	got := side("a", PDUResult{EventID: "$1"}, PDUResult{EventID: "$2"}).Diff(side("b", PDUResult{EventID: "$2", Error: "no"}, PDUResult{EventID: "$3"}))
	want := TransactionDiff{
		A: TransactionRef{ID: "x", Peer: "a"}, B: TransactionRef{ID: "x", Peer: "b"}, Fields: []FieldDiff{{"peer", "a", "b"}},
		OnlyA: []PDUResult{{EventID: "$1"}}, OnlyB: []PDUResult{{EventID: "$3"}}, Both: []PDUPair{{"$2", "", "no"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
