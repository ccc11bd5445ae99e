// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"errors"
	"slices"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
)

// stages is the checks on receipt that need the room (server-server API, "Checks performed on receipt of a PDU"), in order,
// with what becomes of an event that fails. Those before them, P-25 and P-26, have been passed when an event is staged.
var stages = []struct {
	id    string
	fails Outcome
	check func(*batch, *record) (auth.Result, error)
}{
	{"P-27", Rejected, (*batch).checkAuthEvents},
	{"P-28", Rejected, (*batch).checkStateBefore},
	{"P-29", SoftFailed, (*batch).checkCurrent},
	{"P-30", SoftFailed, (*batch).checkPolicy},
}

// receive judges a staged event, as far as what it references allows. r is what is stored of it.
func (b *batch) receive(r *record, s persistence.Staging) error {
	if r.inGraph { // staged by a search that began before it was judged: placing it again would make it an extremity
		b.unstaged = append(b.unstaged, unstaging{r.nid, true})
		return nil
	}
	v := b.newVerdict(r, s)
	asAuth := Arrival(s.Arrival) == arrivedAsAuthEvent
	missing, known, err := b.missing(r, asAuth)
	if err != nil {
		return err
	}
	if !known {
		b.quarantine(r, v, missing)
		return nil
	}
	own, first, was := b.change(r), !r.known(), *r
	b.fetched[own.event.ID()] = Arrival(s.Arrival) != arrivedInTransaction
	if !asAuth && len(missing) == 0 {
		err = b.judge(own, &v)
	} else {
		err = b.judgeAsOutlier(own, &v)
	}
	if unsigned := (*unsignedError)(nil); errors.As(err, &unsigned) {
		*own = was
		b.unsigned = append(b.unsigned, question{s, unsigned.server})
		return nil
	}
	if err != nil {
		return err
	}
	if first {
		b.cite(own)
	}
	if own.outcome != Accepted || own.redacted || s.Waited || b.waits[own.event.ID()] != nil {
		if err := b.explain(own, &v); err != nil {
			return err
		}
	}
	b.askIfTurned(was.outcome, own)
	if own.inGraph {
		b.settle(own, v, s)
		return b.place(own)
	}
	if asAuth {
		b.settle(own, v, s)
		return nil
	}
	b.quarantine(own, v, missing)
	return nil
}

// judge runs the checks on an event whose references are all known, and fills in its outcome and its place in the graph.
func (b *batch) judge(own *record, v *Verdict) error {
	before, err := b.stateBefore(own.event)
	if err != nil {
		return err
	}
	return b.judgeOn(own, before, v)
}

// judgeOn is judge for a state before the event that is known.
func (b *batch) judgeOn(own *record, before state.Root, v *Verdict) (err error) {
	own.before, own.after, own.inGraph = before, before, true
	judged := own.outcome
	own.outcome = Accepted
	for _, stage := range stages {
		if slices.Contains(b.passed, stage.id) {
			v.Checks = append(v.Checks, Check{ID: stage.id, OK: true, Rule: stage.id, Detail: "passed when the event came"})
			continue
		}
		result, err := stage.check(b, own)
		if err != nil {
			return err
		}
		result = keptAllowed(own, result)
		v.Checks = append(v.Checks, checkOf(stage.id, result))
		if !result.OK {
			own.outcome = stage.fails
			break
		}
	}
	v.Outcome = own.outcome
	b.noteOutcome(judged, own.outcome)
	if own.outcome != Rejected {
		if own.after, err = b.stateAfter(own.event, before); err != nil {
			return err
		}
	}
	return nil
}

// judgeAsOutlier runs only the check against the event's own auth events. If it passes, others may rest on the event although
// its place in the graph is not known.
func (b *batch) judgeAsOutlier(own *record, v *Verdict) error {
	result, err := b.checkAuthEvents(own)
	if err != nil {
		return err
	}
	result = keptAllowed(own, result)
	v.Checks = append(v.Checks, checkOf("P-27", result))
	v.Outcome = Accepted
	if !result.OK {
		v.Outcome = Rejected
	}
	if own.known() {
		v.Outcome = own.outcome
		return nil
	}
	own.outcome = v.Outcome
	return nil
}

// place gives an event that was judged its effect on the room. What another event in the graph follows is no extremity.
func (b *batch) place(own *record) error {
	id := own.event.ID()
	descended, err := b.closeGap(id)
	if err != nil {
		return err
	}
	descended = descended || own.past != live
	if own.outcome != Accepted && !descended {
		return b.letGo(own)
	}
	return b.advance(own, descended)
}

func (b *batch) settle(own *record, v Verdict, s persistence.Staging) {
	id := own.event.ID()
	b.settled[id] = judged{v, s.Waited || b.waits[id] != nil}
	delete(b.waits, id)
	if own.nid != 0 {
		b.unstaged = append(b.unstaged, unstaging{own.nid, s.Waited})
	}
}

func (b *batch) newVerdict(r *record, s persistence.Staging) Verdict {
	signatures := "signatures and content hash are good"
	if r.redacted {
		signatures = "signatures are good; the content hash does not match, so the redacted copy is kept"
	}
	return Verdict{
		Event: r.event.ID(), Room: b.id, Redacted: r.redacted, Origin: s.Origin, Via: Arrival(s.Arrival), Txn: s.Txn,
		ReceivedAt: s.ReceivedAt, JudgedAt: b.now.UnixMilli(), Searches: s.Attempts, SearchNote: s.Note,
		Checks: []Check{
			{ID: "P-25", OK: true, Rule: "P-25", Detail: "well-formed for room version " + b.head.version.ID},
			{ID: "P-26", OK: true, Rule: "P-14", Detail: signatures},
		},
	}
}

func checkOf(id string, result auth.Result) Check {
	return Check{ID: id, OK: result.OK, Rule: result.Rule, Detail: result.Detail}
}

// missing lists the references that an event cannot be judged without; known says that all of its auth events are. For an event
// that is wanted as an auth event only, the parents do not matter.
func (b *batch) missing(r *record, asAuth bool) (missing []persistence.Missing, known bool, err error) {
	known = true
	for _, id := range r.event.AuthEvents() {
		a, err := b.record(id)
		if err != nil {
			return nil, false, err
		}
		if a == nil || !a.known() {
			known = false
			missing = append(missing, persistence.Missing{ID: id})
		}
	}
	if asAuth {
		return missing, known, nil
	}
	for _, id := range r.event.PrevEvents() {
		p, err := b.record(id)
		if err != nil {
			return nil, false, err
		}
		if p == nil || !p.inGraph {
			missing = append(missing, persistence.Missing{ID: id, InGraph: true})
		}
	}
	return missing, known, nil
}

// quarantine keeps an event until what it misses has arrived.
func (b *batch) quarantine(r *record, v Verdict, missing []persistence.Missing) {
	v.Outcome = Quarantined
	for _, m := range missing {
		v.Waits = append(v.Waits, m.ID)
	}
	b.waits[r.event.ID()] = missing
	b.settled[r.event.ID()] = judged{verdict: v}
}
