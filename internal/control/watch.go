// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// maxWatched is how many of the latest things that happened to transactions are kept for those who follow.
	maxWatched = 4096
	// maxFaulty is of how many servers the errors that they were answered with are counted, maxFaults how many kinds for each.
	maxFaulty, maxFaults = 10_000, 32
)

// Watch follows what a server does, for questions that the store has no answer to: what happens right now, and which errors others
// were answered with since the start. It is a trace.Sink; mu guards what it knows.
type Watch struct {
	mu     sync.Mutex
	events []Happened                                 // the latest, by number
	last   int64                                      // number of the latest
	news   chan struct{}                              // nil when nobody waits
	faults map[string]map[faultKey]*inspect.PeerFault // by origin
}

type faultKey struct {
	code   string
	status int
}

// NewWatch makes a watch; it is to be one of the sinks of the server's configuration.
func NewWatch() *Watch {
	return &Watch{faults: map[string]map[faultKey]*inspect.PeerFault{}}
}

// Happened is one thing that happened to a transaction: an attempt ended, one was received, or an event of one was not accepted.
type Happened struct {
	Number    int64  `json:"n"`
	At        int64  `json:"ts"`
	Direction string `json:"dir"`
	Peer      string `json:"peer"`
	TxnID     string `json:"txn_id"`
	PDUs      int    `json:"pdus"`
	EDUs      int    `json:"edus"`
	Duration  int64  `json:"duration_us"`
	Status    int    `json:"status"`
	Class     string `json:"class,omitempty"`     // of an attempt: "ok" or the class of the failure
	Attempt   int    `json:"attempt,omitempty"`   // its number
	Duplicate bool   `json:"duplicate,omitempty"` // it came again: the reply was kept
	Failed    int    `json:"failed,omitempty"`    // PDUs that were refused at once
	// EventID and what follows are set for an event that was not accepted.
	EventID string `json:"event_id,omitempty"`
	RoomID  string `json:"room_id,omitempty"`
	Outcome string `json:"outcome,omitempty"`
	Check   string `json:"check,omitempty"`
	Rule    string `json:"rule,omitempty"`
}

// Rejected tells that something was refused, by them or by us.
func (h Happened) Rejected() bool {
	return h.Outcome != "" || h.Failed > 0 || h.Status >= 400 || h.Direction == inspect.Out && h.Class != "ok"
}

// Emit implements trace.Sink.
func (w *Watch) Emit(e trace.Event) {
	switch e := e.(type) {
	case trace.TransactionAttempted:
		w.add(Happened{
			Direction: inspect.Out, Peer: e.Destination, TxnID: e.TxnID, PDUs: e.PDUs, EDUs: e.EDUs, Duration: e.Duration.Microseconds(),
			Status: e.Status, Class: e.Class, Attempt: e.Attempt,
		})
	case trace.TransactionReceived:
		w.add(Happened{
			Direction: inspect.In, Peer: e.Origin, TxnID: e.TxnID, PDUs: e.PDUs, EDUs: e.EDUs, Duration: e.Duration.Microseconds(),
			Status: e.Status, Duplicate: e.Duplicate,
		})
	case trace.PDUJudged:
		if e.Outcome != "accepted" && e.Outcome != "quarantined" {
			w.add(Happened{Direction: inspect.In, EventID: e.Event, RoomID: e.Room, Outcome: e.Outcome, Check: e.Check, Rule: e.Rule})
		}
	case trace.TransportServed:
		if e.Status >= 400 && e.Origin != "" {
			w.count(e)
		}
	}
}

func (w *Watch) add(h Happened) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	h.Number, h.At = w.last, time.Now().UnixMilli()
	if len(w.events) >= 2*maxWatched { // moved at once, now and then
		w.events = slices.Delete(w.events, 0, len(w.events)-maxWatched)
	}
	w.events = append(w.events, h)
	if w.news != nil {
		close(w.news)
		w.news = nil
	}
}

// count adds an error that a server was answered with. What there is no room for is not counted.
func (w *Watch) count(e trace.TransportServed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of := w.faults[e.Origin]
	if of == nil {
		if len(w.faults) >= maxFaulty {
			return
		}
		of = map[faultKey]*inspect.PeerFault{}
		w.faults[e.Origin] = of
	}
	key := faultKey{e.Code, e.Status}
	if of[key] == nil {
		if len(of) >= maxFaults {
			return
		}
		of[key] = &inspect.PeerFault{Direction: inspect.In, Class: e.Code, Status: e.Status}
	}
	of[key].Count++
	of[key].Last, of[key].Message = time.Now().UnixMilli(), e.Route+": "+e.Reason
}

// since gives what happened after a number, and a channel that is closed when there is more. missed tells that there was something
// that is not kept any more.
func (w *Watch) since(after int64) (list []Happened, missed bool, news <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, _ := slices.BinarySearchFunc(w.events, after+1, func(h Happened, number int64) int { return cmp.Compare(h.Number, number) })
	if w.news == nil {
		w.news = make(chan struct{})
	}
	missed = len(w.events) > 0 && w.events[0].Number > after+1
	return slices.Clone(w.events[n:]), missed, w.news
}

func (w *Watch) latest() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// returned is the errors that a server was answered with since the start.
func (w *Watch) returned(server ident.ServerName) (list []inspect.PeerFault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.faults[string(server)] {
		list = append(list, *f)
	}
	slices.SortFunc(list, func(a, b inspect.PeerFault) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Status, b.Status))
	})
	return list
}
