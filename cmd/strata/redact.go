// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/internal/control"
)

// redactCmd sends a redaction.
type redactCmd struct {
	reachFlags
	Room   string `arg:"" help:"Room id, such as !abc:example.org."`
	Event  string `arg:"" help:"Id of the event to redact."`
	As     string `required:"" placeholder:"USER" help:"Who redacts: alice, or @alice:example.org."`
	Reason string `placeholder:"TEXT" help:"Why, for people to read."`
}

// Help implements kong.HelpProvider.
func (redactCmd) Help() string {
	return `Asks every server in the room to strip the event of what its sender wrote. It takes effect, here as elsewhere, where the user
has the power to redact or the event is of the user's own server. What others do with copies that they have is up to them.
Prints the id of the redaction.

  strata redact '!abc:example.org' '$event' --as alice --reason spam`
}

// Run implements the command.
func (c *redactCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		sent, err := client.Redact(ctx, control.Redact{User: c.As, Room: c.Room, Event: c.Event, Reason: c.Reason})
		if err != nil {
			return err
		}
		return w.out.print(sent, func() { fmt.Fprintln(w.out.stdout, harmless(sent.EventID)) })
	})
}
