// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/strata-matrix/strata/internal/load"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/signing"
)

// The mix of what a server is sent: mostly messages.
const (
	membersPercent = 5
	statePercent   = 5
)

// Ingest says what to measure of a server that takes events in. All fields are needed but Forks, Profile and Progress.
type Ingest struct {
	Origins, Rooms int
	Events         int // in all rounds together
	Rounds         int
	Forks          int // percent
	Version        string
	Seed           uint64
	Child          func() *exec.Cmd // the command of the server's process, which must call Serve
	Profile        string           // file for a CPU profile of the server
	Progress       io.Writer
}

// Validate names every fault.
func (b Ingest) Validate() error {
	var faults []error
	bounded := func(what string, n, least, most int) {
		if n < least || n > most {
			faults = append(faults, fmt.Errorf("%s: %d, must be %d to %d", what, n, least, most))
		}
	}
	bounded("rounds", b.Rounds, minRounds, maxRounds)
	bounded("origins", b.Origins, 1, 64)
	bounded("rooms", b.Rooms, b.Origins, 1000)
	bounded("events", b.Events, b.Rounds*b.Origins*perParcel, maxEvents)
	bounded("percent of forks", b.Forks, 0, 100)
	if _, known := event.VersionOf(b.Version); !known {
		faults = append(faults, fmt.Errorf("room version %q: must be one of %v", b.Version, event.Versions()))
	}
	return errors.Join(faults...)
}

// Figure is what was measured.
type Figure struct {
	Name     string  `json:"name"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Floor    float64 `json:"floor"` // in the same unit
	Ratio    float64 `json:"ratio"` // value / floor
	CPURatio float64 `json:"cpu_ratio"`
	CPU      float64 `json:"cpu_us"`       // of the server, per event or destination
	FloorCPU float64 `json:"floor_cpu_us"` // of the floor
	LoadCPU  float64 `json:"load_cpu_us"`  // of what makes the load, on the same machine
	P50      float64 `json:"p50_ms"`       // of a transaction, or of an event until all have it
	P99      float64 `json:"p99_ms"`
	Memory   int64   `json:"memory_bytes"` // the most that was resident in the server
	Count    int     `json:"count"`        // events, or deliveries
	Seconds  float64 `json:"seconds"`
}

// Run measures. One round before the others is not counted: connections are opened and keys fetched in it.
func (b Ingest) Run(ctx context.Context) (Figure, error) {
	if err := b.Validate(); err != nil {
		return Figure{}, err
	}
	dir, err := os.MkdirTemp("", "strata-bench-")
	if err != nil {
		return Figure{}, err
	}
	figure, err := b.runIn(ctx, dir)
	return figure, errors.Join(err, os.RemoveAll(dir))
}

func (b Ingest) runIn(ctx context.Context, dir string) (figure Figure, err error) {
	s := setup{
		Dir: filepath.Join(dir, "server"), Authority: filepath.Join(dir, "authority"), Rooms: b.Rooms, Version: b.Version, Profile: b.Profile,
	}
	server, ready, err := start(b.Child(), s)
	if err != nil {
		return Figure{}, fmt.Errorf("start the server: %w", err)
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	stop := context.AfterFunc(ctx, func() { _ = server.cmd.Process.Kill() }) // nobody waits for it any more
	defer stop()
	fleet, err := b.open(ctx, s, ready)
	if err != nil {
		return Figure{}, err
	}
	defer fleet.Close()
	fmt.Fprintf(b.Progress, "making and signing %d events of %d servers in %d rooms\n", b.Events, b.Origins, b.Rooms)
	if err := fleet.Build(ctx); err != nil {
		return Figure{}, err
	}
	events, checks, err := fleet.Checks()
	if err != nil {
		return Figure{}, err
	}
	r := ingestRun{Ingest: b, server: server, fleet: fleet, events: events, checks: checks}
	return r.measure(ctx)
}

func (b Ingest) open(ctx context.Context, s setup, ready report) (*load.Fleet, error) {
	authority, err := transport.OpenLocalCA(s.Authority)
	if err != nil {
		return nil, err
	}
	tls, err := authority.ServerTLS("127.0.0.1")
	if err != nil {
		return nil, err
	}
	return load.Open(ctx, load.Options{
		Target: ready.Name, Rooms: ready.Rooms, Origins: b.Origins, Events: b.Events + b.Events/b.Rounds, PerTransaction: perParcel,
		Members: membersPercent, State: statePercent, Forks: b.Forks, Seed: b.Seed,
		Host: "127.0.0.1", Address: "127.0.0.1", TLS: tls, RootCAs: authority.Pool(), AllowPrivate: true,
	})
}

// ingestRun is one run, on the goroutine that called Run.
type ingestRun struct {
	Ingest
	server *process
	fleet  *load.Fleet
	events [][]byte
	checks []signing.Check
}

// measure takes floor and figure in turns.
func (r *ingestRun) measure(ctx context.Context) (Figure, error) {
	perRound := r.fleet.Transactions() / (r.Rounds + 1)
	if _, _, err := r.round(ctx, perRound); err != nil {
		return Figure{}, err
	}
	var floor, figure, generator spent
	for n := range r.Rounds {
		sample := r.sample(n)
		f, err := verifyFloor(r.events[sample.from:sample.to], r.checks[sample.from:sample.to])
		if err != nil {
			return Figure{}, err
		}
		took, own, err := r.round(ctx, perRound)
		if err != nil {
			return Figure{}, err
		}
		fmt.Fprintf(r.Progress, "round %d: %.0f PDU/s, floor %.0f; CPU per PDU %s, floor %s\n",
			n+1, took.rate(), f.rate(), took.each(), f.each())
		floor.add(f)
		figure.add(took)
		generator.add(own)
	}
	last, err := r.server.ask(order{})
	if err != nil {
		return Figure{}, err
	}
	result := r.fleet.Result()
	if result.Accepted != result.PDUs {
		return Figure{}, fmt.Errorf("the server refused %d of %d events: %v", result.PDUs-result.Accepted, result.PDUs, result.Refused)
	}
	return Figure{
		Name: "ingest", Unit: "PDU/s", Value: figure.rate(), Floor: floor.rate(), Ratio: figure.rate() / floor.rate(),
		CPURatio: float64(floor.each()) / float64(figure.each()),
		CPU:      microseconds(figure.each()), FloorCPU: microseconds(floor.each()), LoadCPU: microseconds(generator.each()),
		P50: result.P50, P99: result.P99, Memory: last.Memory, Count: figure.events, Seconds: figure.wall.Seconds(),
	}, nil
}

// span is a part of the events.
type span struct{ from, to int }

// sample is the events that the floor of one round is measured with, others in each.
func (r *ingestRun) sample(round int) span {
	size := min(floorSample, len(r.events))
	from := round * size % (len(r.events) - size + 1)
	return span{from, from + size}
}

// round sends transactions, waits until all of their events were delivered, and gives what that took the server and us.
func (r *ingestRun) round(ctx context.Context, transactions int) (server, own spent, err error) {
	before, err := r.server.ask(order{})
	if err != nil {
		return spent{}, spent{}, err
	}
	ours, err := usage()
	if err != nil {
		return spent{}, spent{}, err
	}
	sentBefore := r.fleet.Result().PDUs
	began := time.Now()
	if err := r.fleet.Send(ctx, transactions); err != nil {
		return spent{}, spent{}, err
	}
	events := r.fleet.Result().PDUs - sentBefore
	after, err := r.server.ask(order{Await: before.Delivered + int64(events)})
	if err != nil {
		return spent{}, spent{}, err
	}
	wall := time.Since(began)
	oursAfter, err := usage()
	return spent{events, wall, after.CPU - before.CPU}, spent{events, wall, cpuTime(oursAfter) - cpuTime(ours)}, err
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
