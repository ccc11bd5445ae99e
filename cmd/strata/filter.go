// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
)

// filterFlags select what a command about queues or peers is about. Every verb of a group knows all of them.
type filterFlags struct {
	Class string `group:"Filter" placeholder:"CLASS" help:"Only those whose last attempt failed so: dns, dial, tls, timeout … (docs/operating.md)."`
	State string `group:"Filter" placeholder:"STATE" help:"Only those in this state."`
	Room  string `group:"Filter" placeholder:"ROOM" help:"Only what is of this room."`
	stretchFlags
	Limit int `group:"Filter" short:"n" default:"50" help:"Print at most so many."`
}

// stretchFlags select a stretch of time.
type stretchFlags struct {
	Since string `group:"Filter" placeholder:"TIME" help:"Only what is from since then: 10m, 2h, 3d ago, or 2026-01-31T12:00:00Z."`
	Until string `group:"Filter" placeholder:"TIME" help:"Only what is from before."`
}

// stretch gives both ends in ms, 0 where there is none.
func (f stretchFlags) stretch(now time.Time) (since, until int64, err error) {
	if since, err = parseMoment(f.Since, now); err == nil {
		until, err = parseMoment(f.Until, now)
	}
	return since, until, err
}

func (f filterFlags) filter(server string) (inspect.Filter, error) {
	q := inspect.Filter{Server: server, Class: f.Class, State: f.State, RoomID: f.Room, Limit: f.Limit}
	err := checkLimit(f.Limit)
	if err == nil {
		q.Since, q.Until, err = f.stretch(time.Now())
	}
	return q, err
}

// filtered runs f with a client and what flags select.
func (r reachFlags) filtered(ctx context.Context, w *world, flags filterFlags, server string, f func(context.Context, *control.Client, inspect.Filter) error) error {
	q, err := flags.filter(server)
	if err != nil {
		return err
	}
	return r.ask(ctx, w, func(ctx context.Context, client *control.Client) error { return f(ctx, client, q) })
}

// done tells what an order came to, or would.
func (o *output) done(d control.Done, verb string) error {
	return o.print(d, func() {
		if d.DryRun {
			verb = "would be " + verb
		}
		rows := [][]string{{verb, fmt.Sprintf("%d servers", d.Servers)}}
		for _, count := range []struct {
			name string
			n    int
		}{{"items", d.Items}, {"parked", d.Parked}, {"withdrawn", d.Withdrawn}} {
			if count.n > 0 {
				rows = append(rows, []string{count.name, strconv.Itoa(count.n)})
			}
		}
		o.pairs(rows)
		if d.Advice != "" {
			o.note("%s", d.Advice)
		}
	})
}
