// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
)

type queueRetryCmd struct {
	queueFlags
	Parked bool   `help:"Try what is parked for them too."`
	Spread string `default:"30s" placeholder:"SPAN" help:"Over how long they are spread, such as 2m; 0 for all at once. Otherwise 30s."`
	DryRun bool   `help:"Only tell how many it would be."`
}

// Help implements kong.HelpProvider.
func (queueRetryCmd) Help() string {
	return `Queues that wait after a failure are tried before their time, also where the server asked to be left alone (Retry-After). The
count of failures goes on, so that one that fails again waits as long as before; "strata peer reset" forgets it.

  strata queue retry --dest example.org --spread 0
  strata queue retry --class tls --spread 2m           # after a wave of expired certificates: never all at once
  strata queue retry --class dns --dry-run`
}

// Run implements the command.
func (c *queueRetryCmd) Run(ctx context.Context, w *world) error {
	spread, err := spreadOf(c.Spread)
	if err != nil {
		return err
	}
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		done, err := client.RetryQueues(ctx, control.RetryQueues{Filter: q, Parked: c.Parked, Spread: spread, DryRun: c.DryRun})
		if err != nil {
			return err
		}
		return w.out.done(done, "retried")
	})
}

// ruleFlags are those of the verbs about one rule.
type ruleFlags struct {
	reachFlags
	Pattern string `arg:"" help:"A server name, with * for any characters and ? for one."`
	DryRun  bool   `help:"Only tell how many destinations it is about by now."`
}

type queueHoldCmd struct {
	ruleFlags
	Reason string `placeholder:"TEXT" help:"Why, for whoever looks at it later."`
}

// Help implements kong.HelpProvider.
func (queueHoldCmd) Help() string {
	return `What is queued for servers that match waits, now and after every restart, until the rule is taken back; a rule also catches
servers that are heard of only later. An attempt that is under way is not called back. Requests of ours to them, and theirs to us, go
on: "strata peer deny" ends those.

  strata queue hold example.org --reason 'they asked us to'
  strata queue hold '*.example' --dry-run`
}

// Run implements the command.
func (c *queueHoldCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		done, err := client.HoldQueues(ctx, control.HoldQueues{Pattern: c.Pattern, Reason: c.Reason, DryRun: c.DryRun})
		if err != nil {
			return err
		}
		return w.out.done(done, "held")
	})
}

type queueUnholdCmd struct {
	ruleFlags
}

// Help implements kong.HelpProvider.
func (queueUnholdCmd) Help() string {
	return `Takes back the rule of just this pattern; a server that another rule matches stays held. What waited goes out at once.

  strata queue rules
  strata queue unhold '*.example'`
}

// Run implements the command.
func (c *queueUnholdCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		done, err := client.UnholdQueues(ctx, control.HoldQueues{Pattern: c.Pattern, DryRun: c.DryRun})
		if err != nil {
			return err
		}
		return w.out.done(done, "released")
	})
}

type queueDropCmd struct {
	queueFlags
	Event  string `group:"Filter" placeholder:"EVENT" help:"Only this event."`
	Kind   string `group:"Filter" enum:"pdu,edu,both" default:"both" placeholder:"pdu|edu" help:"Only events, or only EDUs."`
	DryRun bool   `help:"Only tell how much it would be."`
}

// Help implements kong.HelpProvider.
func (queueDropCmd) Help() string {
	return `Servers must be named with --dest, if only as '*'. What is dropped is never sent to them, parked or not; other servers get it
all the same, and one that comes upon a reference to it can still ask us for it. An attempt that is under way is not called back.

  strata queue drop --dest gone.example --dry-run
  strata queue drop --dest gone.example --yes
  strata queue drop --dest '*' --room '!spam:example.org' --until 1h`
}

// Run implements the command.
func (c *queueDropCmd) Run(ctx context.Context, w *world) error {
	if c.Kind == "both" {
		c.Kind = ""
	}
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		order := control.DropQueued{Filter: q, Event: c.Event, Kind: c.Kind, DryRun: true}
		done, err := client.DropQueued(ctx, order)
		if err == nil && !c.DryRun {
			if err = w.confirm(fmt.Sprintf("dropping %d items for %d servers", done.Items, done.Servers)); err == nil {
				order.DryRun = false
				done, err = client.DropQueued(ctx, order)
			}
		}
		if err != nil {
			return err
		}
		return w.out.done(done, "dropped")
	})
}
