// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// foreign parses a body as transport does.
func foreign(t *testing.T, body string) canonicaljson.Value {
	t.Helper()
	v, err := canonicaljson.Parse([]byte(body), canonicaljson.Foreign)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestParseTransactionRefusesWhole(t *testing.T) {
	many := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("{},", n), ",") + "]" }
	tests := []struct {
		name, body string
		status     int
		code       spec.MatrixErrorCode
	}{
		{"not an object", `[]`, 400, spec.ErrorBadJSON},
		{"T-01: no pdus", `{"origin":"a"}`, 400, spec.ErrorBadJSON},
		{"pdus null", `{"origin":"a","pdus":null}`, 400, spec.ErrorBadJSON},
		{"pdus not an array", `{"origin":"a","pdus":{}}`, 400, spec.ErrorBadJSON},
		{"a key in the wrong case", `{"origin":"a","PDUS":[]}`, 400, spec.ErrorBadJSON},
		{"edus not an array", `{"origin":"a","pdus":[],"edus":1}`, 400, spec.ErrorBadJSON},
		{"T-13: 51 PDUs", `{"origin":"a","pdus":` + many(51) + `}`, 400, spec.ErrorBadJSON},
		{"T-13: 101 EDUs", `{"origin":"a","pdus":[],"edus":` + many(101) + `}`, 400, spec.ErrorBadJSON},
		{"pdus twice", `{"origin":"a","pdus":[],"pdus":[{}]}`, 400, spec.ErrorBadJSON},
		{"origin twice", `{"origin":"b","origin":"a","pdus":[]}`, 400, spec.ErrorBadJSON},
		{"no origin", `{"pdus":[]}`, 400, spec.ErrorBadJSON},
		{"T-06: another origin", `{"origin":"b","pdus":[]}`, 403, spec.ErrorForbidden},
	}
	for _, tt := range tests {
		_, err := parseTransaction("a", foreign(t, tt.body))
		var refusal *transport.Error
		if !errors.As(err, &refusal) || refusal.Status != tt.status || refusal.Code != tt.code {
			t.Errorf("%s: got %v, want %d %s", tt.name, err, tt.status, tt.code)
		}
	}
}

func TestParseTransactionWithBlanks(t *testing.T) {
	body := " { \"origin\" : \"a\" , \"pdus\" : [ {} , {} ] , \"edus\" : [ { \"edu_type\" : \"m.x\" , \"content\" : { } } ] } "
	txn, err := parseTransaction("a", foreign(t, body))
	if err != nil || len(txn.pdus) != 2 || len(txn.edus) != 1 {
		t.Errorf("%d PDUs, %d EDUs, %v", len(txn.pdus), len(txn.edus), err)
	}
}

func TestParseTransactionKeepsTheRest(t *testing.T) {
	body := `{"origin":"a","pdus":[null,1e400,{"n":1.50}],"edus":[7,{"edu_type":1},{"edu_type":"m.x","content":[]},{"edu_type":"m.y","content":{"k":1}}]}`
	txn, err := parseTransaction("a", foreign(t, body))
	if err != nil {
		t.Fatal(err)
	}
	// what a PDU holds is handed up byte for byte.
	if len(txn.pdus) != 3 || string(txn.pdus[1]) != "1e400" || string(txn.pdus[2]) != `{"n":1.50}` {
		t.Errorf("pdus = %s", txn.pdus)
	}
	if len(txn.edus) != 1 || txn.edus[0].Type != "m.y" || string(txn.edus[0].Content.Canonical()) != `{"k":1}` {
		t.Errorf("edus = %+v", txn.edus)
	}
}

// T-09, P-19: what is wrong within a PDU, its unsigned part for one, is handed up as it is, and harms nothing beside it.
func TestParseTransactionKeepsBadPDUs(t *testing.T) {
	bad := []string{`{"unsigned":{"a":1,"a":2}}`, `{"unsigned":"\ud800"}`, strings.Repeat("[", canonicaljson.MaxDepth) + strings.Repeat("]", canonicaljson.MaxDepth)}
	body := `{"pdus":[{"good":1},` + strings.Join(bad, ",") + `,{"good":2}],"origin":"a"}` // keys out of order: written anew
	txn, err := parseTransaction("a", foreign(t, body))
	if err != nil {
		t.Fatal(err)
	}
	want := append(append([]string{`{"good":1}`}, bad...), `{"good":2}`)
	for i, pdu := range txn.pdus {
		if string(pdu) != want[i] {
			t.Errorf("PDU %d is %.100s, want %.100s", i, pdu, want[i])
		}
	}
}

// A body of millions of elements is refused without being split into them, and without being sent back.
func TestParseTransactionCostsNoMoreThanItsLimits(t *testing.T) {
	elements := `{"origin":"a","pdus":[` + strings.Repeat("0,", 1<<19) + `0]}`
	name := `{"origin":"` + strings.Repeat("b", 1<<20) + `","pdus":[]}`
	for _, body := range []string{elements, name} {
		parsed := foreign(t, body)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := parseTransaction("a", parsed)
		runtime.ReadMemStats(&after)
		if err == nil || len(err.Error()) > 1000 {
			t.Errorf("refused with %.80v", err)
		}
		if spent := int(after.TotalAlloc - before.TotalAlloc); spent > 8*len(body) {
			t.Errorf("%d bytes were allocated for a body of %d", spent, len(body))
		}
	}
}

func FuzzParseTransaction(f *testing.F) {
	f.Add([]byte(`{"origin":"a","pdus":[{}],"edus":[{"edu_type":"m.x","content":{}}]}`))
	f.Add([]byte(`{"origin":"a","pdus":[null]}`))
	f.Add([]byte(`{"origin":"a","pdus":[{"a":1,"a":"\ud800"}],"edus":[{"edu_type":1,"edu_type":"m.x","content":{}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		parsed, err := canonicaljson.Parse(body, canonicaljson.Foreign)
		if err != nil {
			return
		}
		txn, err := parseTransaction("a", parsed)
		if err != nil {
			if status := statusOf(err); status != http.StatusBadRequest && status != http.StatusForbidden {
				t.Errorf("refused with status %d", status)
			}
			return
		}
		if len(txn.pdus) > MaxPDUs || len(txn.edus) > MaxEDUs {
			t.Errorf("%d PDUs and %d EDUs passed", len(txn.pdus), len(txn.edus))
		}
	})
}
