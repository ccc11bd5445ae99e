// SPDX-License-Identifier: Apache-2.0

package simnet_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/internal/simnet"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// good is the end of a run as it should be: a creates, b joins, b says something.
func good() simnet.End {
	events := map[ident.EventID]simnet.Known{}
	put := func(id, parent, about string, join ident.UserID) {
		k := simnet.Known{ID: ident.EventID(id), Outcome: pdu.Accepted, InGraph: true, About: about, Join: join}
		if parent != "" {
			k.Parents = []ident.EventID{ident.EventID(parent)}
		}
		events[k.ID] = k
	}
	put("$create", "", "m.room.create of @a:a.example", "")
	put("$a", "$create", "m.room.member of @a:a.example", "@a:a.example")
	put("$b", "$a", "m.room.member of @b:b.example", "@b:b.example")
	put("$said", "$b", "m.room.message of @b:b.example", "")
	snapshot := func(letter string, ids ...ident.EventID) simnet.Snapshot {
		s := simnet.Snapshot{
			Server: ident.ServerName(letter + ".example"), User: ident.UserID("@" + letter + ":" + letter + ".example"), Joined: true,
			Root: "1", Slots: map[event.StateKey]ident.EventID{{Type: "m.room.create"}: "$create"}, Extremities: []ident.EventID{"$said"},
			Servers: []ident.ServerName{"a.example", "b.example"}, Events: maps.Clone(events),
		}
		for i, id := range ids {
			c := simnet.Callback{Position: persistence.Position(2 * i), Event: id}
			s.Delivered = append(s.Delivered, c)
			c.Life = 1
			s.Callbacks = append(s.Callbacks, c)
		}
		return s
	}
	return simnet.End{
		Snapshots:    []simnet.Snapshot{snapshot("a", "$create", "$a", "$b", "$said"), snapshot("b", "$b", "$said")},
		Acknowledged: []simnet.Acknowledged{{Server: "b.example", Event: "$said"}},
	}
}

// Each invariant finds what it is there to find, and that alone.
func TestInvariantsFind(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(a, b *simnet.Snapshot, e *simnet.End)
		want   []string
	}{
		{"nothing", func(_, _ *simnet.Snapshot, _ *simnet.End) {}, nil},
		{"a fault on the way", func(_, _ *simnet.Snapshot, e *simnet.End) { e.Faults = []string{"x"} }, []string{"nothing breaks"}},
		{"a change of a device that did not come", func(a, b *simnet.Snapshot, _ *simnet.End) {
			a.Desk, b.Desk = &simnet.Desk{Devices: map[ident.UserID][]string{a.User: {"D: new"}}}, &simnet.Desk{Devices: map[ident.UserID][]string{a.User: {"D: old"}}}
		}, []string{"device lists agree"}},
		{"a device list that is not fetched", func(a, b *simnet.Snapshot, _ *simnet.End) {
			a.Desk, b.Desk = &simnet.Desk{}, &simnet.Desk{Stale: []string{string(a.User)}}
		}, []string{"device lists agree"}},
		{"a fault on a link", func(_, _ *simnet.Snapshot, e *simnet.End) { e.Links = []string{"x"} }, []string{"links are orderly"}},
		{"another root", func(a, _ *simnet.Snapshot, _ *simnet.End) { a.Root = "2" }, []string{"servers converge"}},
		{"a slot more", func(_, b *simnet.Snapshot, _ *simnet.End) {
			b.Slots[event.StateKey{Type: "m.room.topic"}] = "$said"
		}, []string{"servers converge"}},
		{"other extremities", func(a, _ *simnet.Snapshot, _ *simnet.End) { a.Extremities = nil }, []string{"servers converge"}},
		{"other servers", func(a, _ *simnet.Snapshot, _ *simnet.End) { a.Servers = a.Servers[:1] }, []string{"servers converge"}},
		{"b is out by a kick that did not last with a", func(_, b *simnet.Snapshot, e *simnet.End) {
			kick := simnet.Known{ID: "$kick", Outcome: pdu.Accepted, InGraph: true, Sender: "@a:a.example", Leave: b.User}
			b.Joined, b.Events["$kick"] = false, kick
			b.Slots[event.StateKey{Type: "m.room.member", Key: string(b.User)}] = "$kick"
			e.Revokes = true
		}, nil},
		{"b is out by a kick that waits", func(_, b *simnet.Snapshot, e *simnet.End) {
			b.Joined, e.Revokes = false, true
			b.Events["$kick"] = simnet.Known{ID: "$kick", Sender: "@a:a.example", Leave: b.User}
			b.Slots[event.StateKey{Type: "m.room.member", Key: string(b.User)}] = "$b"
		}, nil},
		{"b is out and nothing is taken away", func(_, b *simnet.Snapshot, _ *simnet.End) { b.Joined = false }, []string{"servers converge"}},
		{"history from before b's join is not with b, whom a kick from before it did not put out", func(_, b *simnet.Snapshot, _ *simnet.End) {
			delete(b.Events, "$a")
			b.Slots[event.StateKey{Type: "m.room.member", Key: string(b.User)}] = "$b"
			b.Events["$kick"] = simnet.Known{ID: "$kick", Outcome: pdu.Accepted, InGraph: true, Sender: "@a:a.example", Leave: b.User}
			kick := simnet.Callback{Position: 9, Event: "$kick"}
			b.Delivered = append(b.Delivered, kick)
			kick.Life = 1
			b.Callbacks = append(b.Callbacks, kick)
		}, []string{"servers converge", "servers hold the same events"}},
		{"b sees what was said before its join", func(a, b *simnet.Snapshot, _ *simnet.End) {
			for _, s := range []*simnet.Snapshot{a, b} {
				k := s.Events["$a"]
				k.Veil = true
				s.Events["$a"] = k
				early := simnet.Known{ID: "$early", Outcome: pdu.Accepted, InGraph: true, Sender: "@a:a.example", Parents: []ident.EventID{"$a"}, Said: true}
				s.Events["$early"] = early
				join := s.Events["$b"]
				join.Parents = append(join.Parents, "$early")
				s.Events["$b"] = join
			}
		}, []string{"history is shown to whom it may be"}},
		{"nobody is left", func(a, b *simnet.Snapshot, _ *simnet.End) { a.Joined, b.Joined = false, false }, []string{"servers converge"}},
		{"an event that b says is not with a", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			delete(a.Events, "$said")
			a.Delivered, a.Callbacks = a.Delivered[:3], a.Callbacks[:3]
		}, []string{"servers hold the same events", "nothing acknowledged is lost"}},
		{"history from before its join is not with b", func(_, b *simnet.Snapshot, _ *simnet.End) { delete(b.Events, "$a") }, nil},
		{"an event is an outlier", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			k := a.Events["$said"]
			k.InGraph = false
			a.Events["$said"] = k
		}, []string{"servers hold the same events", "nothing acknowledged is lost"}},
		{"an acknowledged event is not even with its sender", func(_, _ *simnet.Snapshot, e *simnet.End) {
			e.Acknowledged = append(e.Acknowledged, simnet.Acknowledged{Server: "a.example", Event: "$gone"})
		}, []string{"nothing acknowledged is lost"}},
		{"what b wrote is not with a", func(_, b *simnet.Snapshot, _ *simnet.End) {
			b.Written = map[ident.UserID][]int64{"@a:a.example": {1, 2}}
		}, []string{"devices have what was written to them"}},
		{"it is there twice, or in another order", func(a, b *simnet.Snapshot, _ *simnet.End) {
			b.Written, b.Received = map[ident.UserID][]int64{a.User: {1, 2}}, map[ident.UserID][]int64{a.User: {2, 1}}
			a.Written, a.Received = map[ident.UserID][]int64{b.User: {1, 2}}, map[ident.UserID][]int64{b.User: {1, 2, 2}}
		}, []string{"devices have what was written to them"}},
		{"a callback is missing", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			a.Callbacks = slices.Delete(a.Callbacks, 1, 2)
		}, []string{"callbacks are in order and complete"}},
		{"a callback comes twice in a life", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			a.Callbacks = append(a.Callbacks, a.Callbacks[3])
		}, []string{"callbacks are in order and complete"}},
		{"callbacks come again in the next life", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			for _, c := range a.Callbacks[2:] {
				c.Life = 2
				a.Callbacks = append(a.Callbacks, c)
			}
		}, nil},
		{"a callback that was not taken comes again", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			failed := a.Callbacks[1]
			failed.Failed = true
			a.Callbacks = slices.Insert(a.Callbacks, 1, failed)
		}, nil},
		{"a callback that was not taken is passed over", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			a.Callbacks[1].Failed = true
		}, []string{"callbacks are in order and complete"}},
		{"an event changes its position", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			again := simnet.Callback{Life: 2, Position: 1, Event: "$said"}
			a.Callbacks = append(a.Callbacks, again)
		}, []string{"callbacks are in order and complete"}},
		{"an event waits", func(a, _ *simnet.Snapshot, _ *simnet.End) { a.Waiting = []string{"x"} }, []string{"nothing stays quarantined"}},
		{"an event was refused", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			a.Verdicts = []pdu.Verdict{{Event: "$x", Outcome: pdu.Rejected}}
		}, []string{"honest events are not refused"}},
		{"an event soft-failed and no right was taken away", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			a.Verdicts = []pdu.Verdict{{Event: "$x", Outcome: pdu.SoftFailed}}
		}, []string{"honest events are not refused"}},
		{"an event soft-failed after a right was taken away", func(a, _ *simnet.Snapshot, e *simnet.End) {
			e.Revokes = true
			a.Verdicts = []pdu.Verdict{{Event: "$x", Outcome: pdu.SoftFailed}}
		}, nil},
		{"an event is accepted that the policy server has not signed", func(a, b *simnet.Snapshot, _ *simnet.End) {
			for _, s := range []*simnet.Snapshot{a, b} {
				named, said := s.Events["$b"], s.Events["$said"]
				named.About, said.Unsigned = "m.room.policy of @a:a.example", s.Server == "a.example"
				s.Events["$b"], s.Events["$said"] = named, said
			}
		}, []string{"the policy server's word holds"}},
		{"an event that the policy server has not signed soft-failed with one", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			said := a.Events["$said"]
			said.Unsigned, said.Outcome = true, pdu.SoftFailed
			a.Events["$said"] = said
			a.Verdicts = []pdu.Verdict{{Event: "$said", Outcome: pdu.SoftFailed, Checks: []pdu.Check{{ID: "P-30", Rule: "M-104"}}}}
		}, nil},
		{"a forged event is accepted", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			k := a.Events["$said"]
			k.Forged = "bad signature"
			a.Events["$said"] = k
		}, []string{"nothing forged is accepted"}},
		{"a forged event is known as rejected", func(a, _ *simnet.Snapshot, e *simnet.End) {
			a.Events["$x"] = simnet.Known{ID: "$x", Outcome: pdu.Rejected, InGraph: true, Sender: "@d:d.example", Forged: "bad signature"}
			e.Liars = []ident.ServerName{"d.example"}
		}, nil},
		{"a liar's event soft-failed with one", func(a, b *simnet.Snapshot, e *simnet.End) {
			for _, s := range []*simnet.Snapshot{a, b} {
				s.Events["$x"] = simnet.Known{ID: "$x", Outcome: pdu.SoftFailed, InGraph: true, Sender: "@d:d.example", Parents: []ident.EventID{"$b"}}
			}
			a.Verdicts = []pdu.Verdict{{Event: "$x", Outcome: pdu.SoftFailed}}
			e.Liars = []ident.ServerName{"d.example"}
		}, nil},
		{"what a liar handed over was dropped", func(a, _ *simnet.Snapshot, e *simnet.End) {
			a.Verdicts = []pdu.Verdict{{Event: "$x", Outcome: pdu.Dropped, Origin: "d.example"}}
			e.Liars = []ident.ServerName{"d.example"}
		}, nil},
		{"only the liar is seen in the room besides", func(a, b *simnet.Snapshot, e *simnet.End) {
			a.Servers = append(a.Servers, "d.example")
			b.Servers = append(b.Servers, "d.example")
			e.Liars = []ident.ServerName{"d.example"}
		}, nil},
		{"one sees the liar in the room, the other does not", func(a, _ *simnet.Snapshot, e *simnet.End) {
			a.Servers = append(a.Servers, "d.example")
			e.Liars = []ident.ServerName{"d.example"}
		}, []string{"servers converge"}},
		{"one redacted what both saw redacted", func(a, b *simnet.Snapshot, _ *simnet.End) {
			for _, s := range []*simnet.Snapshot{a, b} {
				s.Events["$x"] = simnet.Known{ID: "$x", Outcome: pdu.Accepted, InGraph: true, Redacts: "$said"}
			}
			k := a.Events["$said"]
			k.Redacted = true
			a.Events["$said"] = k
		}, []string{"servers redact the same events"}},
		{"one redacted, and the other does not have the redaction", func(a, _ *simnet.Snapshot, _ *simnet.End) {
			a.Events["$x"] = simnet.Known{ID: "$x", Outcome: pdu.Accepted, InGraph: true, Redacts: "$said"}
			k := a.Events["$said"]
			k.Redacted = true
			a.Events["$said"] = k
		}, nil},
		{"a user has power that nobody gave", func(a, _ *simnet.Snapshot, e *simnet.End) {
			a.Power = simnet.Power{"@b:b.example": 51}
			e.Granted = simnet.Power{"@b:b.example": 50}
		}, []string{"nobody has power that was not given"}},
		{"a user has power that a liar may have passed on", func(a, _ *simnet.Snapshot, e *simnet.End) {
			a.Power = simnet.Power{"@b:b.example": 50}
			e.Granted = simnet.Power{"@d:d.example": 50}
			e.Liars = []ident.ServerName{"d.example"}
		}, nil},
		{"a ban is lost", func(_, _ *simnet.Snapshot, e *simnet.End) {
			e.Expected = []simnet.Expectation{{User: "@d:d.example", Membership: "ban"}}
		}, []string{"the end is as expected"}},
		{"a liar made a server keep much", func(a, _ *simnet.Snapshot, e *simnet.End) {
			e.Liars = []ident.ServerName{"d.example"}
			for range 3_000 {
				a.Verdicts = append(a.Verdicts, pdu.Verdict{Event: "$x", Outcome: pdu.Dropped, Origin: "d.example"})
			}
		}, []string{"liars take little space"}},
	} {
		end := good()
		test.change(&end.Snapshots[0], &end.Snapshots[1], &end)
		var got []string
		for _, invariant := range simnet.Invariants {
			if len(invariant.Check(end)) > 0 {
				got = append(got, invariant.Name)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: violated %q, want %q", test.name, got, test.want)
		}
	}
}
