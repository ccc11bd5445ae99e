// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/strata-matrix/strata/internal/control"
)

// sendCmd sends one event.
type sendCmd struct {
	reachFlags
	Room     string  `arg:"" help:"Room id, such as !abc:example.org."`
	Text     *string `arg:"" optional:"" help:"Text of the message."`
	As       string  `required:"" placeholder:"USER" help:"Who sends: alice, or @alice:example.org."`
	Type     string  `default:"m.room.message" placeholder:"TYPE" help:"Type of the event (default: ${default})."`
	StateKey *string `placeholder:"KEY" help:"Send a piece of room state under this key, which may be empty."`
	Content  *string `placeholder:"JSON" help:"Content of the event, an object, in place of a text."`
}

// Help implements kong.HelpProvider.
func (sendCmd) Help() string {
	return `When the command ends, the event is durable and queued for every server in the room. It prints the event's id.
A refusal names the rule of the room that refuses.

  strata send '!abc:example.org' "Hello" --as alice
  strata send '!abc:example.org' --as alice --type m.room.topic --state-key "" --content '{"topic":"Tea"}'`
}

// content is what is to be sent.
func (c *sendCmd) content() (json.RawMessage, error) {
	switch {
	case c.Text != nil && c.Content != nil:
		return nil, usage("a text and --content are both given")
	case c.Content != nil:
		if !json.Valid([]byte(*c.Content)) {
			return nil, usage("--content is not JSON")
		}
		return json.RawMessage(*c.Content), nil
	case c.Text == nil:
		return nil, usage("a text or --content is needed")
	case c.Type != "m.room.message" || c.StateKey != nil:
		return nil, usage("a text makes an m.room.message; other events need --content")
	}
	return json.Marshal(map[string]string{"msgtype": "m.text", "body": *c.Text})
}

// Run implements the command.
func (c *sendCmd) Run(ctx context.Context, w *world) error {
	content, err := c.content()
	if err != nil {
		return err
	}
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		sent, err := client.Send(ctx, control.Send{
			User: c.As, Room: c.Room, Type: c.Type, StateKey: c.StateKey, Content: content,
		})
		if err != nil {
			return err
		}
		return w.out.print(sent, func() { fmt.Fprintln(w.out.stdout, harmless(sent.EventID)) })
	})
}
