// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/strata-matrix/strata/internal/demo"
)

// demoServer, in the environment, makes "strata demo" one of the demo's servers instead of a demo.
const demoServer = "STRATA_DEMO_SERVER"

// demoCmd shows and proves on one machine what Strata promises.
type demoCmd struct {
	Servers     int           `default:"3" placeholder:"N" help:"How many servers, 2 to 12 (default: ${default}). The last one is killed."`
	Events      int           `default:"30" placeholder:"N" help:"How many events they send together, 4 to 1000 (default: ${default})."`
	RoomVersion string        `default:"12" placeholder:"V" help:"Version of the room, 1 to 12 (default: ${default})."`
	Timeout     time.Duration `default:"1m" placeholder:"TIME" help:"Give up after this time (default: ${default})."`
	Keep        string        `placeholder:"DIR" help:"Leave databases, recorded deliveries and logs of the servers in DIR, which must be new or empty. Without it they are kept only when something is not proven."`
}

// Help implements kong.HelpProvider.
func (demoCmd) Help() string {
	return `Every server is a process of its own with its own directory, and they talk over real TLS on ports of 127.0.0.1.
A user of the first server creates a room, the others join, everybody sends. One server is killed with kill -9, the others go
on, it starts again and catches up. The demo then proves, from what each server's subscription recorded on disk, that every
event reached every server exactly once, and that all of them have the same state of the room.

The story is told on stderr while it happens, the result goes to stdout. Exit codes: 0 all is proven, 1 something is not.`
}

func (c demoCmd) options() demo.Options {
	return demo.Options{
		Servers: c.Servers, Events: c.Events, RoomVersion: c.RoomVersion, Timeout: c.Timeout, Keep: c.Keep, Child: demoChild,
	}
}

// Validate implements kong.Validatable.
func (c demoCmd) Validate() error {
	if err := c.options().Validate(); err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return nil
}

func (c demoCmd) Run(ctx context.Context, w *world) error {
	if w.env[demoServer] != "" {
		return demo.Serve(ctx, os.Stdin, os.Stdout, os.Stderr)
	}
	options := c.options()
	if w.out.tellsProgress() {
		options.Progress = w.out.stderr
	}
	result, err := demo.Run(ctx, options)
	switch {
	case errors.Is(err, demo.ErrNotProven):
	case ctx.Err() != nil:
		return errors.New("demo: interrupted; the servers are stopped")
	case err != nil:
		return err
	}
	var unwritten error
	printed := w.out.print(result, func() { unwritten = result.Write(w.out.stdout) })
	return errors.Join(err, printed, unwritten)
}

// demoChild runs this program again. The name that it was started by stays, for programs that are several in one file.
func demoChild() *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	cmd := exec.Command(self, "demo")
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), demoServer+"=1")
	return cmd
}
