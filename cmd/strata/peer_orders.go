// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
)

type peerResetCmd struct {
	manyPeers
	Spread string `default:"30s" placeholder:"SPAN" help:"Over how long they are spread, such as 2m; 0 for all at once. Otherwise 30s."`
	DryRun bool   `help:"Only tell how many it would be."`
}

// Help implements kong.HelpProvider.
func (peerResetCmd) Help() string {
	return `Servers that failed are tried anew, and pauses begin with the shortest, also where they asked to be left alone. What is remembered of
their well-known documents and addresses is forgotten. Of the attempts everything stays known. For all of them at once, without a name
or a filter, --yes is wanted where nobody can be asked.

  strata peer reset example.org --spread 0
  strata peer reset --class dns --spread 5m            # our own DNS was broken
  strata peer reset --dry-run`
}

// Run implements the command.
func (c *peerResetCmd) Run(ctx context.Context, w *world) error {
	spread, err := spreadOf(c.Spread)
	if err != nil {
		return err
	}
	all := strings.Trim(c.Pattern, "*") == "" && c.filterFlags == filterFlags{Limit: c.Limit}
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		order := control.RetryQueues{Filter: q, Spread: spread, DryRun: true}
		done, err := client.ResetPeers(ctx, order)
		if err == nil && !c.DryRun {
			if all {
				err = w.confirm(fmt.Sprintf("forgetting the failures of all %d servers", done.Servers))
			}
			if err == nil {
				order.DryRun = false
				done, err = client.ResetPeers(ctx, order)
			}
		}
		if err != nil {
			return err
		}
		return w.out.done(done, "reset")
	})
}

type peerHoldCmd struct {
	reachFlags
	Server string `arg:"" help:"Server name, with * for any characters and ? for one."`
	Reason string `placeholder:"TEXT" help:"Why, for whoever looks at it later."`
	Off    bool   `help:"Take the hold back."`
	DryRun bool   `help:"Only tell how many destinations it is about by now."`
}

// Help implements kong.HelpProvider.
func (peerHoldCmd) Help() string {
	return `The same as "strata queue hold": what is queued waits, and everything else goes on. "strata queue rules" lists what is held.

  strata peer hold example.org --reason 'they asked us to'
  strata peer hold example.org --off`
}

// Run implements the command.
func (c *peerHoldCmd) Run(ctx context.Context, w *world) error {
	rule := ruleFlags{reachFlags: c.reachFlags, Pattern: c.Server, DryRun: c.DryRun}
	if c.Off {
		return (&queueUnholdCmd{rule}).Run(ctx, w)
	}
	return (&queueHoldCmd{rule, c.Reason}).Run(ctx, w)
}

// rulingFlags are those of peer allow and deny.
type rulingFlags struct {
	reachFlags
	Servers []string `arg:"" name:"server" help:"Server names, such as example.org."`
	DryRun  bool     `help:"Only check the names, and tell what to set."`
}

func (f rulingFlags) rule(ctx context.Context, w *world, allow bool, verb string) error {
	return f.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		done, err := client.RulePeers(ctx, control.RulePeers{Servers: f.Servers, Allow: allow, DryRun: f.DryRun})
		if err != nil {
			return err
		}
		return w.out.done(done, verb)
	})
}

type peerAllowCmd struct {
	rulingFlags
}

// Help implements kong.HelpProvider.
func (peerAllowCmd) Help() string {
	return `From now on until the server stops these are federated with, also where federation_domain_whitelist or forbidden_remote_server_names
say otherwise, or where they were denied before. To make it permanent change these settings: the answer says how.

  strata peer allow example.org`
}

// Run implements the command.
func (c *peerAllowCmd) Run(ctx context.Context, w *world) error {
	return c.rule(ctx, w, true, "allowed")
}

type peerDenyCmd struct {
	rulingFlags
}

// Help implements kong.HelpProvider.
func (peerDenyCmd) Help() string {
	return `From now on until the server stops nothing is sent to these, and what they send is answered 403. What they said in rooms stays, and
still comes by way of others: a room's own access list (m.room.server_acl) keeps it out. To make it permanent change the settings: the
answer says how.

  strata peer deny evil.example`
}

// Run implements the command.
func (c *peerDenyCmd) Run(ctx context.Context, w *world) error {
	return c.rule(ctx, w, false, "denied")
}
