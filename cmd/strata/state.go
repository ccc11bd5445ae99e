// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/internal/casefile"
	"github.com/strata-matrix/strata/transport/ident"
)

// stateCmd is everything about room state that needs no server.
type stateCmd struct {
	Resolve stateResolveCmd `cmd:"" help:"Resolve the state of a room that is written down in a file (ro, offline)."`
}

type stateResolveCmd struct {
	File  string `arg:"" help:"File with the room, - for the standard input."`
	Trace bool   `help:"Show every step: conflicts, auth difference, orders, mainline, checks."`
}

// Help implements kong.HelpProvider.
func (stateResolveCmd) Help() string {
	return `The file is a JSON object with room_version; events, an array of PDUs; state_sets, an array of arrays of event ids, one for each
state; and optionally rejected, an array of ids of events that were rejected.

In room versions 1 and 2 events carry event_id; later their ids are computed, and an event_id that is there is ignored. All events of
the auth chains must be there. Hashes and signatures need not be, and signatures are not checked; but an event whose content hash does
not match takes part as its redacted copy, as it would in a server.

  strata state resolve room.json --trace
  strata state resolve room.json --json | jq -r '.resolved[] | .event_id'`
}

// Run implements the command.
func (c *stateResolveCmd) Run(w *world) error {
	file, err := readCase(c.File)
	if err != nil {
		return err
	}
	r, err := casefile.Resolve(file, c.Trace)
	if err != nil {
		return usage("%s: %v", c.File, err)
	}
	noteRedacted(w.out, r.Redacted)
	return w.out.print(*r, func() {
		if c.Trace {
			showTrace(w.out, r.Trace, r.Resolved)
			return
		}
		w.out.table([]string{"TYPE", "KEY", "EVENT"}, slotRows(r.Resolved))
	})
}

func noteRedacted(o *output, ids []ident.EventID) {
	for _, id := range ids {
		o.note("note: the content hash of %s does not match: taken is its redacted copy (P-15)", id)
	}
}

func slotRows(slots []casefile.Slot) (rows [][]string) {
	for _, s := range slots {
		rows = append(rows, []string{s.Type, orDash(s.StateKey), string(s.EventID)})
	}
	return rows
}

// showTrace prints the steps of a resolution, one line for each event of each step.
func showTrace(o *output, t *casefile.Trace, resolved []casefile.Slot) {
	var rows [][]string
	add := func(step string, s casefile.Slot, detail string) {
		rows = append(rows, []string{step, s.Type, orDash(s.StateKey), orDash(string(s.EventID)), detail})
	}
	for _, c := range t.Conflicted {
		for _, id := range distinct(c.BySet) {
			add("conflicted", casefile.Slot{Type: c.Type, StateKey: c.StateKey, EventID: id}, "in "+setsOf(c.BySet, id))
		}
	}
	steps := []struct {
		name  string
		slots []casefile.Slot
		place string
	}{
		{"auth difference", t.AuthDifference, ""}, {"subgraph", t.Subgraph, ""}, {"power order", t.PowerOrder, "place"},
		{"mainline", t.Mainline, "position"}, {"mainline order", t.MainlineOrder, "place"},
	}
	for _, step := range steps {
		for i, s := range step.slots {
			detail := "-"
			if step.place != "" {
				detail = step.place + " " + strconv.Itoa(i)
			}
			add(step.name, s, detail)
		}
	}
	for _, c := range t.Checks {
		word := "ok"
		if !c.OK {
			word = "FAIL"
		}
		add("check", c.Slot, fmt.Sprintf("%s %s %s", word, c.Rule, c.Detail))
	}
	for _, s := range resolved {
		add("resolved", s, "-")
	}
	o.table([]string{"STEP", "TYPE", "KEY", "EVENT", "DETAIL"}, rows)
}

// distinct is the ids in the order of their first appearance.
func distinct(ids []ident.EventID) (once []ident.EventID) {
	seen := map[ident.EventID]bool{}
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			once = append(once, id)
		}
	}
	return once
}

// setsOf names the state sets that hold id.
func setsOf(bySet []ident.EventID, id ident.EventID) string {
	var sets []string
	for i, have := range bySet {
		if have == id {
			sets = append(sets, fmt.Sprintf("state_sets[%d]", i))
		}
	}
	return strings.Join(sets, ", ")
}
