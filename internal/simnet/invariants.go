// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// End is what a run is judged by.
type End struct {
	Snapshots    []Snapshot
	Acknowledged []Acknowledged
	Links        []string // what the ledger found
	Faults       []string // what the world found
	Misparked    []string // what is kept from who has not refused it
	Revokes      bool     // the script takes rights away
	Veiled       bool     // it veils history
	Liars        []ident.ServerName
	Granted      Power // what users of honest servers gave
	Expected     []Expectation
}

// Invariants is what must hold at the end of every run, whatever the network did. A check gives what is wrong, in words that
// name servers and events.
var Invariants = []struct {
	Name  string
	Check func(End) []string
}{
	{"nothing breaks", nothingBreaks},
	{"links are orderly", linksAreOrderly},
	{"only what is refused is set aside", onlyRefusedIsParked},
	{"servers converge", serversConverge},
	{"servers hold the same events", sameEvents},
	{"servers redact the same events", sameRedactions},
	{"nothing acknowledged is lost", nothingLost},
	{"devices have what was written to them", devicesHaveAll},
	{"callbacks are in order and complete", callbacksComplete},
	{"device lists agree", devicesAgree},
	{"nothing stays quarantined", nothingQuarantined},
	{"honest events are not refused", nothingRefused},
	{"nothing forged is accepted", nothingForged},
	{"nobody has power that was not given", powerIsGiven},
	{"history is shown to whom it may be", historyIsVeiled},
	{"the policy server's word holds", policyHolds},
	{"the end is as expected", endIsExpected},
	{"the end is as expected outside of the room", outsideIsExpected},
	{"who is outside is told how they stand", outsideIsTold},
	{"liars take little space", liarsTakeLittle},
}

func nothingBreaks(e End) []string { return e.Faults }

func linksAreOrderly(e End) []string { return e.Links }

// serversConverge: the same state under the same root, the same place to go on from, the same idea of who is in the room.
func serversConverge(e End) (wrong []string) {
	joined := e.joined()
	if len(joined) == 0 {
		return []string{"nobody is in the room"}
	}
	first := joined[0]
	for _, s := range joined[1:] {
		differ := func(what string, a, b any) {
			wrong = append(wrong, fmt.Sprintf("%s: %s %v, %s %v", what, first.Server, a, s.Server, b))
		}
		if s.Root != first.Root {
			differ("state root", first.Root, s.Root)
		}
		for slot := range union(first.Slots, s.Slots) {
			if a, b := first.Slots[slot], s.Slots[slot]; a != b {
				differ(fmt.Sprintf("state %s %q", slot.Type, slot.Key), first.describe(a), s.describe(b))
			}
		}
		if !slices.Equal(first.Extremities, s.Extremities) {
			differ("extremities", first.Extremities, s.Extremities)
		}
	}
	var names []ident.ServerName
	for _, s := range joined {
		names = append(names, s.Server)
	}
	for _, s := range joined {
		honest := slices.DeleteFunc(slices.Clone(s.Servers), func(name ident.ServerName) bool { return e.lies(name) || e.unawares(name) })
		if !slices.Equal(honest, names) || !slices.Equal(s.Servers, first.Servers) {
			wrong = append(wrong, fmt.Sprintf("servers in the room: %s says %v, %s %v; honest ones are %v",
				s.Server, s.Servers, first.Server, first.Servers, names))
		}
	}
	return wrong
}

// unawares says whether a server is out of the room by an event that did not last with the others: what came of it after that,
// nobody can make it believe. It is in its state; or was believed, and still waits for its place in the graph; or is another on which
// resolution has left the join out, as that up to room version 11 does when somebody with the right to closes the room in a fork.
func (e End) unawares(name ident.ServerName) bool {
	for _, s := range e.Snapshots {
		if s.Server != name || s.Joined || !e.Revokes {
			continue
		}
		removal := func(k Known) bool { return k.Leave == s.User && k.Sender != s.User }
		now := s.Events[s.Slots[event.StateKey{Type: "m.room.member", Key: string(s.User)}]]
		if now.ID == "" || removal(now) {
			return true
		}
		for _, k := range s.Events {
			if now.Join == s.User && removal(k) && !k.InGraph {
				return true
			}
		}
	}
	return false
}

// sameEvents: what one server accepted, every server accepted that was in the room then: for which the event comes after its
// join. Where rights were taken away meanwhile, an event may have soft-failed with those who knew of that first (P-33).
func sameEvents(e End) (wrong []string) {
	for _, to := range e.joined() {
		after := e.after(to.arrival())
		for _, from := range e.Snapshots {
			for _, k := range from.accepted() {
				untold := !from.Joined && e.lies(k.Sender.Server()) // made by a liar, and nobody follows it any more
				if untold || !after(k.ID) {
					continue
				}
				if why := e.lacks(to, k.ID); why != "" {
					wrong = append(wrong, fmt.Sprintf("%s accepted %s; %s %s", from.Server, from.describe(k.ID), to.Server, why))
				}
			}
		}
	}
	return wrong
}

// sameRedactions: where two servers accepted an event and a redaction of it, both have it as redacted, or neither: whether a redaction
// takes effect is decided by the graph alone.
func sameRedactions(e End) (wrong []string) {
	joined := e.joined()
	for _, s := range e.Snapshots {
		for id, redaction := range s.Events {
			if redaction.Redacts == "" {
				continue
			}
			var with []string
			without := 0
			for _, other := range joined {
				target := other.Events[redaction.Redacts]
				if !other.has(id) || !other.has(target.ID) {
					continue
				}
				if with = append(with, fmt.Sprintf("%s: redacted %t", other.Server, target.Redacted)); !target.Redacted {
					without++
				}
			}
			if without > 0 && without < len(with) {
				wrong = append(wrong, fmt.Sprintf("%s redacts %s: %v", s.describe(id), s.describe(redaction.Redacts), with))
			}
		}
	}
	return wrong
}

// has says whether an event was accepted at its place in the graph.
func (s Snapshot) has(id ident.EventID) bool {
	k, ok := s.Events[id]
	return ok && k.InGraph && k.Outcome == pdu.Accepted
}

// nothingLost: every event whose id Send returned is with its server, and with every server that was in the room then. Of what it made
// before it joined anew, its server may not know the place: where it left before the whole state was known, that is history to be fetched.
func nothingLost(e End) (wrong []string) {
	for _, ack := range e.Acknowledged {
		for _, s := range e.Snapshots {
			here := s.Joined && e.after(s.arrival())(ack.Event)
			if s.Server != ack.Server && !here {
				continue
			}
			if k, stored := s.Events[ack.Event]; s.Joined && !here && stored && !k.InGraph && k.Outcome == pdu.Accepted {
				continue
			}
			if why := e.lacks(s, ack.Event); why != "" {
				wrong = append(wrong, fmt.Sprintf("%s acknowledged %s; %s %s", ack.Server, ack.Event, s.Server, why))
			}
		}
	}
	return wrong
}

// lacks says in what way a server does not have an event, "" if it has it.
func (e End) lacks(s Snapshot, id ident.EventID) string {
	k, stored := s.Events[id]
	switch {
	case !stored && e.untold(s, id):
		return ""
	case !stored:
		return "does not have it"
	case !k.InGraph:
		return "does not know its place in the graph"
	case k.Outcome == pdu.Accepted:
		return ""
	case k.Outcome == pdu.SoftFailed && (e.Revokes || k.Unsigned || e.lies(k.Sender.Server())):
		return ""
	}
	return "has " + s.describe(id)
}

// untold says whether an event was made where a server was thought to be out of the room, after a removal of its user that did not last:
// then nobody sends it there, and where others refuse it too nothing that they say leads to it.
func (e End) untold(s Snapshot, id ident.EventID) bool {
	for _, by := range e.Snapshots {
		for _, k := range by.Events {
			didNotLast := k.Leave == s.User && k.Sender != s.User && by.has(k.ID) && !s.has(k.ID)
			if didNotLast && !by.Joined && by.User == k.Sender && e.after(k.ID)(id) {
				return true
			}
		}
	}
	return false
}

// callbacksComplete: an event has one position, but for one that is told anew, whole, at a second one, and a position one event;
// within a life positions rise, and an event comes again only if it was not taken; over all lives nothing is left out, and nothing is called back that is not in the store.
func callbacksComplete(e End) (wrong []string) {
	for _, s := range e.Snapshots {
		for _, text := range s.callbackFaults() {
			wrong = append(wrong, fmt.Sprintf("%s: %s", s.Server, text))
		}
	}
	return wrong
}

func (s Snapshot) callbackFaults() (wrong []string) {
	events, positions := map[persistence.Position]ident.EventID{}, map[ident.EventID]persistence.Position{}
	var before Callback
	var first []Callback // when each was taken first
	for i, c := range s.Callbacks {
		if id, ok := events[c.Position]; ok && id != c.Event {
			wrong = append(wrong, fmt.Sprintf("position %d is %s and %s", c.Position, id, c.Event))
		}
		position, came := positions[c.Event]
		switch {
		case came && position != c.Position && !c.Restored:
			wrong = append(wrong, fmt.Sprintf("%s has positions %d and %d", c.Event, position, c.Position))
		case c.Restored && (!came || position >= c.Position):
			wrong = append(wrong, fmt.Sprintf("%s came anew at %d, and had not come before", c.Event, c.Position))
		}
		sameLife := i > 0 && before.Life == c.Life
		switch {
		case sameLife && before.Failed && before.Position != c.Position:
			wrong = append(wrong, fmt.Sprintf("life %d: after %d was not taken came %d", c.Life, before.Position, c.Position))
		case sameLife && !before.Failed && before.Position >= c.Position:
			wrong = append(wrong, fmt.Sprintf("life %d: %d came after %d", c.Life, c.Position, before.Position))
		}
		if !c.Failed && (len(first) == 0 || c.Position > first[len(first)-1].Position) {
			first = append(first, Callback{Position: c.Position, Event: c.Event, Restored: c.Restored})
		}
		if events[c.Position], before = c.Event, c; !c.Restored {
			positions[c.Event] = c.Position
		}
	}
	if !slices.Equal(first, s.Delivered) {
		wrong = append(wrong, fmt.Sprintf("called back %s", difference(first, s.Delivered)))
	}
	return wrong
}

// difference says where what was called back leaves what is stored.
func difference(got, want []Callback) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("%s at %d where the store has %s at %d", got[i].Event, got[i].Position, want[i].Event, want[i].Position)
		}
	}
	return fmt.Sprintf("%d events, the store has %d", len(got), len(want))
}

func nothingQuarantined(e End) (wrong []string) {
	for _, s := range e.joined() {
		for _, w := range s.Waiting {
			wrong = append(wrong, fmt.Sprintf("%s: %s", s.Server, w))
		}
	}
	return wrong
}

// nothingRefused: all servers are honest and keep the same rules, so none rejects what another made. A server may drop what it
// gets for a room that it is not in (T-09), and what it cannot check because the sender's keys cannot be had just then: that it
// gets such an event in the end is sameEvents' business. Where rights are taken away, events may soft-fail. What liars make is
// not looked at here.
func nothingRefused(e End) (wrong []string) {
	for _, s := range e.Snapshots {
		for _, v := range s.Verdicts {
			decisive := v.Decisive()
			switch {
			case v.Outcome == pdu.Accepted && (!v.Redacted || e.Veiled || e.redacted(v.Event)): // others give what is left of it
			case v.Outcome == pdu.Dropped && (decisive.Rule == "T-09" || strings.HasPrefix(decisive.Detail, "no usable key of ")):
			case v.Outcome == pdu.SoftFailed && e.Revokes, policed(v):
			case v.Outcome == pdu.Quarantined && !s.Joined:
			case e.ofLiar(s, v):
			default:
				wrong = append(wrong, fmt.Sprintf("%s: %s is %s by %s (%s): %s", s.Server, s.describe(v.Event), v.Outcome,
					decisive.ID, decisive.Rule, decisive.Detail))
			}
		}
	}
	return wrong
}

// redacted says whether a redaction took effect on an event somewhere.
func (e End) redacted(id ident.EventID) bool {
	return slices.ContainsFunc(e.Snapshots, func(s Snapshot) bool { return s.Events[id].Redacted })
}

func (e End) joined() (list []Snapshot) {
	for _, s := range e.Snapshots {
		if s.Joined {
			list = append(list, s)
		}
	}
	return list
}

// arrival is the event with which the server came into the room for the last time: its join, or "" for the creator who never
// left. Who was put out by what did not last came with the join that is current.
func (s Snapshot) arrival() (arrival ident.EventID) {
	created := false
	for i, c := range s.Delivered {
		k := s.Events[c.Event]
		created = created || i == 0 && strings.HasPrefix(k.About, "m.room.create ")
		switch {
		case k.Leave == s.User:
			arrival, created = "", false
		case k.Join == s.User && !created: // again, should it not have heard how it was put out
			arrival = k.ID
		}
	}
	if arrival == "" && !created {
		return s.Slots[event.StateKey{Type: "m.room.member", Key: string(s.User)}]
	}
	return arrival
}

// accepted is the accepted events that have their place in the graph.
func (s Snapshot) accepted() (list []Known) {
	for _, c := range s.Delivered {
		list = append(list, s.Events[c.Event])
	}
	return list
}

// after tells whether an event comes after another in the graph that all servers know together. Everything comes after "".
func (e End) after(first ident.EventID) func(ident.EventID) bool {
	verdicts := map[ident.EventID]bool{first: true}
	var is func(id ident.EventID) bool
	is = func(id ident.EventID) bool {
		if verdict, ok := verdicts[id]; ok {
			return verdict
		}
		verdicts[id] = false
		for _, s := range e.Snapshots {
			k, ok := s.Events[id]
			if !ok {
				continue
			}
			verdicts[id] = slices.ContainsFunc(k.Parents, is)
			break
		}
		return verdicts[id]
	}
	return func(id ident.EventID) bool { return first == "" || is(id) }
}

// describe tells what a server knows of an event, and how it came to its verdict.
func (s Snapshot) describe(id ident.EventID) string {
	k, ok := s.Events[id]
	if !ok {
		return fmt.Sprintf("%q", id)
	}
	text := fmt.Sprintf("%s (%s, %s", id, k.About, k.Outcome)
	if !k.InGraph {
		text += ", outlier"
	}
	for _, v := range s.Verdicts {
		if v.Event == id {
			text += fmt.Sprintf(" by %s (%s): %s", v.Decisive().ID, v.Decisive().Rule, v.Decisive().Detail)
		}
	}
	return text + ")"
}

func union[K comparable, V any](a, b map[K]V) map[K]V {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}
