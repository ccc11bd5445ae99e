// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
)

// tailWait is how long one question of txn tail waits for something to happen.
const tailWait = time.Minute

type txnTailCmd struct {
	reachFlags
	From     string `placeholder:"PATTERN" xor:"way" help:"Only what comes from servers that match: a name, with * and ?."`
	To       string `placeholder:"PATTERN" xor:"way" help:"Only what goes to servers that match."`
	Rejected bool   `help:"Only what was refused or failed, in either direction."`
	Limit    int    `short:"n" placeholder:"N" help:"End after so many lines. Otherwise at an interrupt, or after --timeout."`
}

// Help implements kong.HelpProvider.
func (txnTailCmd) Help() string {
	return `A line for each attempt of ours when it ends, for each transaction of theirs when it is answered ("dup": it came again, and was
given the reply that was kept), and, some time after its transaction, for each event that was not accepted. With --json one JSON value a line.

  strata txn tail
  strata txn tail --from example.org --rejected
  strata txn tail --to '*.example' --json`
}

// Run implements the command.
func (c *txnTailCmd) Run(ctx context.Context, w *world) error {
	if c.Limit < 0 {
		return usage("--limit: %d is negative", c.Limit)
	}
	q := control.Follow{After: -1, Wait: tailWait.Milliseconds(), Peer: c.From, Rejected: c.Rejected}
	switch {
	case c.From != "":
		q.Direction = inspect.In
	case c.To != "":
		q.Peer, q.Direction = c.To, inspect.Out
	}
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		if w.out.terminal && !w.out.json {
			fmt.Fprintf(w.out.stdout, tailLine, "TIME", "DIR", "PEER", "TXN", "PDU", "EDU", "DUR", "RESULT", "WORST")
		}
		for printed := 0; ; {
			f, err := client.Follow(ctx, q)
			if ctx.Err() != nil { // somebody has seen enough
				return nil
			}
			if err != nil {
				return err
			}
			if f.Missed {
				w.out.note("more has happened than is kept: some of it is not shown")
			}
			for _, e := range f.Events {
				if err := w.out.print(e, func() { w.out.happened(e) }); err != nil {
					return err
				}
				if printed++; printed == c.Limit {
					return nil
				}
			}
			q.After = f.Next
		}
	})
}

// tailLine has columns of a fixed width: nobody knows what comes.
const tailLine = "%-29s %-3s %-24s %-24s %4s %4s %8s %-14s %s\n"

func (o *output) happened(e control.Happened) {
	result, worst := e.Class, "-"
	switch {
	case e.EventID != "":
		result, worst = e.Outcome, e.EventID+" "+e.Check+" "+e.Rule
	case e.Duplicate:
		result = strconv.Itoa(e.Status) + " dup"
	case e.Status != 0:
		result = strconv.Itoa(e.Status)
	}
	if e.Failed > 0 {
		worst = fmt.Sprintf("%d PDUs refused", e.Failed)
	}
	if e.Direction == inspect.Out && e.Class != "ok" {
		worst = fmt.Sprintf("%s, attempt %d", e.Class, e.Attempt)
	}
	cells := []string{
		o.when(e.At), e.Direction, orDash(e.Peer), orDash(e.TxnID), strconv.Itoa(e.PDUs), strconv.Itoa(e.EDUs), took(e.Duration), orDash(result), worst,
	}
	if !o.terminal {
		o.line(cells, "\t", nil)
		return
	}
	shown := make([]any, len(cells))
	for n, cell := range cells {
		shown[n] = harmless(cell)
	}
	fmt.Fprintf(o.stdout, tailLine, shown...)
}

type txnDiffCmd struct {
	txnFlags
	A string `arg:"" help:"Id of a transaction."`
	B string `arg:"" help:"Id of another, or the same id with two files: how the two sides saw it."`
}

// Help implements kong.HelpProvider.
func (txnDiffCmd) Help() string {
	return `What differs in fate and size, which events only one of them carries, and of those in both, what the receivers said. Exit code 1
unless both carry the same events.

  strata txn diff 1699-18 1699-19
  strata txn diff 1699-18 1699-18 --file ours.json --file theirs.json`
}

// Run implements the command.
func (c *txnDiffCmd) Run(ctx context.Context, w *world) error {
	return c.load(ctx, w, []string{c.A, c.B}, func(_ context.Context, files []inspect.TransactionFile) error {
		d := files[0].Diff(files[1])
		err := w.out.print(d, func() { showDiff(w.out, d) })
		if err == nil && !d.Same {
			err = &control.Error{Kind: control.Refused, Message: fmt.Sprintf("%d events are only in %s, %d only in %s", len(d.OnlyA), c.A, len(d.OnlyB), c.B)}
		}
		return err
	})
}

func showDiff(o *output, d inspect.TransactionDiff) {
	var rows [][]string
	for _, f := range d.Fields {
		rows = append(rows, []string{"~", f.Field, orDash(f.A), orDash(f.B)})
	}
	for _, r := range d.OnlyA {
		rows = append(rows, []string{"-", orDash(r.EventID), orDash(r.Type), "-"})
	}
	for _, r := range d.OnlyB {
		rows = append(rows, []string{"+", orDash(r.EventID), "-", orDash(r.Type)})
	}
	for _, p := range d.Both {
		sign := "="
		if p.ErrorA != p.ErrorB {
			sign = "~"
		}
		rows = append(rows, []string{sign, p.EventID, orDash(p.ErrorA), orDash(p.ErrorB)})
	}
	o.table([]string{"", "WHAT", "A", "B"}, rows)
}

type txnExportCmd struct {
	txnFlags
	IDs []string `arg:"" name:"txn" help:"Ids of transactions."`
	Out string   `placeholder:"FILE" help:"Write there, readable to the owner alone, instead of printing. The file must not exist."`
}

// Help implements kong.HelpProvider.
func (txnExportCmd) Help() string {
	return `One JSON value a line for each transaction, with its attempts, its events in full, what became of them here, and the keys that their
signatures are checked with. Private messages are in it. Elsewhere, "txn show", "explain", "verify" and "diff" look into it with --file.

  strata txn export 1699-18 --out exported.json
  strata txn verify 1699-18 --file exported.json`
}

// Run implements the command.
func (c *txnExportCmd) Run(ctx context.Context, w *world) error {
	return c.load(ctx, w, c.IDs, func(_ context.Context, files []inspect.TransactionFile) error {
		if c.Out == "" {
			for _, file := range files {
				if err := w.out.writeJSON(w.out.stdout, file); err != nil {
					return err
				}
			}
			return nil
		}
		var text bytes.Buffer
		for _, file := range files {
			if err := w.out.writeJSON(&text, file); err != nil {
				return err
			}
		}
		to, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		if _, err := to.Write(text.Bytes()); err != nil {
			_ = to.Close() // the first error tells more
			return err
		}
		return to.Close()
	})
}
