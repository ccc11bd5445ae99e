// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
)

// txnCmd is everything about transactions.
type txnCmd struct {
	Ls   txnLsCmd   `cmd:"" help:"List transactions, the newest first (ro)."`
	Show txnShowCmd `cmd:"" help:"Show a transaction: its attempts, and what became of each PDU (ro)."`

	Tail    txnTailCmd    `cmd:"" help:"Follow what happens to transactions (ro)."`
	Explain txnExplainCmd `cmd:"" help:"Tell what became of a transaction and why, with the verdict on each event (ro)."`
	Verify  txnVerifyCmd  `cmd:"" help:"Check that what was sent is what was frozen, and ids, hashes and signatures of its events (ro)."`
	Replay  txnReplayCmd  `cmd:"" help:"Judge the events of an inbound transaction again, on trial (ro)."`
	Diff    txnDiffCmd    `cmd:"" help:"Hold two transactions against each other (ro)."`
	Export  txnExportCmd  `cmd:"" help:"Write transactions to a file that can be looked at elsewhere (ro)."`
}

type txnLsCmd struct {
	reachFlags
	stretchFlags
	Peer   string `placeholder:"PATTERN" help:"Only those to or from servers that match: a name, with * for any characters and ? for one."`
	Class  string `placeholder:"CLASS" help:"Only those whose last attempt ended so: ok, dns, dial, tls, timeout … (docs/operating.md)."`
	State  string `placeholder:"STATE" help:"Only those that are pending, answered or withdrawn."`
	Room   string `placeholder:"ROOM" help:"Only those with an event of this room."`
	Dir    string `enum:"in,out,both" default:"both" placeholder:"in|out" help:"Only those of one direction."`
	Before int64  `placeholder:"POSITION" help:"Only those before this position: to go on where an earlier answer ended."`
	Limit  int    `short:"n" default:"50" help:"At most so many."`
}

// Help implements kong.HelpProvider.
func (txnLsCmd) Help() string {
	return `Outbound transactions are pending until the peer has answered; DUR, CLASS and STATUS are those of the last attempt. FAILED
is how many PDUs of an inbound one were refused; of outbound ones "txn show" tells. --since and --until are about their beginning.

  strata txn ls --peer example.org --since 1h
  strata txn ls --dir out --json | jq '.[] | select(.state == "pending")'`
}

// Run implements the command.
func (c *txnLsCmd) Run(ctx context.Context, w *world) error {
	q := inspect.TransactionQuery{Peer: c.Peer, Class: c.Class, State: c.State, RoomID: c.Room, Before: c.Before, Limit: c.Limit}
	if c.Dir != "both" {
		q.Direction = c.Dir
	}
	err := checkLimit(c.Limit)
	if err == nil {
		q.Since, q.Until, err = c.stretch(time.Now())
	}
	if err != nil {
		return err
	}
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		list, err := client.Transactions(ctx, q)
		if err != nil {
			return err
		}
		return w.out.print(list, func() { listTransactions(w.out, list) })
	})
}

func listTransactions(o *output, list []inspect.Transaction) {
	var rows [][]string
	for _, t := range list {
		rows = append(rows, []string{
			strconv.FormatInt(t.Position, 10), o.when(t.Began), t.Direction, t.Peer, t.ID, strconv.Itoa(t.PDUs), strconv.Itoa(t.EDUs),
			took(t.Duration), t.State, strconv.Itoa(t.Attempts), orDash(t.Class), status(t.Status), strconv.Itoa(t.Failed),
		})
	}
	head := []string{"POSITION", "TIME", "DIR", "PEER", "TXN", "PDU", "EDU", "DUR", "STATE", "TRIES", "CLASS", "STATUS", "FAILED"}
	o.table(head, rows)
}

// status is the HTTP status of an answer, if one came.
func status(code int) string {
	if code == 0 {
		return "-"
	}
	return strconv.Itoa(code)
}

type txnShowCmd struct {
	txnFlags
	ID string `arg:"" name:"txn" help:"Id of the transaction."`
}

// Help implements kong.HelpProvider.
func (txnShowCmd) Help() string {
	return `A PDU without ERROR was taken in by the receiver; OUTCOME is our own verdict on the event.

  strata txn show 1699-18 --peer example.org`
}

// Run implements the command.
func (c *txnShowCmd) Run(ctx context.Context, w *world) error {
	show := func(t inspect.TransactionDetail) error {
		return w.out.print(t, func() { showTransaction(w.out, t) })
	}
	if len(c.File) > 0 {
		return c.load(ctx, w, []string{c.ID}, func(_ context.Context, files []inspect.TransactionFile) error {
			return show(files[0].Transaction)
		})
	}
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		t, err := client.Transaction(ctx, c.ref(c.ID))
		if err != nil {
			return err
		}
		return show(t)
	})
}

func showTransaction(o *output, t inspect.TransactionDetail) {
	o.pairs([][]string{
		{"transaction", t.ID}, {"direction", t.Direction}, {"peer", t.Peer}, {"began", o.when(t.Began)},
		{"state", t.State}, {"ended", o.when(t.Ended)}, {"contents", fmt.Sprintf("%d PDU, %d EDU, %d refused", t.PDUs, t.EDUs, t.Failed)},
	})
	var results [][]string
	for _, r := range t.Results {
		results = append(results, []string{orDash(r.EventID), orDash(r.Type), orDash(r.RoomID), orDash(r.Outcome), orDash(r.Error)})
	}
	o.section([]string{"TRY", "TIME", "DUR", "CLASS", "PHASE", "STATUS", "MESSAGE"}, attemptRows(o, t.Tries))
	o.section([]string{"EVENT", "TYPE", "ROOM", "OUTCOME", "ERROR"}, results)
}

func attemptRows(o *output, tries []inspect.Attempt) (rows [][]string) {
	for _, a := range tries {
		rows = append(rows, []string{
			strconv.Itoa(a.Number), o.when(a.Began), took(a.Duration), a.Class, orDash(a.Phase), status(a.Status), orDash(a.Message),
		})
	}
	return rows
}
