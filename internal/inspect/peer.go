// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// sampled is how many of the latest deliveries to a peer durations are told from.
	sampled = 200
	// scannedSent is how many transactions, whomever they are to, are looked at for those of one peer.
	scannedSent = 50_000
	// scannedVerdicts is in how many portions records are looked at for those about a peer's events.
	scannedVerdicts = 20
	// hearsAfter is how long a server that reaches us may have been silent: one that has nothing to say sends nothing.
	hearsAfter = 24 * time.Hour
)

// PeerDetail is everything about how we and another server stand.
type PeerDetail struct {
	Peer
	// WeReach and TheyReach say which way is open: "yes", "no", or "unknown" where nothing was tried, or not for a day.
	WeReach   string      `json:"we_reach_them"`
	TheyReach string      `json:"they_reach_us"`
	Error     string      `json:"error,omitempty"` // of the last failure, in words
	Phase     string      `json:"phase,omitempty"`
	Status    int         `json:"status,omitempty"`
	NotBefore int64       `json:"not_before_ts,omitempty"` // it asked for that itself
	Hold      *HoldRule   `json:"hold,omitempty"`
	Attempts  int         `json:"attempts_30d"`
	Succeeded int         `json:"succeeded_30d"`
	Samples   int         `json:"samples"` // deliveries that the next two are told from, the latest
	P50       int64       `json:"p50_us,omitempty"`
	P95       int64       `json:"p95_us,omitempty"`
	Errors    []PeerFault `json:"errors"`
}

// PeerFault is a class of errors between us and another server.
type PeerFault struct {
	// Direction is Out for what went wrong with what we sent, In for what we refused of theirs.
	Direction string `json:"dir"`
	Class     string `json:"class"`          // of a failure; of what we refused, the outcome or the errcode
	Rule      string `json:"rule,omitempty"` // that decided
	Count     int    `json:"count"`          // within 30 days, or of what records are kept
	Last      int64  `json:"last_ts,omitempty"`
	Status    int    `json:"status,omitempty"`
	Message   string `json:"message,omitempty"` // the last words
	EventID   string `json:"event_id,omitempty"`
	TxnID     string `json:"txn_id,omitempty"`
}

// peer is the one server that a filter is about.
func (f Filter) peer() (ident.ServerName, error) {
	name, err := ident.ParseServerName(f.Server)
	if err == nil {
		_, err = f.check(peerStates)
	}
	if err != nil {
		return "", badQuery{err}
	}
	return name, nil
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// Peer shows how we and another server stand.
func (i *Inspector) Peer(ctx context.Context, f Filter) (PeerDetail, error) {
	name, err := f.peer()
	if err != nil {
		return PeerDetail{}, err
	}
	b, err := i.backlog(ctx, transaction.Names{name: true})
	if err != nil {
		return PeerDetail{}, fmt.Errorf("peer %s: %w", name, err)
	}
	var d persistence.NumberedDestination
	if len(b.destinations) > 0 {
		d = b.destinations[0]
	}
	p := PeerDetail{Peer: b.peer(name, d, len(b.destinations) > 0), Hold: b.hold(name), NotBefore: d.NotBefore}
	if err := i.view(ctx, func(tx *persistence.Tx) error { return p.fill(tx, name) }); err != nil {
		return PeerDetail{}, fmt.Errorf("peer %s: %w", name, err)
	}
	if p.State == PeerNew && p.LastInbound == 0 && p.Rooms == 0 {
		return PeerDetail{}, fmt.Errorf("peer %s: %w: we never had to do with it", name, ErrNotFound)
	}
	if err := i.addDurations(ctx, &p, name); err != nil {
		return PeerDetail{}, fmt.Errorf("peer %s: %w", name, err)
	}
	p.judgeWays(b.now)
	p.Errors, err = i.PeerErrors(ctx, f)
	return p, err
}

func (p *PeerDetail) fill(tx *persistence.Tx, name ident.ServerName) error {
	days, err := tx.AttemptDays(name)
	if err != nil {
		return err
	}
	for _, day := range days {
		p.Attempts += day.Attempts
		if day.Class == persistence.ClassOK {
			p.Succeeded += day.Attempts
		}
	}
	failed, err := tx.FailedAttempts(name)
	if err != nil {
		return err
	}
	if n := len(failed); n > 0 {
		p.Error, p.Phase, p.Status = failed[n-1].Message, failed[n-1].Phase, failed[n-1].Status
	}
	return p.addContact(tx, name)
}

// addDurations tells the usual durations of deliveries.
func (i *Inspector) addDurations(ctx context.Context, p *PeerDetail, name ident.ServerName) error {
	var took []int64
	err := i.eachSentTo(ctx, name, func(t persistence.SentTransaction) bool {
		if t.Last.Class == persistence.ClassOK {
			took = append(took, t.Last.DurationUS)
		}
		return len(took) < sampled
	})
	if p.Samples = len(took); p.Samples > 0 {
		slices.Sort(took)
		p.P50, p.P95 = percentile(took, 50), percentile(took, 95)
	}
	return err
}

// percentile is the least value that so many of a hundred do not exceed.
func percentile(sorted []int64, of int) int64 { return sorted[(len(sorted)*of+99)/100-1] }

// eachSentTo hands over transactions to a server, the newest first, until use has enough.
func (i *Inspector) eachSentTo(ctx context.Context, name ident.ServerName, use func(persistence.SentTransaction) (more bool)) error {
	var before persistence.Position
	for range scannedSent / logPortion {
		var list []persistence.SentTransaction
		err := i.view(ctx, func(tx *persistence.Tx) (err error) {
			list, before, err = tx.SentTo(name, before, logPortion)
			return err
		})
		if err != nil {
			return err
		}
		for _, t := range list {
			if !use(t) {
				return nil
			}
		}
		if before == 0 {
			return nil
		}
	}
	return nil
}

// judgeWays tells which way is open.
func (p *PeerDetail) judgeWays(now int64) {
	p.WeReach, p.TheyReach = "unknown", "unknown"
	switch {
	case p.Failures > 0:
		p.WeReach = "no"
	case p.LastSuccess > p.LastFailure:
		p.WeReach = "yes"
	}
	if p.LastInbound != 0 && now-p.LastInbound < hearsAfter.Milliseconds() {
		p.TheyReach = "yes"
	}
}

// PeerErrors lists what went wrong with a server in both directions, by class, the most frequent first.
func (i *Inspector) PeerErrors(ctx context.Context, f Filter) ([]PeerFault, error) {
	name, err := f.peer()
	if err != nil {
		return nil, err
	}
	list := []PeerFault{}
	err = i.view(ctx, func(tx *persistence.Tx) error {
		list, err = failuresOf(tx, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("errors of %s: %w", name, err)
	}
	refused := map[[2]string]*PeerFault{}
	err = i.eachVerdictOf(ctx, name, f, func(row persistence.Verdict) {
		v, err := pdu.VerdictOf(row)
		if err != nil {
			return // the record cannot be read: event explain says so
		}
		decisive := v.Decisive()
		key := [2]string{v.Outcome.String(), decisive.Rule}
		if refused[key] == nil { // the newest comes first
			refused[key] = &PeerFault{
				Direction: In, Class: key[0], Rule: key[1], Last: max(v.JudgedAt, v.ReceivedAt), Message: decisive.Detail, EventID: string(v.Event),
				TxnID: v.Txn,
			}
		}
		refused[key].Count++
	})
	for _, fault := range refused {
		list = append(list, *fault)
	}
	list = slices.DeleteFunc(list, func(p PeerFault) bool {
		return f.Class != "" && p.Class != f.Class || !f.within(p.Last) && (f.Since != 0 || f.Until != 0) || f.RoomID != "" && p.Direction == Out
	})
	slices.SortFunc(list, func(a, b PeerFault) int {
		return cmp.Or(cmp.Compare(b.Direction, a.Direction), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Class, b.Class), cmp.Compare(a.Rule, b.Rule))
	})
	return list[:min(len(list), clampLimit(f.Limit))], err
}

// failuresOf is the failures of what we sent: the counts of 30 days, with the last words where the attempt is kept.
func failuresOf(tx *persistence.Tx, name ident.ServerName) ([]PeerFault, error) {
	faults := map[string]*PeerFault{}
	days, err := tx.AttemptDays(name)
	if err != nil {
		return nil, err
	}
	for _, day := range days {
		if day.Class == persistence.ClassOK {
			continue
		}
		if faults[day.Class] == nil {
			faults[day.Class] = &PeerFault{Direction: Out, Class: day.Class}
		}
		faults[day.Class].Count += day.Attempts
		faults[day.Class].Last = day.Day * (24 * time.Hour).Milliseconds()
	}
	failed, err := tx.FailedAttempts(name)
	for _, a := range failed {
		if f := faults[a.Class]; f != nil {
			f.Last, f.Status, f.Message = a.StartedAt, a.Status, a.Message
		}
	}
	list := []PeerFault{}
	for _, f := range faults {
		list = append(list, *f)
	}
	return list, err
}

// eachVerdictOf hands over the records of events that a server sent us and that were not plainly accepted, the newest first.
func (i *Inspector) eachVerdictOf(ctx context.Context, name ident.ServerName, f Filter, use func(persistence.Verdict)) error {
	filter := persistence.VerdictFilter{Origin: name, Room: ident.RoomID(f.RoomID), Since: f.Since}
	for range scannedVerdicts {
		var list []persistence.Verdict
		err := i.view(ctx, func(tx *persistence.Tx) (err error) {
			list, filter.Before, err = tx.FindVerdicts(filter, page)
			return err
		})
		if err != nil {
			return err
		}
		for _, v := range list {
			if v.Outcome != persistence.OutcomeQuarantined && v.Outcome != persistence.OutcomeAccepted && (f.Until == 0 || v.JudgedAt <= f.Until) {
				use(v)
			}
		}
		if filter.Before == 0 {
			return nil
		}
	}
	return nil
}
