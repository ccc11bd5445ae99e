// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"sync"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
)

// FuzzParse: no bytes make the parser or what it returns panic, and an event reads from its own JSON as what it is.
func FuzzParse(f *testing.F) {
	for number, id := range allVersions {
		for _, wire := range samples(version(f, id)) {
			f.Add(uint8(number), []byte(naive(wire)))
		}
		f.Add(uint8(number), []byte("null"))
	}
	f.Fuzz(func(t *testing.T, number uint8, wire []byte) {
		v := version(t, allVersions[int(number)%len(allVersions)])
		e, err := event.ParseBackfilled(v, wire)
		if err != nil {
			return
		}
		touch(t, e)
		touch(t, e.Redact())
		again, err := event.ParseBackfilled(v, e.JSON())
		if err != nil || again.ID() != e.ID() || string(again.JSON()) != string(e.JSON()) || again.HashMismatch() != e.HashMismatch() {
			t.Errorf("%s reads as %v, %v", e.JSON(), again, err)
		}
		stored, err := event.ParseStored(v, e.ID(), e.JSON())
		if err != nil || stored.RoomID() != e.RoomID() || stored.Ref() != e.Ref() {
			t.Errorf("%s stored reads as %v, %v", e.JSON(), stored, err)
		}
		if redacted := e.Redact(); string(redacted.Redact().JSON()) != string(redacted.JSON()) || redacted.ID() != e.ID() {
			t.Errorf("redacting twice makes %s of %s", redacted.Redact().JSON(), redacted.JSON())
		}
	})
}

// touch calls everything that looks at content.
func touch(t *testing.T, e *event.Event) {
	e.Membership()
	e.Redacts()
	e.Relation()
	e.Slot()
	_, _ = e.PowerLevels()
	_, _ = e.Create()
	_, _ = e.JoinRules()
	event.RequiredServers(e)
	event.VerifySignatures(t.Context(), []*event.Event{e}, &keyRing{})
}

// G-D7: an event is shared by goroutines as it is, whether parsed, redacted or stored. The race detector is the judge.
func TestSharedByGoroutines(t *testing.T) {
	v := version(t, "10")
	e, err := event.Parse(v, naive(samples(v)[6]))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := event.ParseStored(v, e.ID(), e.JSON())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, shared := range []*event.Event{e, stored, e.Redact()} {
				touch(t, shared)
				if shared.ID() != e.ID() || shared.Ref() != e.Ref() {
					t.Errorf("id %s, want %s", shared.ID(), e.ID())
				}
			}
		})
	}
	wg.Wait()
}
