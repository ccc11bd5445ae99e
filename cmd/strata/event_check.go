// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"

	"github.com/strata-matrix/strata/internal/casefile"
	"github.com/strata-matrix/strata/internal/control"
)

type eventCheckCmd struct {
	File string `arg:"" help:"File with the event and what to judge it by, - for the standard input."`
}

// Help implements kong.HelpProvider.
func (eventCheckCmd) Help() string {
	return `The file is a JSON object with room_version; event, the PDU to judge; auth_events and state, arrays of PDUs: the events it lists as
auth_events, and the state before it; and optionally current_state, an array of PDUs, and keys,
{"server": {"ed25519:id": "public key in base64"}}, without which signatures are not checked.

The checks are those on receipt, in order: P-25 format, P-26 signatures and content hash, P-27 auth events, P-28 state before the event,
P-29 current state, P-30 policy server: where current_state, or without it state, names one, its signature has to be there; a server
would ask for it first. The verdict is accepted, soft_failed, rejected, dropped, or redacted where only the content hash does not match.
Any other than accepted ends with exit code 1, a faulty file with 2. The events around the judged one need neither hashes nor
signatures, and are taken as given. A check that was not made has ok null in JSON.

  strata event check case.json
  strata event check case.json --json | jq -r '.checks[] | select(.ok == false) | .rule'`
}

// Run implements the command.
func (c *eventCheckCmd) Run(w *world) error {
	file, err := readCase(c.File)
	if err != nil {
		return err
	}
	v, err := casefile.CheckEvent(file)
	if err != nil {
		return usage("%s: %v", c.File, err)
	}
	noteRedacted(w.out, v.Redacted)
	if err := w.out.print(*v, func() { showVerdict(w.out, v) }); err != nil {
		return err
	}
	if decisive, ok := v.Decisive(); ok {
		return &control.Error{
			Kind: control.Refused, Message: fmt.Sprintf("the event is %s: %s", v.Verdict, decisive.Detail),
			Check: decisive.ID, Rule: decisive.Rule,
		}
	}
	return nil
}

func showVerdict(o *output, v *casefile.Verdict) {
	rows := [][]string{{"event", orDash(string(v.EventID))}, {"room", orDash(string(v.RoomID))}, {"verdict", v.Verdict}}
	for _, c := range v.Checks {
		text := "-- " + c.Detail
		if c.OK != nil {
			word := "ok"
			if !*c.OK {
				word = "FAIL"
			}
			text = fmt.Sprintf("%s %s %s", word, c.Rule, c.Detail)
		}
		rows = append(rows, []string{"check " + c.ID, text})
	}
	o.pairs(rows)
}

// readCase reads a file for internal/casefile, of which it takes no more than can be judged.
func readCase(name string) ([]byte, error) {
	from := os.Stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, usage("%v", err)
		}
		defer file.Close()
		from = file
	}
	content, err := io.ReadAll(io.LimitReader(from, casefile.MaxSize+1))
	if err != nil {
		return nil, usage("%v", err)
	}
	return content, nil
}
