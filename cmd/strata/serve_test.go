// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/strata-matrix/strata/trace"
)

// What an operator must see without asking is above debug; what happens with every event is not.
func TestLogLevels(t *testing.T) {
	for _, test := range []struct {
		event trace.Event
		want  string
	}{
		{trace.MessagingStopped{}, "ERROR"},
		{trace.TransportPanic{}, "ERROR"},
		{trace.MessagingHandshakeFailed{}, "WARN"},
		{trace.TransportServed{Status: 500}, "WARN"},
		{trace.PDUJudged{Outcome: "rejected"}, "INFO"},
		{trace.TransactionAttempted{Class: "dial", Attempt: 1}, "INFO"},
		{trace.TransactionAttempted{Class: "dial", Attempt: 2}, "DEBUG"},
		{trace.TransactionAttempted{Class: "ok", Attempt: 1}, "DEBUG"},
		{trace.PDUJudged{Outcome: "accepted"}, "DEBUG"},
		{trace.TransportServed{Status: 404}, "DEBUG"}, // a scanner's
	} {
		if got := levelOf(test.event).String(); got != test.want {
			t.Errorf("%s %+v is logged at %s, want %s", test.event.Kind(), test.event, got, test.want)
		}
	}
}
