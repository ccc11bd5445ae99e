// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/dispatch"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Config is what a composer is made of.
type Config struct {
	Store      *persistence.Store
	Engine     *pdu.Engine
	Ring       *stream.Ring
	Rooms      *roomview.View
	Dispatcher *dispatch.Dispatcher
	// Presence notes that a user syncs, and with which presence, until done is called (S-05).
	Presence func(ctx context.Context, user ident.UserID, presence string) (done func(), err error)
}

// Composer answers syncs. Its methods may be called from any goroutine; it remembers nothing of a request.
type Composer struct {
	store  *persistence.Store
	engine *pdu.Engine
	ring   *stream.Ring
	view   *roomview.View
	wait   *dispatch.Dispatcher
	way    Way
	attend func(ctx context.Context, user ident.UserID, presence string) (done func(), err error)
}

// New makes a composer.
func New(cfg Config) *Composer {
	return &Composer{
		store: cfg.Store, engine: cfg.Engine, ring: cfg.Ring, view: cfg.Rooms, wait: cfg.Dispatcher, attend: cfg.Presence,
	}
}

// Routes is the endpoints of this package.
func (c *Composer) Routes() []api.Route {
	return []api.Route{{Method: "GET", Pattern: "/_matrix/client/v3/sync", Handle: c.sync}}
}

// sync is GET /sync.
func (c *Composer) sync(ctx context.Context, q *api.Request) (api.Reply, error) {
	r, err := c.readRequest(ctx, q)
	if err != nil {
		return api.Reply{}, err
	}
	now, err := c.view.Now(ctx)
	if err != nil {
		return api.Reply{}, err
	}
	done, err := c.attend(ctx, q.User, r.presence)
	if err != nil {
		return api.Reply{}, err
	}
	defer done()
	answer, err := c.answer(ctx, r, now)
	if err != nil {
		return api.Reply{}, err
	}
	body, err := json.Marshal(answer)
	return api.Reply{Body: body}, err
}

// answer composes, and waits while there is nothing to say (S-03).
func (c *Composer) answer(ctx context.Context, r request, now persistence.Position) (*response, error) {
	if !r.initial && r.since > now {
		return nil, api.InvalidParam("since: the token is of no time that this server knows")
	}
	if err := c.acknowledge(ctx, r); err != nil {
		return nil, err
	}
	timer := time.NewTimer(r.timeout)
	defer timer.Stop()
	for woken := false; ; {
		x, err := c.compose(ctx, r, now)
		if err != nil {
			return nil, err
		}
		if woken {
			c.wait.Composed(x.something)
		}
		if x.something || r.initial || r.fullState || r.timeout == 0 {
			return &x.out, nil
		}
		match, err := c.interest(ctx, r)
		if err != nil {
			return nil, err
		}
		if woken, err = c.wait.Wait(ctx, r.user, now, c.ring, timer.C, match); err != nil {
			return nil, err
		}
		if !woken {
			return &x.out, nil
		}
		now = c.view.Reached()
	}
}

// compose makes an answer of what happened after since and through now. A timeline that cannot be told in one answer ends it early.
func (c *Composer) compose(ctx context.Context, r request, now persistence.Position) (*composition, error) {
	for {
		x := newComposition(ctx, c, r, now)
		err := x.compose()
		var cut *cutError
		if errors.As(err, &cut) {
			now = cut.at
			continue
		}
		if err != nil {
			return nil, err
		}
		x.out.NextBatch = stream.Token(now)
		return x, nil
	}
}
