// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"strconv"

	"github.com/strata-matrix/strata/internal/control"
)

type roomJoinsCmd struct {
	reachFlags
}

// Help implements kong.HelpProvider.
func (roomJoinsCmd) Help() string {
	return `Joins over other servers that are under way; one of a large room takes minutes. A join asks a server for a template, waits for the
state of the room, of which EVENTS have come, and verifies it; when a server fails it begins anew with the next, and TRIED says how many there
were. Joins that have ended are not listed.

  strata room joins
  watch strata room joins`
}

// Run implements the command.
func (c *roomJoinsCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		joins, err := client.Joins(ctx)
		if err != nil {
			return err
		}
		return w.out.print(joins, func() {
			var rows [][]string
			for _, j := range joins {
				rows = append(rows, []string{
					j.RoomID, j.User, orDash(j.Via), j.Step, w.out.when(j.Since), strconv.Itoa(j.Events), strconv.Itoa(j.Tried), w.out.when(j.Began),
				})
			}
			w.out.table([]string{"ROOM", "USER", "SERVER", "STEP", "SINCE", "EVENTS", "TRIED", "BEGAN"}, rows)
		})
	})
}
