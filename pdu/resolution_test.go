// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
)

// A resolution is found again by its inputs, in whatever order they come, in that room only, and until a rejection changes or a
// state event is redacted.
func TestResolutionsAreRemembered(t *testing.T) {
	cache := newMemory()
	b := &batch{e: &Engine{cache: cache}, id: "!a", resolved: map[[32]byte]state.Root{}}
	x, y, result := state.Root{1}, state.Root{2}, state.Root{3}
	cache.putResolutions(map[[32]byte]state.Root{b.forkOf([]state.Root{x, y}): result}, false)
	if got, err := b.resolve([]state.Root{y, x, y}); err != nil || got != result {
		t.Errorf("%x, %v", got, err)
	}
	other := &batch{id: "!b"}
	if _, ok := cache.resolution(other.forkOf([]state.Root{x, y})); ok {
		t.Error("a resolution of another room was found")
	}
	for _, change := range []struct {
		before, after Outcome
		rejudged      bool
	}{
		{Staged, Rejected, false}, {Accepted, SoftFailed, false}, {Accepted, Accepted, false}, {Rejected, Rejected, false},
		{Accepted, Rejected, true}, {Rejected, SoftFailed, true},
	} {
		b.rejudged = false
		if b.noteOutcome(change.before, change.after); b.rejudged != change.rejudged {
			t.Errorf("%v to %v: %v", change.before, change.after, b.rejudged)
		}
	}
	b.resolved, b.rejudged = map[[32]byte]state.Root{b.forkOf([]state.Root{x, y}): result}, false
	b.effects = []effect{{target: storedRecord(t, `{"type":"m.room.message"}`)}, {names: "$held:a.example"}}
	b.keepResolutions()
	if _, ok := cache.resolution(b.forkOf([]state.Root{x, y})); !ok {
		t.Error("a resolution was forgotten although no state was redacted")
	}
	b.effects = append(b.effects, effect{target: storedRecord(t, `{"state_key":"","type":"m.room.topic"}`)})
	b.keepResolutions()
	if _, ok := cache.resolution(b.forkOf([]state.Root{x, y})); ok {
		t.Error("a resolution from before a state event was redacted is still there")
	}
	cache.putResolutions(b.resolved, false)
	cache.putResolutions(nil, true)
	if _, ok := cache.resolution(b.forkOf([]state.Root{x, y})); ok {
		t.Error("a resolution from before a rejection was changed is still there")
	}
}

func storedRecord(t *testing.T, text string) *record {
	t.Helper()
	v, _ := event.VersionOf("10")
	e, err := event.ParseStored(v, "$e", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &record{event: e}
}
