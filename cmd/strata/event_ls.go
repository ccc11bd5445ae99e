// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
)

type eventLsCmd struct {
	reachFlags
	Room    string `placeholder:"ROOM" help:"Only those of this room."`
	Peer    string `placeholder:"SERVER" help:"Only those that this server handed over."`
	Verdict string `placeholder:"VERDICT" help:"Only these: soft-failed, rejected, quarantined, dropped, or accepted for those that were not at first."`
	Since   string `placeholder:"TIME" help:"Only those that were judged since: 10m, 2h, 3d ago, or 2026-01-31T12:00:00Z."`
	Before  int64  `placeholder:"N" help:"Only those with smaller numbers: to go on where an earlier answer ended."`
	Limit   int    `short:"n" default:"50" help:"At most so many."`
}

// Help implements kong.HelpProvider.
func (eventLsCmd) Help() string {
	return `Every event that was not plainly accepted has a record; this lists them, the one that was judged last first, each with the
check that decided, its rule and what it found. "strata event explain" tells the rest of one. Of dropped events only the latest are kept.

  strata event ls --room '!abc:example.org' --since 1h
  strata event ls --verdict rejected --json | jq -r '.[].check.rule' | sort | uniq -c`
}

// Run implements the command.
func (c *eventLsCmd) Run(ctx context.Context, w *world) error {
	q := inspect.RefusedQuery{RoomID: c.Room, Peer: c.Peer, Verdict: c.Verdict, Before: c.Before, Limit: c.Limit}
	err := checkLimit(c.Limit)
	if err == nil {
		q.Since, err = parseMoment(c.Since, time.Now())
	}
	if err != nil {
		return err
	}
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		list, err := client.Refused(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(list, func() { listRefused(w.out, list) })
	})
}

func listRefused(o *output, list []inspect.Refused) {
	var rows [][]string
	for _, r := range list {
		rows = append(rows, []string{
			strconv.FormatInt(r.Number, 10), o.when(r.Judged), r.Verdict, orDash(string(r.EventID)), orDash(string(r.RoomID)),
			orDash(r.Arrival.Peer), orDash(r.Check.ID), orDash(r.Check.Rule), orDash(r.Check.Detail),
		})
	}
	o.table([]string{"N", "TIME", "VERDICT", "EVENT", "ROOM", "PEER", "CHECK", "RULE", "DETAIL"}, rows)
}
