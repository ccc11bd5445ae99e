// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxOfLiars is how many events and records of refused events a server may end with that liars made it keep. Scenarios make far
// fewer events, but liars answer with thousands.
const maxOfLiars = 2_000

// nothingForged: no server accepted an event that the server of its sender did not sign. This is judged by the keys that the
// servers really have, whatever the engine believed.
func nothingForged(e End) (wrong []string) {
	for _, s := range e.Snapshots {
		for id, k := range s.Events {
			if k.Forged != "" && k.Outcome != pdu.Rejected {
				wrong = append(wrong, fmt.Sprintf("%s has %s: %s", s.Server, s.describe(id), k.Forged))
			}
		}
	}
	return wrong
}

// forged says what is wrong with an event's signature, "" for nothing. Many servers have the same event: each text is looked at
// once.
func (w *World) forged(e *event.Event) string {
	text := string(e.JSON())
	w.mu.Lock()
	defer w.mu.Unlock()
	if known, ok := w.verified[text]; ok {
		return known
	}
	w.verified[text] = "the sender's server does not exist"
	for _, n := range w.nodes {
		if n.name != e.Sender().Server() {
			continue
		}
		w.verified[text] = ""
		if err := n.vouches(e); err != nil {
			w.verified[text] = err.Error()
		}
	}
	return w.verified[text]
}

// powerIsGiven: nobody has more power than a user of an honest server, or a liar with what it was given, could have given them.
func powerIsGiven(e End) (wrong []string) {
	most := 0
	for user, level := range e.Granted {
		if e.lies(user.Server()) {
			most = max(most, level)
		}
	}
	for _, s := range e.joined() {
		for user, level := range s.Power {
			if level > max(e.Granted[user], most) {
				wrong = append(wrong, fmt.Sprintf("%s: %s has power %d, was given %d", s.Server, user, level, e.Granted[user]))
			}
		}
	}
	return wrong
}

// endIsExpected: what the scenario says of its end.
func endIsExpected(e End) (wrong []string) {
	for _, s := range e.joined() {
		for _, want := range e.Expected {
			if want.Outside {
				continue
			}
			id := s.Slots[event.StateKey{Type: "m.room.member", Key: string(want.User)}]
			if got := s.Events[id].Membership; got != want.Membership {
				wrong = append(wrong, fmt.Sprintf("%s: the membership of %s is %q, not %q: %s", s.Server, want.User, got, want.Membership, s.describe(id)))
			}
		}
	}
	return wrong
}

// outsideIsExpected: likewise, for those who are not in the room.
func outsideIsExpected(e End) (wrong []string) {
	for _, s := range e.Snapshots {
		for _, want := range e.Expected {
			if want.Outside && want.User == s.User && (s.Joined || s.Told != want.Membership) {
				wrong = append(wrong, fmt.Sprintf("%s was told %q, not %q (in the room: %t)", s.Server, s.Told, want.Membership, s.Joined))
			}
		}
	}
	return wrong
}

// liarsTakeLittle: what liars make a server keep is bounded.
func liarsTakeLittle(e End) (wrong []string) {
	for _, s := range e.Snapshots {
		n := 0
		for _, k := range s.Events {
			if e.lies(k.Sender.Server()) {
				n++
			}
		}
		for _, v := range s.Verdicts {
			if _, stored := s.Events[v.Event]; !stored {
				n++
			}
		}
		if n > maxOfLiars {
			wrong = append(wrong, fmt.Sprintf("%s keeps %d events and records for liars", s.Server, n))
		}
	}
	return wrong
}

// putOut takes those for out of the room whom a liar with the power to do so put out, and whom it did not tell: the others do not
// send them anything any more. So are those who were put out before they had found the whole state: by whom, they cannot know.
func (e End) putOut() {
	joined := e.joined()
	for i, s := range e.Snapshots {
		for _, other := range joined {
			k := other.Events[other.Slots[event.StateKey{Type: "m.room.member", Key: string(s.User)}]]
			if k.Leave == s.User && (s.Partial || e.lies(k.Sender.Server())) || k.ID == "" && e.shutOut(s, other) {
				e.Snapshots[i].Joined = false
			}
		}
	}
}

// shutOut says whether a liar closed the room in a fork, did not tell one server of it, and resolution has left that one's join out
// with another, as that up to room version 11 does.
func (e End) shutOut(one, other Snapshot) bool {
	closed := other.Events[other.Slots[event.StateKey{Type: "m.room.join_rules"}]]
	_, told := one.Events[closed.ID]
	return e.lies(closed.Sender.Server()) && !told
}

func (e End) lies(name ident.ServerName) bool { return slices.Contains(e.Liars, name) }

// ofLiar says whether a verdict is about what a liar made: a stored event by its sender, another by who handed it over.
func (e End) ofLiar(s Snapshot, v pdu.Verdict) bool {
	if k, stored := s.Events[v.Event]; stored {
		return e.lies(k.Sender.Server())
	}
	return e.lies(v.Origin)
}
