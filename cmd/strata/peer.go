// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
)

// peerCmd is everything about other servers.
type peerCmd struct {
	Ls       peerLsCmd       `cmd:"" help:"List the servers that we have to do with (ro)."`
	Show     peerShowCmd     `cmd:"" help:"Show how we and a server stand: who reaches whom, what failed, what waits (ro)."`
	Errors   peerErrorsCmd   `cmd:"" help:"List what went wrong with a server by class, in both directions (ro)."`
	Rooms    peerRoomsCmd    `cmd:"" help:"List the rooms that a server is in (ro)."`
	Timeline peerTimelineCmd `cmd:"" help:"List what happened between us and a server, in order (ro)."`
	Reset    peerResetCmd    `cmd:"" help:"Forget that servers failed, and try them anew (rw)."`
	Hold     peerHoldCmd     `cmd:"" help:"Send nothing to a server for now (rw)."`
	Allow    peerAllowCmd    `cmd:"" help:"Federate with servers, whatever the settings say (rw)."`
	Deny     peerDenyCmd     `cmd:"" help:"Keep servers out, whatever the settings say (rw)."`
}

// onePeer is what verbs about one server know.
type onePeer struct {
	reachFlags
	filterFlags
	Server string `arg:"" help:"Server name, such as example.org."`
}

func (p onePeer) with(ctx context.Context, w *world, do func(context.Context, *control.Client, inspect.Filter) error) error {
	return p.filtered(ctx, w, p.filterFlags, p.Server, do)
}

// manyPeers is what verbs about several servers know.
type manyPeers struct {
	reachFlags
	filterFlags
	Pattern string `arg:"" optional:"" name:"server" help:"Server name, with * for any characters and ? for one. Otherwise all."`
}

func (p manyPeers) with(ctx context.Context, w *world, do func(context.Context, *control.Client, inspect.Filter) error) error {
	return p.filtered(ctx, w, p.filterFlags, p.Pattern, do)
}

type peerLsCmd struct {
	manyPeers
}

// Help implements kong.HelpProvider.
func (peerLsCmd) Help() string {
	return `By name: servers that something was sent to, that sent us something or that share a room with us. STATE: ok or retry, by the last
attempt; held by a rule; new, if nothing was ever sent. CLASS is that of the last failure, however long ago. --since and --until are
about the last contact in either direction.

  strata peer ls --state retry
  strata peer ls --room '!abc:example.org'
  strata peer ls '*.example' --json=server,state,last_inbound_ts`
}

// Run implements the command.
func (c *peerLsCmd) Run(ctx context.Context, w *world) error {
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		list, err := client.Peers(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(list, func() {
			var rows [][]string
			for _, p := range list {
				rows = append(rows, []string{
					p.Server, p.State, strconv.Itoa(p.Failures), w.out.when(p.LastSuccess), w.out.when(p.LastInbound), strconv.Itoa(p.Items),
					strconv.Itoa(p.Parked), w.out.when(p.NextTry), strconv.Itoa(p.Rooms), orDash(p.Class),
				})
			}
			w.out.table([]string{"SERVER", "STATE", "FAILURES", "LAST OK", "LAST INBOUND", "ITEMS", "PARKED", "NEXT", "ROOMS", "CLASS"}, rows)
		})
	})
}

type peerShowCmd struct {
	onePeer
}

// Help implements kong.HelpProvider.
func (peerShowCmd) Help() string {
	return `Whether we reach them is told from the last attempt; whether they reach us, from what came within a day: one that has nothing to
say sends nothing, so that silence proves nothing. The ratio is over 30 days, the durations over the latest 200 deliveries. Then what went
wrong, as "strata peer errors" lists it.

  strata peer show example.org
  strata doctor example.org                            # what stands between us now, step by step`
}

// Run implements the command.
func (c *peerShowCmd) Run(ctx context.Context, w *world) error {
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		p, err := client.Peer(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(p, func() { showPeer(w.out, p) })
	})
}

func showPeer(o *output, p control.PeerDetail) {
	rows := [][]string{
		{"server", p.Server}, {"state", p.State}, {"ways", waysOf(p.PeerDetail)}, {"last ok", o.when(p.LastSuccess)},
		{"last failure", o.when(p.LastFailure)},
	}
	if p.Class != "" {
		why := strings.TrimSpace(fmt.Sprintf("%s %s %s", p.Class, p.Phase, p.Error))
		rows = append(rows, []string{"failed with", why}, []string{"failures", fmt.Sprintf("%d in a row", p.Failures)})
	}
	rows = append(rows, []string{"next try", o.when(p.NextTry)})
	if p.NotBefore != 0 {
		rows = append(rows, []string{"not before", o.when(p.NotBefore) + ": it asked for that"})
	}
	rows = append(rows, []string{"last inbound", o.when(p.LastInbound)})
	if p.Attempts > 0 {
		rows = append(rows, []string{"30 days", fmt.Sprintf("%d of %d attempts answered, %.1f %%", p.Succeeded, p.Attempts, 100*float64(p.Succeeded)/float64(p.Attempts))})
	}
	if p.Samples > 0 {
		rows = append(rows, []string{"send", fmt.Sprintf("p50 %s, p95 %s of %d", took(p.P50), took(p.P95), p.Samples)})
	}
	rows = append(rows, []string{"queue", fmt.Sprintf("%d items, oldest %s, %d parked", p.Items, o.when(p.Oldest), p.Parked)},
		[]string{"shared rooms", strconv.Itoa(p.Rooms)})
	if p.Hold != nil {
		rows = append(rows, []string{"held", fmt.Sprintf("by the rule %s: %s", p.Hold.Pattern, orDash(p.Hold.Reason))})
	}
	if p.Policy != "" {
		rows = append(rows, []string{"policy", p.Policy})
	}
	if p.Exception != "" {
		rows = append(rows, []string{"exception", p.Exception + ", until the server stops"})
	}
	o.pairs(rows)
	o.section(faultHead, faultRows(o, p.Errors))
}

// waysOf says who reaches whom.
func waysOf(p inspect.PeerDetail) string {
	us := map[string]string{"yes": "we reach them", "no": "we do not reach them", "unknown": "whether we reach them is not known"}[p.WeReach]
	them := map[string]string{"yes": "they reach us", "unknown": "nothing came from them for a day"}[p.TheyReach]
	return them + ", " + us
}

var faultHead = []string{"DIR", "CLASS", "RULE", "COUNT", "LAST", "STATUS", "MESSAGE"}

func faultRows(o *output, faults []inspect.PeerFault) (rows [][]string) {
	for _, f := range faults {
		rows = append(rows, []string{f.Direction, f.Class, orDash(f.Rule), strconv.Itoa(f.Count), o.when(f.Last), status(f.Status), orDash(f.Message)})
	}
	return rows
}

type peerErrorsCmd struct {
	onePeer
}

// Help implements kong.HelpProvider.
func (peerErrorsCmd) Help() string {
	return `DIR out: what we sent and how it failed, counted over 30 days, with their last words. DIR in: their events that were not accepted
here, by outcome and rule (docs/conformance.md), as far as records are kept; and by errcode, their requests that were answered with an error since the
server started. "strata event explain" and "strata txn show" tell more of one.

  strata peer errors example.org
  strata peer errors example.org --json | jq '.[] | select(.dir == "in")'`
}

// Run implements the command.
func (c *peerErrorsCmd) Run(ctx context.Context, w *world) error {
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		list, err := client.PeerErrors(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(list, func() { w.out.table(faultHead, faultRows(w.out, list)) })
	})
}

type peerRoomsCmd struct {
	onePeer
}

// Help implements kong.HelpProvider.
func (peerRoomsCmd) Help() string {
	return `The rooms of which the server has joined members, as far as we know, those of which most is queued for it first. REFUSED is how many
events of the room that it sent were not accepted here.

  strata peer rooms example.org
  strata room compare '!abc:example.org' --server example.org     # whether we agree on one`
}

// Run implements the command.
func (c *peerRoomsCmd) Run(ctx context.Context, w *world) error {
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		list, err := client.PeerRooms(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(list, func() {
			var rows [][]string
			for _, r := range list {
				rows = append(rows, []string{
					r.RoomID, r.Version, r.Membership, strconv.Itoa(r.Members), strconv.Itoa(r.Queued), strconv.Itoa(r.Parked), strconv.Itoa(r.Refused),
				})
			}
			w.out.table([]string{"ROOM", "VERSION", "STATE", "MEMBERS", "QUEUED", "PARKED", "REFUSED"}, rows)
		})
	})
}

type peerTimelineCmd struct {
	onePeer
}

// Help implements kong.HelpProvider.
func (peerTimelineCmd) Help() string {
	return `The latest, oldest first: sent, a transaction of ours that was answered; failed, an attempt; received, a transaction of theirs;
parked, what they refused; refused, an event of theirs that was not accepted; held, a rule. Failed attempts are kept up to 64,
transactions for a week.

  strata peer timeline example.org --since 1d
  strata peer timeline example.org --class tls --json`
}

// Run implements the command.
func (c *peerTimelineCmd) Run(ctx context.Context, w *world) error {
	return c.with(ctx, w, func(ctx context.Context, client *control.Client, q inspect.Filter) error {
		list, err := client.PeerTimeline(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(list, func() {
			var rows [][]string
			for _, m := range list {
				what := orDash(m.TxnID)
				if m.EventID != "" {
					what = m.EventID
				}
				rows = append(rows, []string{w.out.when(m.At), m.Kind, what, took(m.Took), orDash(m.Class), status(m.Status), orDash(m.Detail)})
			}
			w.out.table([]string{"TIME", "WHAT", "TXN OR EVENT", "DUR", "CLASS", "STATUS", "DETAIL"}, rows)
		})
	})
}
