// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/policy"
	"github.com/strata-matrix/strata/transport/ident"
)

// AskPolicy asks the room's policy server once more about an event that was not accepted, say because the server could not be
// reached before, and judges the event again, as JudgeAgain does. Errors: those of JudgeAgain; *PolicyError when the server does
// not sign.
func (e *Engine) AskPolicy(ctx context.Context, id ident.EventID) (Verdict, error) {
	if err := e.mergeSignature(ctx, id); err != nil {
		return Verdict{}, fmt.Errorf("ask policy server about %s: %w", id, err)
	}
	return e.JudgeAgain(ctx, id)
}

// mergeSignature stores the policy server's signature on an event that lacks it.
func (e *Engine) mergeSignature(ctx context.Context, id ident.EventID) error {
	r, err := e.storedRecord(ctx, id)
	if err != nil {
		return err
	}
	if r.outcome == Accepted {
		return ErrAccepted
	}
	room := r.event.RoomID()
	err = e.do(ctx, room, false, func(b *batch) error {
		server, enabled, err := b.policyServer()
		if err == nil && enabled && server.Name != e.self && policy.Concerns(r.event) && server.Check(r.event) != nil {
			err = &unsignedError{server}
		}
		return err
	})
	var unsigned *unsignedError
	if !errors.As(err, &unsigned) {
		return err
	}
	signed, err := e.askSignature(ctx, unsigned.server, r.event)
	if err != nil {
		return err
	}
	return e.do(ctx, room, true, func(b *batch) error {
		now, err := b.stored(id)
		if err != nil || now.by != "" { // it was redacted meanwhile
			return err
		}
		own := b.change(now)
		own.event, own.rewritten = signed, true
		return nil
	})
}

// takeSignature takes over no more of a copy than the policy server's signature, and that only if it is good: each event is judged
// again once for it. Those that come in a row are judged together.
func (b *batch) takeSignature(x *event.Event) error {
	now, err := b.stored(x.ID())
	if err != nil || now.outcome != SoftFailed || now.by != "" {
		return err
	}
	server, enabled, err := b.policyServer()
	if err != nil || !enabled || server.Check(now.event) == nil || server.Check(x) != nil {
		return err
	}
	signed, err := server.Merge(now.event, x.Signatures().Canonical())
	if err != nil {
		return nil // it has no space for the signature
	}
	own := b.change(now)
	own.event, own.rewritten = signed, true
	b.askAgain(b.now.Add(rescueAfter).UnixMilli(), x.ID())
	return nil
}
