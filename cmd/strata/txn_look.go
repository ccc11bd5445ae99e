// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/inspect"
)

// txnFlags say where a transaction is looked for, and which one of those with an id is meant.
type txnFlags struct {
	reachFlags
	Peer string   `placeholder:"SERVER" help:"The one to or from this server, where several have the id."`
	Dir  string   `enum:"in,out,both" default:"both" placeholder:"in|out" help:"The one of this direction, where both have it."`
	File []string `placeholder:"FILE" help:"Look into a file that txn export wrote, and ask no server. Can be repeated."`
}

func (f txnFlags) ref(id string) inspect.TransactionRef {
	ref := inspect.TransactionRef{ID: id, Peer: f.Peer}
	if f.Dir != "both" {
		ref.Direction = f.Dir
	}
	return ref
}

// load gives transactions with all that is known of them. From files, each is taken from the first that has it, and the last of several
// from the last: so the two sides of one transaction can be held against each other.
func (f txnFlags) load(ctx context.Context, w *world, ids []string, use func(context.Context, []inspect.TransactionFile) error) error {
	if len(f.File) == 0 {
		return f.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
			var found []inspect.TransactionFile
			for _, id := range ids {
				file, err := client.ExportTransaction(ctx, f.ref(id))
				if err != nil {
					return err
				}
				found = append(found, file)
			}
			return use(ctx, found)
		})
	}
	var all, found []inspect.TransactionFile
	for _, path := range f.File {
		list, err := readExported(path)
		if err != nil {
			return err
		}
		all = append(all, list...)
	}
	for n, id := range ids {
		if n > 0 && n == len(ids)-1 {
			slices.Reverse(all)
		}
		at := slices.IndexFunc(all, func(file inspect.TransactionFile) bool { return fits(file.Transaction, f.ref(id)) })
		if at < 0 {
			return &control.Error{Kind: control.NotFound, Message: fmt.Sprintf("transaction %s: not found in what was given with --file", id)}
		}
		found = append(found, all[at])
	}
	return use(ctx, found)
}

func fits(t inspect.TransactionDetail, ref inspect.TransactionRef) bool {
	return t.ID == ref.ID && (ref.Peer == "" || t.Peer == ref.Peer) && (ref.Direction == "" || t.Direction == ref.Direction)
}

// maxExported is how long a file may be: one transaction is at most some 12 MB.
const maxExported = 1 << 30

// readExported reads the transactions in a file, one JSON value after the other.
func readExported(path string) (list []inspect.TransactionFile, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	decoder := json.NewDecoder(io.LimitReader(file, maxExported))
	for {
		var text json.RawMessage
		if err := decoder.Decode(&text); errors.Is(err, io.EOF) {
			return list, nil
		} else if err != nil {
			return nil, usage("%s: %v", path, err)
		}
		read, err := inspect.ReadTransactionFile(text)
		if err != nil {
			return nil, usage("%s: %v", path, err)
		}
		list = append(list, read)
	}
}

type txnExplainCmd struct {
	txnFlags
	ID string `arg:"" name:"txn" help:"Id of the transaction."`
}

// Help implements kong.HelpProvider.
func (txnExplainCmd) Help() string {
	return `What was in it; each attempt with how far it had come (PHASE) and how it failed (CLASS); of each event what the receiver said
(ERROR; "-" is taken in), and our own verdict with the rule that decided it (docs/conformance.md).

  strata txn explain 1699-18 --peer example.org
  strata txn explain 1699-18 --file exported.json`
}

// Run implements the command.
func (c *txnExplainCmd) Run(ctx context.Context, w *world) error {
	return c.load(ctx, w, []string{c.ID}, func(_ context.Context, files []inspect.TransactionFile) error {
		story := files[0].Explain()
		return w.out.print(story, func() { showStory(w.out, story) })
	})
}

func showStory(o *output, s inspect.TransactionStory) {
	rows := [][]string{{"transaction", s.ID}, {"direction", s.Direction}, {"peer", s.Peer}, {"began", o.when(s.Began)}, {"ended", o.when(s.Ended)}}
	for _, line := range s.Story {
		rows = append(rows, []string{"story", line})
	}
	o.pairs(rows)
	var events [][]string
	for _, e := range s.Events {
		rule, why := "-", "-"
		if e.Decided != nil {
			rule, why = e.Decided.ID+" "+e.Decided.Rule, e.Decided.Detail
		}
		events = append(events, []string{orDash(e.EventID), orDash(e.Type), orDash(e.Error), orDash(e.Outcome), rule, why})
	}
	o.section([]string{"TRY", "TIME", "DUR", "CLASS", "PHASE", "STATUS", "MESSAGE"}, attemptRows(o, s.Tries))
	o.section([]string{"EVENT", "TYPE", "ERROR", "OUTCOME", "RULE", "WHY"}, events)
}

type txnVerifyCmd struct {
	txnFlags
	ID string `arg:"" name:"txn" help:"Id of the transaction."`
}

// Help implements kong.HelpProvider.
func (txnVerifyCmd) Help() string {
	return `Of an outbound one: the id is a hash of the body, so that a body with this id is the one that was frozen, and sent each time. Of
every event in either direction: its id and its content hash are computed anew, and its signatures are checked with the keys that are known.
"unknown" is what cannot be told, as for want of a key. Exit code 1 if something is bad.

  strata txn verify 1699-18
  strata txn verify 1699-18 --file exported.json`
}

// Run implements the command.
func (c *txnVerifyCmd) Run(ctx context.Context, w *world) error {
	if len(c.File) > 0 {
		return c.load(ctx, w, []string{c.ID}, func(ctx context.Context, files []inspect.TransactionFile) error {
			return w.verified(files[0].Verify(ctx))
		})
	}
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		v, err := client.VerifyTransaction(ctx, c.ref(c.ID))
		if err != nil {
			return err
		}
		return w.verified(v)
	})
}

func (w *world) verified(v inspect.Verification) error {
	err := w.out.print(v, func() {
		var rows [][]string
		for _, f := range v.Findings {
			rows = append(rows, []string{f.Result, f.Check, f.Subject, orDash(f.Detail)})
		}
		w.out.table([]string{"RESULT", "CHECK", "OF", "DETAIL"}, rows)
	})
	if err == nil && !v.OK {
		err = &control.Error{Kind: control.Refused, Message: "transaction " + v.ID + " is not what it should be"}
	}
	return err
}

type txnReplayCmd struct {
	reachFlags
	ID   string `arg:"" name:"txn" help:"Id of an inbound transaction."`
	Peer string `placeholder:"SERVER" help:"The one from this server, where several have the id."`
}

// Help implements kong.HelpProvider.
func (txnReplayCmd) Help() string {
	return `Each event is judged by what is known now, and nothing is stored. What was accepted is not held to the current state of today.
An event that would end otherwise shows that something it was judged by has changed, or a fault of ours: exit code 1. "strata event judge"
judges one in earnest.

  strata txn replay 1699-18 --peer example.org`
}

// Run implements the command.
func (c *txnReplayCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		r, err := client.ReplayTransaction(ctx, inspect.TransactionRef{ID: c.ID, Peer: c.Peer, Direction: inspect.In})
		if err != nil {
			return err
		}
		err = w.out.print(r, func() {
			var rows [][]string
			for _, e := range r.Events {
				why := orDash(e.Note)
				if n := len(e.Checks); n > 0 {
					why = e.Checks[n-1].ID + " " + e.Checks[n-1].Rule + " " + e.Checks[n-1].Detail
				}
				rows = append(rows, []string{e.EventID, orDash(e.Then), orDash(e.Now), yesOrDash(e.Differs), why})
			}
			w.out.table([]string{"EVENT", "THEN", "NOW", "DIFFERS", "WHY"}, rows)
		})
		if err == nil && r.Differing > 0 {
			err = &control.Error{Kind: control.Refused, Message: fmt.Sprintf("%d events would be judged otherwise now", r.Differing)}
		}
		return err
	})
}
