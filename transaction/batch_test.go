// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/strata-matrix/strata/persistence"
)

func items(kind, n, size int) []persistence.Outbound {
	list := make([]persistence.Outbound, n)
	for i := range list {
		list[i] = persistence.Outbound{Kind: kind, Content: bytes.Repeat([]byte("x"), size)}
	}
	return list
}

func TestBatchTakes(t *testing.T) {
	pdus, edus := persistence.KindPDU, persistence.KindEDU
	tests := []struct {
		name  string
		items []persistence.Outbound
		want  int
	}{
		{"T-01: fifty PDUs", items(pdus, 51, 1), 50},
		{"T-01: a hundred EDUs", items(edus, 101, 1), 100},
		{"both kinds count apart", append(items(edus, 100, 1), items(pdus, 51, 1)...), 150},
		{"an EDU too many keeps the PDUs behind it back: order", append(items(edus, 101, 1), items(pdus, 5, 1)...), 100},
		{"by bytes", items(pdus, 50, MaxSentBytes/10), 10},
		{"one always fits", items(pdus, 2, 2*MaxSentBytes), 1},
		{"one", items(pdus, 1, 1), 1},
	}
	for _, tt := range tests {
		var b batch
		got := 0
		for got < len(tt.items) && b.take(tt.items[got]) {
			got++
		}
		if got != tt.want || len(b.items) != tt.want {
			t.Errorf("%s: took %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestCompose(t *testing.T) {
	queued := []persistence.Outbound{
		{Kind: persistence.KindPDU, Content: []byte(`{"n":1}`)},
		{Kind: persistence.KindEDU, Content: []byte(`{"edu_type":"m.x"}`)},
		{Kind: persistence.KindPDU, Content: []byte(`{"n":2}`)},
	}
	txn := compose("a.example", "b.example", queued, 7, 1234)
	const want = `{"edus":[{"edu_type":"m.x"}],"origin":"a.example","origin_server_ts":1234,"pdus":[{"n":1},{"n":2}]}`
	if string(txn.Body) != want {
		t.Errorf("body = %s\nwant   %s", txn.Body, want)
	}
	if txn.PDUs != 2 || txn.EDUs != 1 || txn.Through != 7 {
		t.Errorf("PDUs, EDUs, Through = %d, %d, %d", txn.PDUs, txn.EDUs, txn.Through)
	}
	if other := compose("a.example", "c.example", queued, 7, 1234); other.TxnID == txn.TxnID {
		t.Error("two destinations share a transaction id")
	}
	// T-01: pdus is required even when it is empty.
	var body map[string]json.RawMessage
	edusOnly := compose("a.example", "b.example", queued[1:2], 7, 1234)
	if err := json.Unmarshal(edusOnly.Body, &body); err != nil || string(body["pdus"]) != "[]" {
		t.Errorf("pdus of an EDU-only transaction = %s (%v), want []", body["pdus"], err)
	}
}
