// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
)

func TestRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		attempts int
		want     time.Duration
	}{
		{1, 10 * time.Second}, {2, 20 * time.Second}, {3, 40 * time.Second}, {9, 2560 * time.Second}, {10, time.Hour}, {1000, time.Hour},
	} {
		if got := retryAfter(tt.attempts); got != tt.want {
			t.Errorf("retryAfter(%d) = %v, want %v", tt.attempts, got, tt.want)
		}
	}
}

// The bounded map never weighs more than its bound, keeps what is asked for, and gives the newest value.
func TestGenerations(t *testing.T) {
	g := newGenerations[int](100, func(weight int) int { return weight })
	g.put(-1, 10)
	for i := range 1000 {
		g.put(i, 10)
		if i%3 == 0 {
			if _, ok := g.get(-1); !ok {
				t.Fatalf("after %d entries: what is asked for all the time was forgotten", i)
			}
		}
		if n := len(g.young) + len(g.old); n > 12 {
			t.Fatalf("%d entries of weight 10, the bound is 100", n)
		}
	}
	if _, ok := g.get(1); ok {
		t.Error("what nobody asks for was kept")
	}
	g.put(999, 20)
	if got, _ := g.get(999); got != 20 {
		t.Errorf("got %d, want the newest value 20", got)
	}
}

func FuzzPeek(f *testing.F) {
	for _, s := range []string{
		`null`, `{}`, `{"room_id":"!a:b"}`, `{"room_id":7}`, `{"content":{"room_version":"12"}}`, `{"event_id":"$x"}`, `{"a`,
		`{"room_id":"!Nhcu5BS-UMnFX7hBVfVSoXiD7OgH6iRT-xyIuqDnpYQ"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		room, version, ok := event.Peek(wire)
		if !ok && version != nil || ok && room == "" && version == nil {
			t.Errorf("Peek(%q) = %q, %v, %v", wire, room, version, ok)
		}
		_ = event.PeekID(wire)
		for _, id := range event.Versions() {
			v, _ := event.VersionOf(id)
			if parsed, refusal := parseFormat(v, wire); (parsed == nil) == (refusal == nil) {
				t.Errorf("parseFormat(%s, %q): want an event or a refusal", id, wire)
			}
		}
	})
}

// What a list costs is bounded by what is wanted of it, not by how many elements another server crams into its answer (P-93).
func TestCrammedAnswers(t *testing.T) {
	const size = 1 << 20
	for _, body := range []string{
		`{"pdus":[` + strings.Repeat("0,", size) + `0]}`, `{"x":[` + strings.Repeat("0,", size) + `0],"pdus":[0,0,0]}`,
	} {
		if list, err := eventList([]byte(body), "pdus", 3); len(list) != 3 || err != nil {
			t.Errorf("%.20s…: %d, %v; want 3", body, len(list), err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = eventList([]byte(body), "pdus", 3)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > 8*uint64(len(body)) {
			t.Errorf("%.20s…: %d bytes allocated for %d", body, got, len(body))
		}
	}
	if ids, err := givenIDs([]byte(`{"pdu_ids":[`+strings.Repeat(`"",`, size)+`""]}`), "pdu_ids"); err == nil {
		t.Errorf("%d ids, want a refusal", len(ids))
	}
}

func FuzzEventList(f *testing.F) {
	for _, s := range []string{`{}`, `[]`, `{"events":null}`, `{"events":[{},7,null]}`, `{"events":{}}`, `{"events":[1,2,3,4]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if list, err := eventList(body, "events", 3); len(list) > 3 || err != nil && list != nil {
			t.Errorf("eventList(%q) = %d events, %v", body, len(list), err)
		}
	})
}

func FuzzReadNear(f *testing.F) {
	for _, s := range []string{`{"event_id":"$x","origin_server_ts":1}`, `{"event_id":"$x"}`, `{"event_id":7,"origin_server_ts":1}`, `null`, `[]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if id, _, err := readNear(body); err == nil && (id == "" || id[0] != '$') {
			t.Errorf("readNear(%q) = %q", body, id)
		}
	})
}

func FuzzReadMoment(f *testing.F) {
	for _, s := range []string{"ts=1&dir=f", "ts=-9223372036854775808&dir=b", "dir=f", "ts=&dir=", "ts=1e5&dir=f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, query string) {
		values, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		at, err := readMoment(values)
		if err == nil && at.forward != (values.Get("dir") == "f") {
			t.Errorf("readMoment(%q) = %+v", query, at)
		}
	})
}
