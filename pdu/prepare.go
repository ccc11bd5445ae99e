// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Prepare builds and judges an event as Send does, but neither stores nor sends it: another server is to sign it too, and is asked
// outside of the room's turn. Accept takes it then. The errors are those of Send.
func (e *Engine) Prepare(ctx context.Context, id ident.RoomID, d Draft) (prepared *event.Event, err error) {
	err = e.acceptSigned(ctx, id, func(b *batch) (*event.Event, error) {
		if err := b.mustBeJoined(); err != nil {
			return nil, err
		}
		return b.build(d)
	}, func(b *batch, built *event.Event) error {
		prepared = built
		_, _, err := b.judgeOwn(built, "")
		return err
	})
	if err != nil {
		return nil, err
	}
	return prepared, nil
}

// Accept stores and sends an event that Prepare has made, with whatever signatures it has been given since. It is judged once more:
// the room may have gone on. The errors are those of Send.
func (e *Engine) Accept(ctx context.Context, id ident.RoomID, prepared *event.Event) error {
	return e.acceptSigned(ctx, id, func(*batch) (*event.Event, error) { return prepared, nil }, func(b *batch, prepared *event.Event) error {
		if err := b.mustBeJoined(); err != nil {
			return err
		}
		_, err := b.accept(prepared, "")
		return err
	})
}
