// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/strata-matrix/strata/trace"
)

// sd_notify(3): the datagram READY=1 says that start-up is over; without NOTIFY_SOCKET there is nobody to tell.
func TestNotifyReady(t *testing.T) {
	if err := notifyReady(""); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
	path := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	if err := notifyReady(path); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 100)
	n, err := manager.Read(message)
	if err != nil || string(message[:n]) != "READY=1" {
		t.Errorf("service manager got %q, %v; want READY=1", message[:n], err)
	}
	if err := notifyReady(path + "gone"); err == nil {
		t.Error("a service manager that is not there was told")
	}
}

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
