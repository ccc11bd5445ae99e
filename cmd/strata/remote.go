// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/strata-matrix/strata/internal/control"
)

// pingCmd asks servers for their version.
type pingCmd struct {
	reachFlags
	Servers []string `arg:"" name:"server" help:"Servers, such as example.org."`
}

// maxPings are asked at a time.
const maxPings = 16

// Help implements kong.HelpProvider.
func (pingCmd) Help() string {
	return `Our server finds each one as it does for events, and asks for its version: GET /_matrix/federation/v1/version, unsigned. SKEW is how far
its clock is ahead of ours. Exit code 1 if one does not answer; strata doctor tells more.

  strata ping matrix.org example.org`
}

// Run implements the command.
func (c *pingCmd) Run(ctx context.Context, w *world) error {
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		pongs := make([]control.Pong, len(c.Servers))
		errs := make([]error, len(c.Servers))
		places := make(chan struct{}, maxPings)
		var wg sync.WaitGroup
		for i, server := range c.Servers {
			wg.Go(func() {
				places <- struct{}{}
				defer func() { <-places }()
				pongs[i], errs[i] = client.Ping(ctx, control.ServerRef{Server: server})
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		if err := w.out.print(pongs, func() { showPongs(w.out, pongs) }); err != nil {
			return err
		}
		if i := slices.IndexFunc(pongs, func(p control.Pong) bool { return !p.OK }); i >= 0 {
			return &control.Error{Kind: control.Refused, Message: fmt.Sprintf("%s does not answer: %s", pongs[i].Server, pongs[i].Error), Class: pongs[i].Class}
		}
		return nil
	})
}

func showPongs(o *output, pongs []control.Pong) {
	var rows [][]string
	for _, p := range pongs {
		skew := "-"
		if p.Skew != nil {
			skew = (time.Duration(*p.Skew) * time.Millisecond).String()
		}
		answer := "ok"
		if !p.OK {
			answer = p.Class
		}
		rows = append(rows, []string{p.Server, answer, took(p.Took), orDash(p.Name), orDash(p.Version), skew, orDash(p.Step), orDash(p.Remote)})
	}
	o.table([]string{"SERVER", "ANSWER", "TOOK", "SOFTWARE", "VERSION", "SKEW", "STEP", "ADDRESS"}, rows)
}

// rawCmd sends one request.
type rawCmd struct {
	reachFlags
	Method   string `arg:"" help:"GET, PUT, POST or DELETE."`
	Path     string `arg:"" help:"Path and query, escaped, beginning with /_matrix/."`
	Server   string `required:"" short:"s" placeholder:"SERVER" help:"Whom to ask, such as example.org."`
	Data     string `short:"d" placeholder:"JSON" help:"Body, a JSON object; @FILE reads a file, @- the standard input."`
	Unsigned bool   `help:"Send no Authorization, as to the endpoints that need none."`
}

// Help implements kong.HelpProvider.
func (rawCmd) Help() string {
	return `Signs the request as our server and shows whatever comes: the body on stdout, status and headers on stderr. What a PUT or POST does at the
other server, it does in our server's name. Exit code 1 for any status but 2xx.

  strata raw GET '/_matrix/federation/v1/query/profile?user_id=@alice:example.org' -s example.org
  strata raw POST /_matrix/key/v2/query -s matrix.org --unsigned -d '{"server_keys":{"example.org":{}}}'`
}

// maxRawBody bounds what is read of a body, in bytes; a transaction of the largest events fits.
const maxRawBody = 16 << 20

// Run implements the command.
func (c *rawCmd) Run(ctx context.Context, w *world) error {
	if !slices.Contains([]string{"GET", "PUT", "POST", "DELETE"}, c.Method) {
		return usage("method %q: write GET, PUT, POST or DELETE", c.Method)
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	return c.ask(ctx, w, func(ctx context.Context, client *control.Client) error {
		reply, err := client.Raw(ctx, control.RawRequest{Server: c.Server, Method: c.Method, Path: c.Path, Body: body, Unsigned: c.Unsigned})
		if err != nil {
			return err
		}
		err = w.out.print(reply, func() { showRaw(w.out, reply) })
		if err == nil && reply.Status/100 != 2 {
			err = &control.Error{Kind: control.Refused, Message: fmt.Sprintf("%s answers %d", c.Server, reply.Status)}
		}
		return err
	})
}

func (c *rawCmd) body() (json.RawMessage, error) {
	text := []byte(c.Data)
	if len(text) > 1 && text[0] == '@' {
		from := os.Stdin
		if name := c.Data[1:]; name != "-" {
			file, err := os.Open(name)
			if err != nil {
				return nil, usage("--data: %v", err)
			}
			defer file.Close()
			from = file
		}
		var err error
		if text, err = io.ReadAll(io.LimitReader(from, maxRawBody)); err != nil {
			return nil, usage("--data: %v", err)
		}
	}
	var object map[string]json.RawMessage
	if len(text) > 0 && json.Unmarshal(text, &object) != nil {
		return nil, usage("--data is not a JSON object")
	}
	return text, nil
}

func showRaw(o *output, reply control.RawReply) {
	o.note("%s %d from %s (step %s, %s) in %s", reply.Proto, reply.Status, orDash(reply.Remote), orDash(reply.Step), orDash(reply.TLS), took(reply.Took))
	for _, name := range sortedKeys(reply.Headers) {
		for _, value := range reply.Headers[name] {
			o.note("%s: %s", name, value)
		}
	}
	text := reply.Text
	if len(reply.Body) > 0 {
		text = string(reply.Body)
	}
	fmt.Fprintln(o.stdout, harmlessLines(text))
	if reply.Cut {
		o.note("the body was longer, or broke off")
	}
}
