// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Fetched is an event as another server has it.
type Fetched struct {
	From   ident.ServerName
	PDU    []byte       // as it came, whatever it is
	Event  *event.Event // nil if it cannot be read as an event of its room's version
	Checks []Check      // P-25 and P-26, as far as they could be made; what comes after them needs the room
	Known  Outcome      // what became of it here; Dropped if it is not stored
}

// fetchBudget is what showing one event may cost.
var fetchBudget = spending{requests: 1, bytes: 4 << 20}

// FetchEvent asks another server for an event, for someone to look at (E-12). With keep it is taken in too, as if it had been
// missing: staged, and judged like any other, if it passes these checks and its room is here.
func (e *Engine) FetchEvent(ctx context.Context, server ident.ServerName, id ident.EventID, keep bool) (Fetched, error) {
	list, err := e.inquire(nil, fetchBudget).event(ctx, server, id)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s gave no event: %w", server, ErrUnknownEvent)
	}
	if err != nil {
		return Fetched{}, err
	}
	f := Fetched{From: server, PDU: list[0], Known: Dropped}
	if err := e.examine(ctx, &f, id); err != nil {
		return Fetched{}, err
	}
	if keep {
		err = e.takeInFetched(ctx, f)
	}
	return f, err
}

// examine makes those checks that need nothing of the room but its version.
func (e *Engine) examine(ctx context.Context, f *Fetched, id ident.EventID) error {
	refuse := func(check, rule, detail string) {
		f.Checks = append(f.Checks, Check{ID: check, Rule: rule, Detail: detail})
	}
	room, version, ok := event.Peek(f.PDU)
	if !ok {
		refuse("P-25", "P-25", "not a JSON object with a room id")
		return nil
	}
	if version == nil {
		head, err := e.readHead(ctx, room, false)
		if err != nil {
			return err
		}
		if head == nil {
			refuse("P-25", "T-09", fmt.Sprintf("the room %s is not known here, nor its version", room))
			return nil
		}
		version = head.version
	}
	parsed, refusal := parseFormat(version, f.PDU)
	if refusal != nil {
		f.Checks = append(f.Checks, *refusal)
		return nil
	}
	f.Event = parsed
	if parsed.ID() != id {
		refuse("P-25", "P-12", fmt.Sprintf("it is the event %s, not the one that was asked for", parsed.ID()))
		return nil
	}
	f.Checks = append(f.Checks, Check{ID: "P-25", OK: true, Rule: "P-25", Detail: "well-formed for room version " + version.ID})
	if fault := event.VerifySignatures(ctx, []*event.Event{parsed}, keyring{source: e.keys})[0]; fault != nil {
		refuse("P-26", "P-15", fault.Error())
	} else {
		detail := "signatures and content hash are good"
		if parsed.HashMismatch() {
			detail = "signatures are good; the content hash does not match, so that only the redacted copy counts"
		}
		f.Checks = append(f.Checks, Check{ID: "P-26", OK: true, Rule: "P-14", Detail: detail})
	}
	switch r, err := e.storedRecord(ctx, id); {
	case err == nil:
		f.Known = r.outcome
	case !errors.Is(err, ErrUnknownEvent):
		return err
	}
	return context.Cause(ctx)
}

// takeInFetched stages an event that was fetched.
func (e *Engine) takeInFetched(ctx context.Context, f Fetched) error {
	for _, check := range f.Checks {
		if !check.OK {
			return fmt.Errorf("it is not taken in: %s (%s)", check.Detail, check.Rule)
		}
	}
	i := &intake{e: e, origin: f.From, arrival: arrivedAlone, now: nowMS(), results: map[ident.EventID]string{}}
	if err := i.take(ctx, f.PDU); err != nil {
		return err
	}
	if err := i.check(ctx); err != nil {
		return err
	}
	if err := e.store.Update(ctx, i.stage); err != nil {
		return fmt.Errorf("stage %s: %w", f.Event.ID(), err)
	}
	if problem := i.results[f.Event.ID()]; problem != "" {
		return fmt.Errorf("it is not taken in: %s", problem)
	}
	return nil
}
