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

// queueCmd is everything about what waits for other servers.
type queueCmd struct {
	Ls      queueLsCmd      `cmd:"" help:"List the queues in which something waits, the longest first (ro)."`
	Shape   queueShapeCmd   `cmd:"" help:"Show what waits by age and destination (ro)."`
	Show    queueShowCmd    `cmd:"" help:"Show what waits for one server, what it refused, and when it is tried again (ro)."`
	History queueHistoryCmd `cmd:"" help:"List what was sent and is over (ro)."`
	Retry   queueRetryCmd   `cmd:"" help:"Try queues before their time (rw)."`
	Hold    queueHoldCmd    `cmd:"" help:"Send nothing to servers that match a pattern, from now on (rw)."`
	Unhold  queueUnholdCmd  `cmd:"" help:"Take such a rule back (rw)."`
	Rules   queueRulesCmd   `cmd:"" help:"List the rules that hold queues (ro)."`
	Drop    queueDropCmd    `cmd:"" help:"Take something out of queues for good (rw)."`
}

// queueFlags are known to every verb about queues.
type queueFlags struct {
	reachFlags
	filterFlags
	Dest string `group:"Filter" placeholder:"PATTERN" help:"Only servers that match: a name, with * for any characters and ? for one."`
}

func (f queueFlags) with(ctx context.Context, w *world, do func(context.Context, *control.Client, inspect.Filter) error) error {
	return f.filtered(ctx, w, f.filterFlags, f.Dest, do)
}

type queueLsCmd struct {
	queueFlags
}

// Help implements kong.HelpProvider.
func (queueLsCmd) Help() string {
	return `STATE: retry after a failure, at NEXT; sending, or about to; held by a rule; parked, which means that nothing waits but what the
server refused; --state idle lists those for which nothing waits. With --room, --since or --until only what fits is counted.

  strata queue ls
  strata queue ls --class tls --dest '*.example'
  strata queue ls --json=destination,items,oldest_ts`
}

// Run implements the command.
func (c *queueLsCmd) Run(ctx context.Context, w *world) error {
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		list, err := client.Queues(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(list, func() {
			var rows [][]string
			for _, q := range list {
				rows = append(rows, []string{
					q.Destination, q.State, strconv.Itoa(q.Items), strconv.Itoa(q.Parked), w.out.when(q.Oldest), strconv.Itoa(q.Failures),
					nextOf(w.out, q), orDash(q.Class), orDash(shortened(q.Error, 80)),
				})
			}
			w.out.table([]string{"DESTINATION", "STATE", "ITEMS", "PARKED", "OLDEST", "FAILURES", "NEXT", "CLASS", "LAST ERROR"}, rows)
		})
	})
}

// nextOf is when a queue goes on.
func nextOf(o *output, q inspect.Queue) string {
	switch q.State {
	case inspect.QueueHeld:
		return "rule " + q.Hold.Pattern
	case inspect.QueueSending:
		return "now"
	}
	return o.when(q.NextTry)
}

type queueShapeCmd struct {
	queueFlags
}

// Help implements kong.HelpProvider.
func (queueShapeCmd) Help() string {
	return `The columns are minutes: how much is younger than that, and not counted further left. The first line is the sum of all
queues, those beyond --limit included. A queue that drains is short on the right; one that is stuck grows there.

  strata queue shape
  strata queue shape --dest '*.example' --json`
}

// Run implements the command.
func (c *queueShapeCmd) Run(ctx context.Context, w *world) error {
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		shape, err := client.QueueShape(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(shape, func() { showShape(w.out, shape) })
	})
}

func showShape(o *output, shape inspect.QueueShape) {
	head := []string{"DESTINATION", "STATE", "ITEMS"}
	for n, minutes := range shape.Bounds {
		name := strconv.FormatInt(minutes, 10)
		if n == 0 {
			name = "<" + name
		}
		head = append(head, name)
	}
	head = append(head, strconv.FormatInt(shape.Bounds[len(shape.Bounds)-1], 10)+"+", "NEXT", "LAST ERROR")
	row := func(name, state string, items int, ages []int, next, why string) []string {
		cells := []string{name, state, strconv.Itoa(items)}
		for _, n := range ages {
			cells = append(cells, strconv.Itoa(n))
		}
		return append(cells, next, why)
	}
	rows := [][]string{row("TOTAL", "-", shape.Items, shape.Ages, "-", "-")}
	for _, q := range shape.Queues {
		why := orDash(q.Class)
		if q.Error != "" {
			why += ": " + shortened(q.Error, 60)
		}
		rows = append(rows, row(q.Destination, q.State, q.Items, q.Ages, nextOf(o, q), why))
	}
	o.table(head, rows)
	if shape.More > 0 {
		o.note("and %d queues more; --limit shows them", shape.More)
	}
}

type queueShowCmd struct {
	queueFlags
	Server string `arg:"" name:"destination" help:"Server name, such as example.org."`
}

// Help implements kong.HelpProvider.
func (queueShowCmd) Help() string {
	return `What waits, the oldest first; FROZEN is what is in the transaction that goes out next, the same until it is answered. Then
what the server refused, which the queue went on without, with its own words and when it is tried again; then the latest attempts
that failed. EDUs that are of use only now (typing, presence, receipts) wait in memory; a running server tells how many of each type do.

  strata queue show example.org
  strata queue show example.org --json | jq '.refused[] | {event_id, message}'`
}

// Run implements the command.
func (c *queueShowCmd) Run(ctx context.Context, w *world) error {
	if c.Dest != "" && c.Dest != c.Server {
		return usage("--dest %s: the server is given already, %s", c.Dest, c.Server)
	}
	c.Dest = c.Server
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		detail, err := client.Queue(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(detail, func() { showQueue(w.out, detail) })
	})
}

func showQueue(o *output, q control.QueueDetail) {
	rows := [][]string{
		{"destination", q.Destination}, {"state", q.State}, {"items", fmt.Sprintf("%d PDU, %d EDU, of %d rooms", q.PDUs, q.EDUs, q.Rooms)},
		{"oldest", o.when(q.Oldest)}, {"parked", strconv.Itoa(q.Parked)}, {"next", nextOf(o, q.Queue)},
		{"last success", o.when(q.LastSuccess)}, {"last failure", o.when(q.LastFailure)},
		{"failures", fmt.Sprintf("%d in a row %s", q.Failures, q.Class)}, {"last error", orDash(q.Error)},
		{"transaction", orDash(q.TxnID)},
	}
	if q.NotBefore != 0 {
		rows = append(rows, []string{"not before", o.when(q.NotBefore) + ": it asked for that"})
	}
	if q.Hold != nil {
		rows = append(rows, []string{"held", fmt.Sprintf("by the rule %s since %s: %s", q.Hold.Pattern, o.when(q.Hold.Since), orDash(q.Hold.Reason))})
	}
	for _, v := range q.Volatile {
		rows = append(rows, []string{"in memory", fmt.Sprintf("%d of %s, since %s", v.Items, v.Type, o.when(v.Oldest))})
	}
	o.pairs(rows)
	var waiting, refused, tries [][]string
	for _, item := range q.Waiting {
		waiting = append(waiting, []string{
			o.when(item.Queued), item.Kind, orDash(item.Type), orDash(item.RoomID), orDash(item.EventID), yesOrDash(item.Frozen),
		})
	}
	for _, p := range q.Refused {
		refused = append(refused, []string{
			o.when(p.Parked), orDash(p.Type), orDash(p.RoomID), orDash(p.EventID), o.when(p.NextTry), strconv.Itoa(p.Tries), p.Class,
			status(p.Status), orDash(p.Message),
		})
	}
	for _, a := range q.Tries {
		tries = append(tries, []string{o.when(a.Began), took(a.Duration), a.Class, orDash(a.Phase), status(a.Status), orDash(a.Message)})
	}
	o.section([]string{"QUEUED", "KIND", "TYPE", "ROOM", "EVENT", "FROZEN"}, waiting)
	o.section([]string{"PARKED", "TYPE", "ROOM", "EVENT", "NEXT", "TRIES", "CLASS", "STATUS", "MESSAGE"}, refused)
	o.section([]string{"FAILED", "DUR", "CLASS", "PHASE", "STATUS", "MESSAGE"}, tries)
}

// section is a table set apart from what is above, if it has rows.
func (o *output) section(head []string, rows [][]string) {
	if len(rows) > 0 {
		o.gap()
		o.table(head, rows)
	}
}

func yesOrDash(b bool) string {
	if b {
		return "yes"
	}
	return "-"
}

type queueHistoryCmd struct {
	queueFlags
}

// Help implements kong.HelpProvider.
func (queueHistoryCmd) Help() string {
	return `Transactions that were answered, or withdrawn because of what is in them (--state answered, --state withdrawn), the newest
first; --since and --until are about their end, --class about their last attempt. They are kept for a week.

  strata queue history --dest example.org --since 1d
  strata txn show TXN                                  # one of them in full`
}

// Run implements the command.
func (c *queueHistoryCmd) Run(ctx context.Context, w *world) error {
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		list, err := client.QueueHistory(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(list, func() { listTransactions(w.out, list) })
	})
}

type queueRulesCmd struct {
	queueFlags
}

// Help implements kong.HelpProvider.
func (queueRulesCmd) Help() string {
	return `A rule holds every server that matches its pattern, also one that is heard of only later. MATCHES is how many destinations
that are by now.

  strata queue rules
  strata queue hold '*.example' --reason 'they are moving'`
}

// Run implements the command.
func (c *queueRulesCmd) Run(ctx context.Context, w *world) error {
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		rules, err := client.HoldRules(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(rules, func() {
			var rows [][]string
			for _, r := range rules {
				rows = append(rows, []string{r.Pattern, strconv.Itoa(r.Matches), w.out.when(r.Since), orDash(r.Reason)})
			}
			w.out.table([]string{"PATTERN", "MATCHES", "SINCE", "REASON"}, rows)
		})
	})
}

// spreadOf reads over how long something is to be spread.
func spreadOf(s string) (ms int64, err error) {
	if s == "" || s == "0" {
		return 0, nil
	}
	d, err := parseDuration(s)
	if err != nil || d < time.Millisecond {
		return 0, usage("--spread: %q is no span such as 30s, 2m or 1h", shortened(s, 40))
	}
	return d.Milliseconds(), nil
}
