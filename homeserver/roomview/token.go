// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
)

// Token is a place in a room between two events, as clients have it: of the stream, a position, or of the room.
type Token struct {
	// Position is the last event before the place, in the order of arrival.
	Position persistence.Position
	// Before is set right before an event, of this depth: what was fetched before it comes next on the way back.
	Before bool
	// History is set inside of what was fetched before the event at Position: below events of this depth, and of those from this number on.
	History bool
	Depth   int64
	NID     int64
}

// TokenBefore is the place before an event of a timeline: t<depth>.<position>.
func TokenBefore(p *pdu.Placed) string {
	return fmt.Sprintf("t%d.%d", p.Event.Depth(), p.Position)
}

// ParseToken reads a token of any kind: what a sync or a page of messages has given out.
func ParseToken(text string) (t Token, err error) {
	rest, ofRoom := strings.CutPrefix(text, "t")
	if !ofRoom {
		t.Position, err = stream.ParseToken(text)
		return t, err
	}
	parts := strings.Split(rest, ".")
	fields := []*int64{&t.Depth, (*int64)(&t.Position), &t.NID}
	if len(parts) < 2 || len(parts) > len(fields) {
		return Token{}, fmt.Errorf("%.40q is no token of this server", text)
	}
	for i, part := range parts {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil || n < 0 {
			return Token{}, fmt.Errorf("%.40q is no token of this server", text)
		}
		*fields[i] = n
	}
	if t.History = len(parts) == len(fields); !t.History {
		t.Before = true
		t.Position--
	}
	return t, nil
}
