// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/strata-matrix/strata/internal/bench"
)

// benchServer, in the environment, makes "strata bench ingest" the server that is measured instead of a measurement.
const benchServer = "STRATA_BENCH_SERVER"

type benchCmd struct {
	Fanout benchFanoutCmd `cmd:"" help:"How fast a server sends one event to many others, beside what the bare requests would cost (rw: a server of its own)."`
	Ingest benchIngestCmd `cmd:"" help:"How many events a second a server takes in, beside what verifying them alone would cost (rw: a server of its own)."`
}

// benchIngestCmd measures a server that takes events in.
type benchIngestCmd struct {
	Events      int    `default:"60000" placeholder:"N" help:"How many events are sent and counted (default: ${default})."`
	Origins     int    `default:"8" placeholder:"N" help:"How many servers send them, one transaction at a time each (default: ${default})."`
	Rooms       int    `default:"8" placeholder:"N" help:"Over how many rooms (default: ${default}), of one server each."`
	Rounds      int    `default:"5" placeholder:"N" help:"In how many rounds, between which the floor is measured (default: ${default})."`
	Forks       int    `default:"0" placeholder:"PERCENT" help:"How many of a hundred events have a sibling (default: ${default})."`
	RoomVersion string `default:"12" placeholder:"V" help:"Version of the rooms, 1 to 12 (default: ${default})."`
	Seed        uint64 `default:"1" placeholder:"N" help:"What the events are drawn by (default: ${default})."`
	CPUProfile  string `name:"cpu-profile" placeholder:"FILE" help:"Write a CPU profile of the server to FILE."`
}

// Help implements kong.HelpProvider.
func (benchIngestCmd) Help() string {
	return `A complete server is started as a process of its own, with TLS and a database on disk that is synced with every commit.
Servers that are simulated join its rooms and send transactions of 50 events: 90 % messages, 5 % members, 5 % other state. An event
counts when the server's subscription has it, and it is durable.

The floor is what no server can do without: a verification by Go's standard library and two SHA-256 of the same events, on all
cores. Figure and floor are measured in turns. "ratio" is by the clock; "cpu_ratio" is by the CPU time of the server alone, without
what makes the load, and is what to trust on a machine that others use.`
}

func (c benchIngestCmd) ingest() bench.Ingest {
	return bench.Ingest{
		Origins: c.Origins, Rooms: c.Rooms, Events: c.Events, Rounds: c.Rounds, Forks: c.Forks, Version: c.RoomVersion, Seed: c.Seed,
		Child: benchChild, Profile: c.CPUProfile, Progress: io.Discard,
	}
}

// Validate implements kong.Validatable.
func (c benchIngestCmd) Validate() error { return onOneLine(c.ingest().Validate()) }

// onOneLine is an error of several lines as one of one.
func onOneLine(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

func (c benchIngestCmd) Run(ctx context.Context, w *world) error {
	if w.env[benchServer] != "" {
		go tendCollector(ctx, w.env)
		return bench.Serve(ctx, os.Stdin, os.Stdout)
	}
	b := c.ingest()
	if w.out.tellsProgress() {
		b.Progress = w.out.stderr
	}
	figure, err := b.Run(ctx)
	if err != nil {
		return fmt.Errorf("bench ingest: %w", err)
	}
	return w.out.print(figure, func() { printFigure(w.out, figure) })
}

// benchFanoutCmd measures a server that sends to many others.
type benchFanoutCmd struct {
	Destinations int    `default:"10000" placeholder:"N" help:"How many servers are in the room (default: ${default})."`
	Rounds       int    `default:"5" placeholder:"N" help:"How many events they are sent, one after the other (default: ${default})."`
	RoomVersion  string `default:"12" placeholder:"V" help:"Version of the room, 1 to 12 (default: ${default})."`
	CPUProfile   string `name:"cpu-profile" placeholder:"FILE" help:"Write a CPU profile of the server to FILE."`
}

// Help implements kong.HelpProvider.
func (benchFanoutCmd) Help() string {
	return `A complete server is started as a process of its own. Many servers, simulated behind one port, join a room of it; then a user
there says something, and the next thing once everybody has been sent the first and the store has that. Each destination is sent a
transaction of its own over a TLS connection of its own.

The floor is as many bare signed requests of the same size by the same client over the same connections. Figure and floor are
measured in turns. "ratio" is by the clock; "cpu_ratio" is by the CPU time of the server alone. Two files are needed for each
destination: see "ulimit -n".`
}

func (c benchFanoutCmd) fanout() bench.Fanout {
	return bench.Fanout{
		Destinations: c.Destinations, Rounds: c.Rounds, Version: c.RoomVersion, Child: benchChild, Profile: c.CPUProfile, Progress: io.Discard,
	}
}

// Validate implements kong.Validatable.
func (c benchFanoutCmd) Validate() error { return onOneLine(c.fanout().Validate()) }

func (c benchFanoutCmd) Run(ctx context.Context, w *world) error {
	b := c.fanout()
	if w.out.tellsProgress() {
		b.Progress = w.out.stderr
	}
	figure, err := b.Run(ctx)
	if err != nil {
		return fmt.Errorf("bench fanout: %w", err)
	}
	return w.out.print(figure, func() { printFigure(w.out, figure) })
}

func printFigure(out *output, f bench.Figure) {
	fmt.Fprintf(out.stdout, "%s  %.0f %s   floor %.0f   ratio %.2f\n", f.Name, f.Value, f.Unit, f.Floor, f.Ratio)
	fmt.Fprintf(out.stdout, "CPU of the server  %.1f µs each   floor %.1f µs   ratio %.2f   (the load's own: %.1f µs)\n",
		f.CPU, f.FloorCPU, f.CPURatio, f.LoadCPU)
	fmt.Fprintf(out.stdout, "answers p50 %.1f ms, p99 %.1f ms   memory of the server at most %d MiB   %d in %.1f s\n",
		f.P50, f.P99, f.Memory>>20, f.Count, f.Seconds)
}

// benchChild runs this program again. The name that it was started by stays, for programs that are several in one file.
func benchChild() *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	cmd := exec.Command(self, "bench", "ingest")
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), benchServer+"=1")
	return cmd
}
