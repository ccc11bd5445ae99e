// SPDX-License-Identifier: Apache-2.0

package load

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Result is what came of a load so far.
type Result struct {
	Transactions int            `json:"transactions"` // answered with 200
	PDUs         int            `json:"pdus"`         // in them
	Accepted     int            `json:"accepted"`     // of which the answers say nothing bad
	Refused      map[string]int `json:"refused"`      // the others, by what the answers say
	Errors       map[string]int `json:"errors"`       // transactions that failed and were sent again, by class
	SendSeconds  float64        `json:"send_seconds"` // from the first transaction to the last answer
	P50          float64        `json:"p50_ms"`       // of the answers to transactions
	P99          float64        `json:"p99_ms"`
}

// maxReasons bounds the different words of a target about events that it refuses.
const maxReasons = 20

// book counts. mu guards all.
type book struct {
	mu        sync.Mutex
	result    Result
	latencies []time.Duration
	lasts     map[ident.RoomID]ident.EventID // the last event that was taken
	taken     []*event.Event
	elapsed   time.Duration
}

func newBook() *book {
	return &book{result: Result{Refused: map[string]int{}, Errors: map[string]int{}}, lasts: map[ident.RoomID]ident.EventID{}}
}

func (b *book) answered(p parcel, took time.Duration, refused map[ident.EventID]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.result.Transactions++
	b.latencies = append(b.latencies, took)
	for _, e := range p.events {
		b.result.PDUs++
		why, bad := refused[e.ID()]
		if !bad {
			b.result.Accepted++
			b.lasts[e.RoomID()] = e.ID()
			b.taken = append(b.taken, e)
			continue
		}
		if b.result.Refused[why] == 0 && len(b.result.Refused) >= maxReasons {
			why = "other"
		}
		b.result.Refused[why]++
	}
}

func (b *book) failed(failure *transport.Failure) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.result.Errors[string(failure.Class)]++
}

func (b *book) sent(took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.elapsed += took
}

func (b *book) last(room ident.RoomID) (ident.EventID, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id, ok := b.lasts[room]
	return id, ok
}

// some is so many of the events that were taken, evenly from first to last.
func (b *book) some(most int) (sample []*event.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(most, len(b.taken))
	for i := range n {
		sample = append(sample, b.taken[i*len(b.taken)/n])
	}
	return sample
}

// Result is what has come of the load so far.
func (f *Fleet) Result() Result {
	b := f.book
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.result
	r.Refused, r.Errors = maps.Clone(r.Refused), maps.Clone(r.Errors)
	r.SendSeconds = b.elapsed.Seconds()
	sorted := slices.Sorted(slices.Values(b.latencies))
	r.P50, r.P99 = percentile(sorted, 50), percentile(sorted, 99)
	return r
}

// percentile is in ms: the smallest value that so many percent are not above. It is 0 of nothing.
func percentile(sorted []time.Duration, percent int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*percent + 99) / 100
	return float64(sorted[max(rank, 1)-1]) / float64(time.Millisecond)
}
