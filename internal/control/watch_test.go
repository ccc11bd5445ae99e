// SPDX-License-Identifier: Apache-2.0

package control

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/trace"
)

// A watch keeps the latest, tells when some are gone, and wakes who waits.
func TestWatchKeepsTheLatest(t *testing.T) {
	w := NewWatch()
	_, _, news := w.since(0)
	const sent = 3 * maxWatched
	for n := range sent {
		w.Emit(trace.TransactionAttempted{Destination: "b.example", TxnID: fmt.Sprint(n), Class: "ok", Status: 200, Duration: time.Millisecond})
	}
	select {
	case <-news:
	default:
		t.Error("who waited was not woken")
	}
	list, missed, _ := w.since(0)
	if len(list) < maxWatched || len(list) > 2*maxWatched || !missed {
		t.Errorf("%d of %d are kept, missed %t", len(list), sent, missed)
	}
	if last := list[len(list)-1]; last.TxnID != fmt.Sprint(sent-1) || last.Number != sent || last.Duration != 1000 {
		t.Errorf("the last is %+v", last)
	}
	list, missed, _ = w.since(sent - 2)
	if len(list) != 2 || missed {
		t.Errorf("after the last but two: %d, missed %t", len(list), missed)
	}
	if list, missed, _ = w.since(sent); len(list) != 0 || missed {
		t.Errorf("after the last: %d, missed %t", len(list), missed)
	}
}

// What was refused is known as such, in either direction.
func TestRejected(t *testing.T) {
	for _, tt := range []struct {
		event trace.Event
		want  []bool // of what it leaves
	}{
		{trace.TransactionAttempted{Class: "ok", Status: 200}, []bool{false}},
		{trace.TransactionAttempted{Class: "dial"}, []bool{true}},
		{trace.TransactionReceived{Status: 200}, []bool{false}},
		{trace.TransactionReceived{Status: 400}, []bool{true}},
		{trace.PDUJudged{Outcome: "accepted"}, nil},
		{trace.PDUJudged{Outcome: "quarantined"}, nil},
		{trace.PDUJudged{Outcome: "rejected", Check: "P-27", Rule: "P-47"}, []bool{true}},
		{trace.PDUJudged{Outcome: "soft-failed"}, []bool{true}},
	} {
		w := NewWatch()
		w.Emit(tt.event)
		var got []bool
		list, _, _ := w.since(0)
		for _, h := range list {
			got = append(got, h.Rejected())
		}
		if !cmp.Equal(got, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.event, got, tt.want)
		}
	}
}

// The errors that a server was answered with are counted by code and status, those of one server apart from those of others, and no
// server makes more than so many kinds.
func TestReturnedErrors(t *testing.T) {
	w := NewWatch()
	for range 3 {
		w.Emit(trace.TransportServed{Origin: "b.example", Route: "/send", Status: 403, Code: "M_FORBIDDEN", Reason: "not in the room"})
	}
	w.Emit(trace.TransportServed{Origin: "b.example", Route: "/state", Status: 404, Code: "M_NOT_FOUND", Reason: "no such event"})
	w.Emit(trace.TransportServed{Origin: "b.example", Status: 200})
	w.Emit(trace.TransportServed{Status: 401, Code: "M_UNAUTHORIZED"}) // nobody knows whose it was
	want := []inspect.PeerFault{
		{Direction: inspect.In, Class: "M_FORBIDDEN", Status: 403, Count: 3, Message: "/send: not in the room"},
		{Direction: inspect.In, Class: "M_NOT_FOUND", Status: 404, Count: 1, Message: "/state: no such event"},
	}
	if diff := cmp.Diff(want, w.returned("b.example"), cmpopts.IgnoreFields(inspect.PeerFault{}, "Last")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for n := range 2 * maxFaults {
		w.Emit(trace.TransportServed{Origin: "c.example", Status: 400 + n, Code: "M_UNKNOWN"})
	}
	if n := len(w.returned("c.example")); n != maxFaults || len(w.returned("d.example")) != 0 {
		t.Errorf("%d kinds of errors, want %d", n, maxFaults)
	}
}
