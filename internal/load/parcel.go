// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// parcel is a transaction ready to be sent.
type parcel struct {
	call   transport.Call
	events []*event.Event
}

// buildAll makes all events and transactions of all origins.
func (f *Fleet) buildAll(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for i, o := range f.origins {
		share := f.options.Events*(i+1)/len(f.origins) - f.options.Events*i/len(f.origins)
		group.Go(func() error { return f.buildOrigin(ctx, o, i, share) })
	}
	return group.Wait()
}

// buildOrigin makes the transactions of one origin, each of events of all of its rooms.
func (f *Fleet) buildOrigin(ctx context.Context, o *origin, number, events int) error {
	chance := rand.New(rand.NewPCG(f.options.Seed, uint64(number)))
	authors := make([]*author, len(o.rooms))
	for i, r := range o.rooms {
		authors[i] = &author{room: r, chance: chance, options: f.options}
	}
	var waiting []*event.Event
	for made := 0; made < events; {
		if err := ctx.Err(); err != nil {
			return err
		}
		next, err := authors[chance.IntN(len(authors))].next()
		if err != nil {
			return fmt.Errorf("build the events of %s: %w", o.name, err)
		}
		next = next[:min(len(next), events-made)]
		made += len(next)
		waiting = append(waiting, next...)
		for len(waiting) >= f.options.PerTransaction || made == events && len(waiting) > 0 {
			n := min(len(waiting), f.options.PerTransaction)
			if err := o.pack(f.options.Target, slices.Clone(waiting[:n])); err != nil {
				return err
			}
			waiting = waiting[n:]
		}
	}
	return nil
}

// BuildJoins makes transactions in which the first origin hands over that users of other servers, who all have the same key, join its
// first room. The target asks their servers for the key.
func (f *Fleet) BuildJoins(users []ident.UserID, key signing.Key) error {
	r := f.rooms[0]
	var waiting []*event.Event
	for i, user := range users {
		name := string(user)
		e, err := r.buildAs(user.Server(), key, r.heads, event.Proto{
			Sender: user, Type: typeMember, StateKey: &name, Content: []byte(`{"membership":"join"}`), OriginServerTS: time.Now().UnixMilli(),
		})
		if err != nil {
			return fmt.Errorf("build the join of %s: %w", user, err)
		}
		r.add(e)
		r.heads = []*event.Event{e}
		waiting = append(waiting, e)
		if len(waiting) < f.options.PerTransaction && i < len(users)-1 {
			continue
		}
		if err := r.origin.pack(f.options.Target, waiting); err != nil {
			return err
		}
		waiting = nil
	}
	return nil
}

// pack writes and signs a transaction.
func (o *origin) pack(target ident.ServerName, events []*event.Event) error {
	body := []byte(`{"edus":[],"origin":`)
	body = canonicaljson.AppendString(body, string(o.name))
	body = strconv.AppendInt(append(body, `,"origin_server_ts":`...), time.Now().UnixMilli(), 10)
	body = append(body, `,"pdus":[`...)
	for i, e := range events {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, e.JSON()...)
	}
	body = append(body, `]}`...)
	path := transport.Path("_matrix", "federation", "v1", "send", fmt.Sprintf("load-%d-%d", time.Now().UnixMilli(), len(o.parcels)))
	content, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return err
	}
	request := signing.Request{Method: http.MethodPut, URI: path, Origin: o.name, Destination: target, Content: content}
	o.parcels = append(o.parcels, parcel{
		call:   transport.Call{Method: http.MethodPut, Path: path, Body: body, Authorization: request.Authorization(o.key)},
		events: events,
	})
	return nil
}
