// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/transport/ident"
)

// shownDependents is how many events that depend on another are named to people.
const shownDependents = 10

// checkNames are the checks on receipt in words.
var checkNames = map[string]string{
	"P-25": "shape and size", "P-26": "signatures, content hash", "P-27": "auth on its auth_events", "P-28": "auth on the state before",
	"P-29": "auth on the current state", "P-30": "policy server",
}

type eventExplainCmd struct {
	reachFlags
	Event string `arg:"" help:"Event id, such as $$abc."`
}

// Help implements kong.HelpProvider.
func (eventExplainCmd) Help() string {
	return `Lists the checks on receipt in their order, with the rule that decided each (docs/conformance.md), the values it rests on and the
events that it looked at; then how the event came, and which others ended as they did because of it. "permanent" means that judging
again cannot change the verdict.

  strata event explain '$abc'
  strata event explain '$abc' --json | jq '.checks[] | select(.reached and (.ok | not))'`
}

// Run implements the command.
func (c *eventExplainCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		x, err := client.Explain(ctx, control.EventRef{EventID: c.Event})
		if err != nil {
			return err
		}
		return w.out.print(x, func() { showExplanation(w.out, x) })
	})
}

func showExplanation(o *output, x inspect.Explanation) {
	verdict := strings.ToUpper(x.Verdict)
	if x.Permanent {
		verdict += " (permanent)"
	}
	rows := [][]string{{"event", x.EventID}, {"room", fmt.Sprintf("%s (version %s)", x.RoomID, orDash(x.RoomVersion))}}
	if x.Type != "" {
		rows = append(rows, []string{"type", x.Type}, []string{"sender", x.Sender}, []string{"depth", strconv.FormatInt(x.Depth, 10)})
	}
	rows = append(rows, []string{"verdict", verdict}, []string{"received", received(o, x.Arrival)})
	for _, s := range x.Checks {
		rows = append(rows, []string{fmt.Sprintf("check %d", s.Number), explainStep(s)})
		if s.Reached && !s.OK && len(s.Inputs) > 0 {
			rows = append(rows, []string{"  judged by", joinIDs(s.Inputs)})
		}
	}
	rows = append(rows, idRows("waits for", x.Waits)...)
	rows = append(rows, idRows("hangs on", x.Causes)...)
	if x.Searches > 0 {
		rows = append(rows, []string{"searches", strconv.Itoa(x.Searches) + ": " + orDash(x.SearchNote)})
	}
	if x.Judgements > 1 {
		rows = append(rows, []string{"judged", fmt.Sprintf("%d times, first %s, last %s", x.Judgements, o.when(x.FirstAt), o.when(x.Judged))})
	}
	o.pairs(append(rows, effectRows(x)...))
}

// explainStep is a check in one line.
func explainStep(s inspect.Step) string {
	word := "not reached"
	switch {
	case s.Reached && s.OK:
		word = "ok"
	case s.Reached:
		word = "FAIL"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s: %s %s %s", s.ID, orDash(checkNames[s.ID]), word, s.Rule, s.Detail))
}

func received(o *output, a inspect.Way) string {
	words := o.when(a.Received) + " by " + a.String()
	if a.Lag != 0 {
		words += fmt.Sprintf(", %s after it was sent", time.Duration(a.Lag)*time.Millisecond)
	}
	return words
}

func idRows(name string, ids []ident.EventID) (rows [][]string) {
	for _, id := range ids {
		rows = append(rows, []string{name, string(id)})
	}
	return rows
}

// effectRows are the events that ended as they did because of this one.
func effectRows(x inspect.Explanation) (rows [][]string) {
	for n, d := range x.Dependents {
		if n == shownDependents {
			return append(rows, []string{"effect", fmt.Sprintf("… and %d more; --json lists them", x.Affected-n)})
		}
		rows = append(rows, []string{"effect", fmt.Sprintf("%s is %s because of %s", d.EventID, d.Outcome, d.Because)})
	}
	return rows
}

type eventJudgeCmd struct {
	reachFlags
	Event string `arg:"" help:"Id of an event that was rejected or soft-failed."`
}

// Help implements kong.HelpProvider.
func (eventJudgeCmd) Help() string {
	return `The event, and what rests on it or follows it, is judged by what is known now: it may come out otherwise when an event that
it hangs on does. For one that the policy server has not signed, that server is asked again. The room waits meanwhile, some 30 s for a million events. Strata does this by itself when a cause that it knows of
disappears. Prints what event explain prints.

  strata event judge '$abc'`
}

// Run implements the command.
func (c *eventJudgeCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		x, err := client.Judge(ctx, control.EventRef{EventID: c.Event})
		if err != nil {
			return err
		}
		return w.out.print(x, func() { showExplanation(w.out, x) })
	})
}

type eventTimelineCmd struct {
	reachFlags
	Event string `arg:"" help:"Event id, such as $$abc."`
}

// Help implements kong.HelpProvider.
func (eventTimelineCmd) Help() string {
	return `Why did this event come late? Each stage with the time since the one before and on whose side it was spent: network (or clocks
that differ), gap (events that it refers to were missing here), us. At the end, which subscriptions of this server have had it.

  strata event timeline '$abc'`
}

// Run implements the command.
func (c *eventTimelineCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		j, err := client.Journey(ctx, control.EventRef{EventID: c.Event})
		if err != nil {
			return err
		}
		return w.out.print(j, func() { showJourney(w.out, j) })
	})
}

func showJourney(o *output, j inspect.Journey) {
	var rows [][]string
	for n, leg := range j.Legs {
		took := "-"
		if n > 0 && leg.At != 0 {
			took = (time.Duration(leg.Took) * time.Millisecond).String()
		}
		rows = append(rows, []string{leg.Name, o.when(leg.At), took, orDash(leg.Blame), leg.Detail})
	}
	for _, r := range j.Readers {
		state := "not yet delivered"
		if r.Passed {
			state = "delivered"
		}
		rows = append(rows, []string{"subscription", "-", "-", "-", r.Name + ": " + state})
	}
	o.table([]string{"STAGE", "TIME", "TOOK", "BLAME", "DETAIL"}, rows)
}
