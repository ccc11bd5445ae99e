// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/strata-matrix/strata/homeserver/compose"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transport/ident"
)

const benchRooms = 300

// crowded is a site with a user in many rooms, and the token after all of it.
func crowded(b *testing.B) (s *site, last ident.RoomID, since string) {
	b.Helper()
	s = openSite(b, b.TempDir())
	for n := range benchRooms {
		room, err := s.server.CreateRoom(b.Context(), messaging.CreateRoom{Creator: alice, Public: true, Name: fmt.Sprint("room ", n)})
		if err != nil {
			b.Fatal(err)
		}
		for i := range 5 {
			if _, err := s.server.Send(b.Context(), room, alice, "m.room.message", text(fmt.Sprint("message ", i))); err != nil {
				b.Fatal(err)
			}
		}
		last = room
	}
	for { // until the feed is through
		var a answer
		if err := json.Unmarshal(s.ask(alice), &a); err != nil {
			b.Fatal(err)
		}
		if len(a.Rooms.Join) == benchRooms && a.Rooms.Join[last].Timeline.Events[len(a.Rooms.Join[last].Timeline.Events)-1].Content["body"] == "message 4" {
			return s, last, a.NextBatch
		}
	}
}

// report gives what an answer costs beside its floor, which is to check and copy its JSON once.
func report(b *testing.B, body []byte) {
	b.Helper()
	const times = 20
	var copied bytes.Buffer
	begun := time.Now()
	for range times {
		copied.Reset()
		if err := json.Compact(&copied, body); err != nil {
			b.Fatal(err)
		}
	}
	floor := time.Since(begun) / times
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(floor), "x-floor")
	b.ReportMetric(float64(len(body)), "bytes")
}

// BenchmarkInitial is an initial sync of a user in 300 rooms with five messages each.
func BenchmarkInitial(b *testing.B) {
	s, _, _ := crowded(b)
	var body []byte
	for b.Loop() {
		body = s.ask(alice, limit(10))
	}
	report(b, body)
}

// BenchmarkIncremental is a sync in which one of 300 rooms has a new message, either way, and one in which nothing has happened.
func BenchmarkIncremental(b *testing.B) {
	s, room, since := crowded(b)
	for way, name := range map[compose.Way]string{compose.Polylog: "polylog", compose.Linear: "linear"} {
		b.Run("nothing/"+name, func(b *testing.B) {
			s.composer.Force(way)
			for b.Loop() {
				s.ask(alice, "since="+since)
			}
		})
	}
	if _, err := s.server.Send(b.Context(), room, alice, "m.room.message", text("new")); err != nil {
		b.Fatal(err)
	}
	s.ask(alice, "since="+since, "timeout=10000")
	for way, name := range map[compose.Way]string{compose.Polylog: "polylog", compose.Linear: "linear"} {
		b.Run("one/"+name, func(b *testing.B) {
			s.composer.Force(way)
			var body []byte
			for b.Loop() {
				body = s.ask(alice, "since="+since)
			}
			report(b, body)
		})
	}
}
