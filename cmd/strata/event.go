// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
)

// eventCmd is everything about events.
type eventCmd struct {
	Ls       eventLsCmd       `cmd:"" help:"List the events that were not plainly accepted (ro)."`
	Get      eventGetCmd      `cmd:"" help:"Show an event and how it was judged (ro)."`
	Explain  eventExplainCmd  `cmd:"" help:"Tell why an event ended as it did: each check, and what depends on it (ro)."`
	Timeline eventTimelineCmd `cmd:"" help:"Tell where the time went between an event's sending and its delivery (ro)."`
	Judge    eventJudgeCmd    `cmd:"" help:"Judge an event that was refused once more (rw)."`
	Fetch    eventFetchCmd    `cmd:"" help:"Ask another server for an event, and look at it (ro, with --keep rw)."`
	Graph    eventGraphCmd    `cmd:"" help:"Draw what leads to an event, or what it rests on (ro)."`
	Check    eventCheckCmd    `cmd:"" help:"Judge an event that is written down in a file (ro, offline)."`
}

type eventGetCmd struct {
	reachFlags
	Event string        `arg:"" help:"Event id, such as $$abc."`
	Wait  time.Duration `placeholder:"DURATION" help:"Wait so long for the event to arrive and be judged, such as 30s."`
}

// Help implements kong.HelpProvider.
func (eventGetCmd) Help() string {
	return `The outcome is accepted, soft-failed (valid, but not by the room's current state: kept from users), rejected (not
authorised), quarantined (events that it refers to, or keys, are missing), dropped (malformed or not signed) or staged (not judged yet).
Where it was not plainly accepted, the checks are listed in the order in which they were made, each with its rule.

  strata event get '$abc' --wait 30s
  strata event get '$abc' --json | jq .pdu`
}

// Run implements the command.
func (c *eventGetCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		e, err := client.Event(ctx, control.GetEvent{EventID: c.Event, Wait: c.Wait.Milliseconds()})
		if err != nil {
			return err
		}
		return w.out.print(e, func() { showEvent(w.out, e) })
	})
}

func showEvent(o *output, e inspect.Event) {
	rows := [][]string{
		{"event", e.EventID}, {"room", fmt.Sprintf("%s (version %s)", e.RoomID, orDash(e.RoomVersion))},
		{"type", orDash(e.Type)},
	}
	if e.StateKey != nil {
		rows = append(rows, []string{"state key", strconv.Quote(*e.StateKey)})
	}
	rows = append(rows, []string{"sender", orDash(e.Sender)}, []string{"sent", o.when(e.OriginTS)},
		[]string{"depth", strconv.FormatInt(e.Depth, 10)}, []string{"outcome", outcome(e)})
	if e.Position != 0 {
		rows = append(rows, []string{"position", strconv.FormatInt(e.Position, 10)})
	}
	if v := e.Verdict; v != nil {
		rows = append(rows, []string{"received", fmt.Sprintf("%s from %s", o.when(v.Arrival.Received), v.Arrival.Peer)})
		rows = append(rows, checkRows(v.Checks)...)
		for _, id := range v.Waits {
			rows = append(rows, []string{"waits for", string(id)})
		}
	}
	if len(e.PDU) > 0 {
		rows = append(rows, []string{"json", string(e.PDU)})
	}
	o.pairs(rows)
}

func checkRows(checks []inspect.Check) (rows [][]string) {
	for _, c := range checks {
		word := "ok"
		if !c.OK {
			word = "FAIL"
		}
		rows = append(rows, []string{fmt.Sprintf("check %d", c.Number), fmt.Sprintf("%s %s %s %s", c.ID, word, c.Rule, c.Detail)})
	}
	return rows
}

// outcome is the verdict in words.
func outcome(e inspect.Event) string {
	words := []string{e.Outcome}
	if e.Redacted {
		words = append(words, "redacted: its content hash did not match")
	}
	if e.RedactedBy != "" {
		words = append(words, "redacted by "+string(e.RedactedBy))
	}
	if e.Outlier {
		words = append(words, "known from a state only")
	}
	return strings.Join(words, ", ")
}

// bodyOf is the text of a message.
func bodyOf(e inspect.Event) (string, bool) {
	var content struct {
		Body *string `json:"body"`
	}
	if e.Type != "m.room.message" || json.Unmarshal(e.Content, &content) != nil || content.Body == nil {
		return "", false
	}
	return *content.Body, true
}
