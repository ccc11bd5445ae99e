// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/internal/control"
)

// wellKnownCmd is everything about the well-known documents that the running server remembers.
type wellKnownCmd struct {
	Show  wellKnownShowCmd  `cmd:"" help:"List the well-known documents that the server remembers (ro)."`
	Flush wellKnownFlushCmd `cmd:"" help:"Have the server forget them (rw)."`
}

// dnsCmd is everything about the answers of the DNS that the running server remembers.
type dnsCmd struct {
	Show  dnsShowCmd  `cmd:"" help:"List the answers of the DNS that the server remembers (ro)."`
	Flush dnsFlushCmd `cmd:"" help:"Have the server forget them (rw)."`
}

type wellKnownShowCmd struct {
	reachFlags
	Server string `arg:"" optional:"" help:"Server name, such as example.org. Otherwise all."`
}

// Help implements kong.HelpProvider.
func (wellKnownShowCmd) Help() string {
	return `SERVER is what the host delegates to. A document is asked for again at EXPIRES, which its own headers choose, up to 48
hours; a host that has none, or does not answer, at first after 2 minutes, then after longer, up to an hour. "stale" means that the
last attempt failed and what was known before is still used.

  strata well-known show
  strata well-known show example.org`
}

// Run implements the command.
func (c *wellKnownShowCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		list, err := client.Documents(ctx, control.ServerRef{Server: c.Server})
		if err != nil {
			return err
		}
		return w.out.print(list, func() {
			var rows [][]string
			for _, d := range list {
				server := orDash(d.Server)
				if d.Stale {
					server += " (stale)"
				}
				status := "-"
				if d.Status != 0 {
					status = strconv.Itoa(d.Status)
				}
				rows = append(rows, []string{
					d.Host, server, status, strconv.Itoa(d.Failures), w.out.when(d.FetchedTS), w.out.when(d.ExpiresTS), orDash(d.Problem),
				})
			}
			w.out.table([]string{"HOST", "SERVER", "STATUS", "FAILURES", "FETCHED", "EXPIRES", "PROBLEM"}, rows)
		})
	})
}

type wellKnownFlushCmd struct {
	reachFlags
	Server string `arg:"" optional:"" help:"Server name, such as example.org. Otherwise all."`
	DryRun bool   `help:"Only tell how many it would be."`
}

// Help implements kong.HelpProvider.
func (wellKnownFlushCmd) Help() string {
	return `The next request to the server asks for the document anew, also when a failure was to be waited out. Flush after the other
operator has repaired it, and "strata dns flush" too when addresses have changed.

  strata well-known flush example.org`
}

// Run implements the command.
func (c *wellKnownFlushCmd) Run(ctx context.Context, w *world) error {
	return flush(ctx, w, c.reachFlags, control.Flush{Server: c.Server, DryRun: c.DryRun}, (*control.Client).FlushDocuments)
}

type dnsShowCmd struct {
	reachFlags
	Server string `arg:"" optional:"" help:"Server name, such as example.org: its host, what that delegates to, and the targets of their services. Otherwise all."`
}

// Help implements kong.HelpProvider.
func (dnsShowCmd) Help() string {
	return `VALUES are as in a zone file; "-" means that the DNS says that there is nothing. An answer is used until EXPIRES, which the
owner of the name chooses, between 5 seconds and a day.

  strata dns show
  strata dns show example.org --json`
}

// Run implements the command.
func (c *dnsShowCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		list, err := client.Records(ctx, control.ServerRef{Server: c.Server})
		if err != nil {
			return err
		}
		return w.out.print(list, func() {
			var rows [][]string
			for _, r := range list {
				rows = append(rows, []string{r.Name, r.Type, w.out.when(r.ExpiresTS), orDash(r.Alias), orDash(strings.Join(r.Values, ", "))})
			}
			w.out.table([]string{"NAME", "TYPE", "EXPIRES", "ALIAS OF", "VALUES"}, rows)
		})
	})
}

type dnsFlushCmd struct {
	reachFlags
	Server string `arg:"" optional:"" help:"Server name, such as example.org: its host, what that delegates to, and the targets of their services. Otherwise all."`
	DryRun bool   `help:"Only tell how many it would be."`
}

// Help implements kong.HelpProvider.
func (dnsFlushCmd) Help() string {
	return `The next connection to the server asks the DNS anew. Connections that stand are not closed. Other DNS servers on the way may
remember too, for as long as the owner of the name lets them.

  strata dns flush example.org`
}

// Run implements the command.
func (c *dnsFlushCmd) Run(ctx context.Context, w *world) error {
	return flush(ctx, w, c.reachFlags, control.Flush{Server: c.Server, DryRun: c.DryRun}, (*control.Client).FlushRecords)
}

// flush has the server forget something and tells how much that was, or would be.
func flush(
	ctx context.Context, w *world, reach reachFlags, what control.Flush,
	order func(*control.Client, context.Context, control.Flush) (control.Flushed, error),
) error {
	return reach.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		flushed, err := order(client, ctx, what)
		if err != nil {
			return err
		}
		verb := "flushed"
		if flushed.DryRun {
			verb = "would be flushed"
		}
		return w.out.print(flushed, func() { w.out.pairs([][]string{{verb, strconv.Itoa(flushed.Flushed)}}) })
	})
}
