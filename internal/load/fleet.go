// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// Fleet is the origins of one load. Its methods are called one after the other by one goroutine; Progress may be called by others.
type Fleet struct {
	options Options
	origins []*origin
	rooms   []*room
	book    *book
}

// Open has the origins listen and join their rooms. The fleet must be closed.
func Open(ctx context.Context, o Options) (*Fleet, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	f := &Fleet{options: o, book: newBook()}
	if err := f.open(ctx); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (f *Fleet) open(ctx context.Context) error {
	for i := range f.options.Origins {
		o, err := openOrigin(f.options, i)
		if err != nil {
			return fmt.Errorf("open origin %d: %w", i+1, err)
		}
		f.origins = append(f.origins, o)
	}
	for i, id := range f.options.Rooms {
		o := f.origins[i%len(f.origins)]
		r, err := o.join(ctx, f.options.Target, id)
		if err == nil {
			err = r.checkPower(f.options.State > 0)
		}
		if err != nil {
			return fmt.Errorf("join %s: %w", id, err)
		}
		o.rooms = append(o.rooms, r)
		f.rooms = append(f.rooms, r)
	}
	return nil
}

// Close ends the origins.
func (f *Fleet) Close() {
	for _, o := range f.origins {
		o.close()
	}
}

// Build makes everything that Send will send.
func (f *Fleet) Build(ctx context.Context) error { return f.buildAll(ctx) }

// Transactions is the most that one origin has still to send.
func (f *Fleet) Transactions() (most int) {
	for _, o := range f.origins {
		most = max(most, len(o.parcels))
	}
	return most
}

// Checks is the events that are to be sent with their signatures: what the target has to hash and to verify at least.
func (f *Fleet) Checks() (events [][]byte, checks []signing.Check, err error) {
	for _, o := range f.origins {
		for _, p := range o.parcels {
			for _, e := range p.events {
				c, err := o.check(e)
				if err != nil {
					return nil, nil, err
				}
				events, checks = append(events, e.JSON()), append(checks, c)
			}
		}
	}
	return events, checks, nil
}

// check is the origin's signature of an event: over the event as redaction leaves it.
func (o *origin) check(e *event.Event) (signing.Check, error) {
	signature, err := signing.Signature(canonicalOf(e), o.name, o.key.ID)
	if err != nil {
		return signing.Check{}, err
	}
	return signing.Check{Public: o.key.Public(), Message: signing.SignedBytes(canonicalOf(e.Redact())), Signature: signature}, nil
}

func canonicalOf(e *event.Event) canonicaljson.Value {
	value, _ := canonicaljson.Parse(e.JSON(), canonicaljson.Lenient) // it is canonical
	return value
}

// Target asks the target what software it is.
func (f *Fleet) Target(ctx context.Context) (software, version string, err error) {
	answer, err := f.origins[0].client.Do(ctx, f.options.Target, transport.Call{
		Method: http.MethodGet, Path: transport.Path("_matrix", "federation", "v1", "version"), Unsigned: true,
	})
	if err != nil {
		return "", "", err
	}
	root, err := canonicaljson.Parse(answer.Body, canonicaljson.Lenient)
	if err != nil {
		return "", "", err
	}
	software, _ = root.Get("server").Get("name").Text()
	version, _ = root.Get("server").Get("version").Text()
	return software, version, nil
}

// Settle waits until the target shows the last event that it has taken of each room, and gives how long that took since the last
// answer to a transaction. It fails when ctx ends before.
func (f *Fleet) Settle(ctx context.Context) (time.Duration, error) {
	begun := time.Now()
	for _, r := range f.rooms {
		last, ok := f.book.last(r.id)
		if !ok {
			continue
		}
		if err := r.origin.await(ctx, f.options.Target, last); err != nil {
			return time.Since(begun), fmt.Errorf("wait for the last event of %s: %w", r.id, err)
		}
	}
	return time.Since(begun), nil
}

// await asks the target for an event until it has it, the less often the longer that takes: a slow target has other things to do.
func (o *origin) await(ctx context.Context, target ident.ServerName, id ident.EventID) error {
	begun := time.Now()
	for {
		_, err := o.client.Do(ctx, target, eventCall(id))
		if err == nil {
			return nil
		}
		if ended := pause(ctx, max(pollFirst, min(time.Since(begun)/pollShare, pollMax))); ended != nil {
			return fmt.Errorf("%w: %w", ended, err)
		}
	}
}

// Shown asks the target for some of the events that it has taken, and tells how many of them it shows: a promise to take an event
// is not always kept.
func (f *Fleet) Shown(ctx context.Context) (shown, asked int, err error) {
	origins := map[ident.RoomID]*origin{}
	for _, r := range f.rooms {
		origins[r.id] = r.origin
	}
	for _, e := range f.book.some(sampleSize) {
		asked++
		_, err := origins[e.RoomID()].client.Do(ctx, f.options.Target, eventCall(e.ID()))
		var failure *transport.Failure
		switch {
		case err == nil:
			shown++
		case ctx.Err() != nil || !errors.As(err, &failure) || failure.Status != http.StatusNotFound:
			return shown, asked, err
		}
	}
	return shown, asked, nil
}

func eventCall(id ident.EventID) transport.Call {
	return transport.Call{Method: http.MethodGet, Path: transport.Path("_matrix", "federation", "v1", "event", string(id))}
}
