// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// TransactionStory is what became of a transaction and why.
type TransactionStory struct {
	Transaction
	Story  []string     `json:"story"` // in words
	Tries  []Attempt    `json:"tries"`
	Events []StoryEvent `json:"events"`
}

// StoryEvent is what became of one event, there and here.
type StoryEvent struct {
	PDUResult
	// Decided is the check that decided our own verdict; nil for what was plainly accepted.
	Decided   *Check `json:"decided,omitempty"`
	Permanent bool   `json:"permanent"`
}

// Explain tells what became of a transaction and why.
func (file TransactionFile) Explain() TransactionStory {
	s := TransactionStory{Transaction: file.Transaction.Transaction, Tries: file.Transaction.Tries, Events: []StoryEvent{}}
	outcomes := map[string]int{}
	for _, e := range file.Events {
		told := StoryEvent{PDUResult: e.PDUResult, Permanent: e.Permanent}
		if n := len(e.Checks); n > 0 {
			told.Decided = &e.Checks[n-1]
		}
		s.Events = append(s.Events, told)
		if e.Error == "" && e.Outcome != "" {
			outcomes[e.Outcome]++
		}
	}
	s.tell("%d PDUs and %d EDUs", s.PDUs, s.EDUs)
	if s.Direction == Out {
		s.tellSent()
	} else {
		s.tellReceived(outcomes)
	}
	return s
}

func (s *TransactionStory) tell(format string, args ...any) {
	s.Story = append(s.Story, fmt.Sprintf(format, args...))
}

func (s *TransactionStory) tellSent() {
	failed := s.Attempts
	if s.Class == "ok" {
		failed--
	}
	switch {
	case s.State == Answered && failed == 0:
		s.tell("%s answered at the first attempt", s.Peer)
	case s.State == Answered:
		s.tell("%s answered at attempt %d, after %d that failed", s.Peer, s.Attempts, failed)
	case s.State == Withdrawn:
		s.tell("it was given up after %d attempts; what is in it goes out anew, but for what was parked or dropped", s.Attempts)
	case s.Attempts == 0:
		s.tell("it was not sent yet")
	default:
		s.tell("%s has not answered in %d attempts; it goes out again, the same", s.Peer, s.Attempts)
	}
	if n := len(s.Tries); n > 0 && s.Class != "ok" {
		last := s.Tries[n-1]
		s.tell("the last attempt failed: %s", strings.TrimSpace(fmt.Sprintf("%s %s %s", last.Class, last.Phase, last.Message)))
	}
	if s.Failed > 0 {
		s.tell("%s refused %d of the PDUs, for good", s.Peer, s.Failed)
	}
}

func (s *TransactionStory) tellReceived(outcomes map[string]int) {
	s.tell("it was answered, and what was taken in was durable before that")
	if s.Failed > 0 {
		s.tell("%d of the PDUs were refused at once", s.Failed)
	}
	if unnamed := s.PDUs - len(s.Events); unnamed > 0 {
		s.tell("%d of the PDUs had no id that could be told", unnamed)
	}
	for _, outcome := range slices.Sorted(maps.Keys(outcomes)) {
		s.tell("%d by now %s", outcomes[outcome], outcome)
	}
}
