// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"strings"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
)

// What a refusal quotes may be as long as an event; the refusal is not.
func TestRefusalsAreShort(t *testing.T) {
	r := newTestRoom(t, "10")
	create := r.event(sketch{Sender: "@a:a", Type: typeCreate, StateKey: new(""), Content: []byte(`{"creator":"@a:a"}`)})
	long := r.event(sketch{
		Sender: "@a:a", Type: typeMember, StateKey: new("@a:a"), Content: []byte(`{"membership":"` + strings.Repeat("x", 60_000) + `"}`),
	})
	got := Check(long, StateOf([]*event.Event{create}))
	if got.OK || len(got.Detail) > maxDetail+len(" …") {
		t.Errorf("%v, %s: %d bytes", got.OK, got.Rule, len(got.Detail))
	}
}

func TestShortened(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""}, {strings.Repeat("x", maxDetail), strings.Repeat("x", maxDetail)},
		{strings.Repeat("x", maxDetail+1), strings.Repeat("x", maxDetail) + " …"},
		{strings.Repeat("x", maxDetail-1) + "é" + "y", strings.Repeat("x", maxDetail-1) + " …"},
	} {
		if got := Shortened(tt.in); got != tt.want {
			t.Errorf("of %d bytes: %d, want %d", len(tt.in), len(got), len(tt.want))
		}
	}
}
