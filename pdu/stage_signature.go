// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// keyPatience is how long a transaction waits for keys: servers are asked in two rounds at most, and its origin waits a minute for
// the answer. What is not verified by then is kept, and verified later.
const keyPatience = 30 * time.Second

// verify looks whether events have the signatures that they need, all of them together.
func (i *intake) verify(ctx context.Context, arrived []*incoming) (faults []error) {
	events := make([]*event.Event, len(arrived))
	for n, in := range arrived {
		events[n] = in.event
	}
	return event.VerifySignatures(ctx, events, keyring{source: i.e.keys, patience: keyPatience})
}

// dropFaulty is the second check on receipt: an event without the signatures that it needs is dropped (server-server API,
// "Checks performed on receipt of a PDU"; P-14 to P-18, P-26), unless it turned out to be known: then this is a bad copy of it. A context
// that ends makes keys unknown, so then nothing is dropped, and the error is the context's.
func (i *intake) dropFaulty(ctx context.Context, arrived []*incoming, faults []error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	space, err := i.spaceUnverified(ctx, faults)
	if err != nil {
		return err
	}
	for n, in := range arrived {
		if !in.isUnknown() {
			continue
		}
		if faults[n] == nil {
			i.traceOf(in.room.id, in.event.ID(), "")
			continue
		}
		in.bad, in.noKey = true, errors.Is(faults[n], event.ErrNoKey)
		record := i.drop
		if in.noKey && space > 0 {
			space--
			record = i.postpone
		} else {
			in.noKey = false
		}
		record(Verdict{Event: in.event.ID(), Room: in.room.id, Checks: []Check{{
			ID: "P-25", OK: true, Rule: "P-25", Detail: "well-formed for room version " + in.room.version.ID,
		}}}, Check{ID: "P-26", Rule: "P-15", Detail: faults[n].Error()})
	}
	return nil
}

// keyring is the keys that signatures are verified with. A notary is asked only for what comes with a join, where the resident's
// word on the state of the room is taken anyway: believing each member of a room about the keys of others would let it speak
// for every server that cannot be reached.
type keyring struct {
	source   KeySource
	notary   ident.ServerName // "" for none
	patience time.Duration    // 0: as long as it takes
}

func (k keyring) Keys(ctx context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	if k.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, k.patience)
		defer cancel()
	}
	if k.notary == "" {
		return k.source.Keys(ctx, queries)
	}
	return k.source.KeysVia(ctx, k.notary, queries)
}
