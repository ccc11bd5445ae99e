// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/strata-matrix/strata/internal/control"
	"github.com/strata-matrix/strata/internal/doctor"
	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/transport/ident"
)

// showHistory prints who said what of a server's keys.
func showHistory(o *output, h inspect.KeyHistory) {
	var rows [][]string
	for _, s := range h.Said {
		state := "current"
		if s.ExpiredTS != 0 {
			state = "expired " + o.when(s.ExpiredTS)
		}
		rows = append(rows, []string{s.KeyID, s.Source, state, o.when(s.FirstSeen), o.when(s.LastSeen), o.when(s.ValidUntil), s.Public})
	}
	o.table([]string{"KEY", "SAID BY", "STATE", "FIRST", "LAST", "VALID UNTIL", "PUBLIC"}, rows)
	for _, id := range h.Conflicts {
		o.note("different keys were told under the id %s: somebody lied, or the server was set up anew", id)
	}
}

type keysFetchCmd struct {
	reachFlags
	Server string `arg:"" help:"Whom to ask for its keys, such as example.org."`
}

// Help implements kong.HelpProvider.
func (keysFetchCmd) Help() string {
	return `Asks the server for its key document, and looks at it: names, signatures, times (X-50 to X-55). Nothing of it is stored. SIGNATURE is that
of the document by the key: ok, bad or none. Exit code 1 if the document is not good.

  strata keys fetch matrix.org
  strata keys fetch matrix.org --json=document`
}

// Run implements the command.
func (c *keysFetchCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		found, err := client.FetchKeys(ctx, control.ServerRef{Server: c.Server})
		if err != nil {
			return err
		}
		if err := w.out.print(found, func() { showKeyReport(w.out, found.KeyReport) }); err != nil {
			return err
		}
		return verdictOf(found.KeyReport)
	})
}

func showKeyReport(o *output, r doctor.KeyReport) {
	var rows [][]string
	for _, k := range r.Keys {
		rows = append(rows, []string{k.KeyID, k.Signature, o.when(k.ExpiredTS), k.Public})
	}
	o.table([]string{"KEY", "SIGNATURE", "EXPIRED", "PUBLIC"}, rows)
	o.note("valid until %s, counts until %s", o.when(r.ValidUntil), o.when(r.CountsTill))
	for _, f := range r.Findings {
		o.note("%s %s; %s", f.Code, f.Text, f.Fix)
	}
}

func verdictOf(r doctor.KeyReport) error {
	if r.Good {
		return nil
	}
	return &control.Error{Kind: control.Refused, Message: fmt.Sprintf("the keys of %s are not good: %s", r.Server, r.Findings[0].Text)}
}

type keysVerifyCmd struct {
	File   string `arg:"" help:"File with a key document, as GET /_matrix/key/v2/server gives it, - for the standard input."`
	Server string `placeholder:"SERVER" help:"Whose it must be. Otherwise whose it says it is."`
	At     int64  `placeholder:"MS" help:"The time to judge it by, in ms since 1970. Otherwise now."`
}

// Help implements kong.HelpProvider.
func (keysVerifyCmd) Help() string {
	return `Looks at a key document as keys fetch does, without asking anybody: names, signatures, times.

  curl -s https://matrix.example.org:8448/_matrix/key/v2/server | strata keys verify - --server example.org`
}

// maxKeyDocument is more than any server is believed, in bytes.
const maxKeyDocument = 1 << 20

// Run implements the command.
func (c *keysVerifyCmd) Run(w *world) error {
	from := io.Reader(os.Stdin)
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return usage("%v", err)
		}
		defer file.Close()
		from = file
	}
	raw, err := io.ReadAll(io.LimitReader(from, maxKeyDocument))
	if err != nil {
		return usage("read %s: %v", c.File, err)
	}
	if c.Server == "" {
		var document struct {
			ServerName string `json:"server_name"`
		}
		if err := json.Unmarshal(raw, &document); err != nil {
			return usage("%s is no key document: %v", c.File, err)
		}
		c.Server = document.ServerName
	}
	server, err := ident.ParseServerName(c.Server)
	if err != nil {
		return usage("%v", err)
	}
	at := time.Now()
	if c.At != 0 {
		at = time.UnixMilli(c.At)
	}
	report := doctor.ExamineKeys(server, raw, at)
	if err := w.out.print(report, func() { showKeyReport(w.out, report) }); err != nil {
		return err
	}
	return verdictOf(report)
}

type keysNotaryCmd struct {
	reachFlags
	Server   string   `arg:"" help:"Whose keys, such as example.org."`
	Notaries []string `arg:"" optional:"" name:"notary" help:"Whom to ask beside the server itself, such as matrix.org."`
}

// Help implements kong.HelpProvider.
func (keysNotaryCmd) Help() string {
	return `Asks the server itself and each notary what the server's keys are (X-61), checks the signatures on what they say, and compares. AGREES is no
where two sources tell different keys under one id. A notary that does not know a new key yet does not contradict. Exit code 1 if
two disagree.

  strata keys notary example.org matrix.org other.example`
}

// compared is what all of them say.
type compared struct {
	Server  string             `json:"server"`
	Agree   bool               `json:"agree"`
	Sources []control.Attested `json:"sources"`
}

// Run implements the command.
func (c *keysNotaryCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		result := compared{Server: c.Server, Agree: true}
		known := map[string]string{}
		for _, notary := range append([]string{""}, c.Notaries...) {
			found, err := client.AskNotary(ctx, control.AskNotary{Server: c.Server, Notary: notary})
			if err != nil {
				return err
			}
			for _, k := range found.Keys {
				if before := known[k.KeyID]; before != "" && before != k.Public {
					result.Agree = false
				}
				known[k.KeyID] = k.Public
			}
			result.Sources = append(result.Sources, found)
		}
		if err := w.out.print(result, func() { showCompared(w.out, result) }); err != nil {
			return err
		}
		if !result.Agree {
			return &control.Error{Kind: control.Refused, Message: "they do not agree on the keys of " + c.Server}
		}
		return nil
	})
}

func showCompared(o *output, c compared) {
	first := map[string]string{}
	var rows [][]string
	for _, s := range c.Sources {
		if s.Error != "" {
			rows = append(rows, []string{s.Source, "-", "-", "-", "-", s.Error})
		}
		for _, k := range s.Keys {
			agrees := "yes"
			if before := first[k.KeyID]; before != "" && before != k.Public {
				agrees = "NO"
			} else {
				first[k.KeyID] = k.Public
			}
			rows = append(rows, []string{s.Source, k.KeyID, o.when(k.ExpiredTS), o.when(s.Until), agrees, k.Public})
		}
	}
	o.table([]string{"SAID BY", "KEY", "EXPIRED", "VALID UNTIL", "AGREES", "PUBLIC"}, rows)
}
