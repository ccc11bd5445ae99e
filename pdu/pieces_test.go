// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Events are written as one list, in pieces of a bounded size, whether they are in the memory or not; a list that lacks one has no end.
func TestWriteEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("10", alice)
		var ids []ident.EventID
		for range 450 {
			ids = append(ids, a.send(room, text(alice, "x")).ID())
		}
		for _, list := range [][]ident.EventID{nil, ids[:1], ids[:200], ids[:201], ids} {
			var pieces sizes
			if err := a.restart().engine.WriteEvents(t.Context(), &pieces, list); err != nil {
				t.Fatal(err)
			}
			var events []json.RawMessage
			if err := json.Unmarshal(pieces.Bytes(), &events); err != nil || len(events) != len(list) {
				t.Errorf("%d events of %d, %v", len(events), len(list), err)
			}
			if pieces.largest > 200*2_000 {
				t.Errorf("a piece of %d bytes", pieces.largest)
			}
		}
		var pieces sizes
		err := a.engine.WriteEvents(t.Context(), &pieces, slices.Insert(ids, 300, "$gone"))
		if !errors.Is(err, persistence.ErrCorrupt) || json.Valid(pieces.Bytes()) {
			t.Errorf("%v, and what was written is valid: %t; want an error, and no list", err, json.Valid(pieces.Bytes()))
		}
	})
}

// sizes keeps what is written, and how much at most at a time.
type sizes struct {
	bytes.Buffer
	largest int
}

func (s *sizes) Write(p []byte) (int, error) {
	s.largest = max(s.largest, len(p))
	return s.Buffer.Write(p)
}
