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

	"github.com/strata-matrix/strata/internal/load"
	"github.com/strata-matrix/strata/transport"
)

// Fanout says what to measure of a server that sends to many others. All fields are needed but Profile.
type Fanout struct {
	Destinations int
	Rounds       int // events, one after the other
	Version      string
	Child        func() *exec.Cmd // the command of the server's process, which must call Serve
	Profile      string           // file for a CPU profile of the server
	Progress     io.Writer
}

// Validate names every fault.
func (b Fanout) Validate() error {
	var faults []error
	if b.Destinations < 1 || b.Destinations > maxDestinations {
		faults = append(faults, fmt.Errorf("destinations: %d, must be 1 to %d", b.Destinations, maxDestinations))
	}
	if b.Rounds < minRounds || b.Rounds > maxRounds {
		faults = append(faults, fmt.Errorf("rounds: %d, must be %d to %d", b.Rounds, minRounds, maxRounds))
	}
	return errors.Join(faults...)
}

// Run measures. Everybody is sent an event before those that count: connections are opened by it.
func (b Fanout) Run(ctx context.Context) (Figure, error) {
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

func (b Fanout) runIn(ctx context.Context, dir string) (figure Figure, err error) {
	authorityDir := filepath.Join(dir, "authority")
	authority, err := transport.OpenLocalCA(authorityDir)
	if err != nil {
		return Figure{}, err
	}
	all, err := openChorus(authority)
	if err != nil {
		return Figure{}, err
	}
	defer all.close()
	server, ready, err := start(b.Child(), setup{
		Dir: filepath.Join(dir, "server"), Authority: authorityDir, Rooms: 1, Version: b.Version, Profile: b.Profile,
		Port: all.port, Destinations: b.Destinations,
	})
	if err != nil {
		return Figure{}, fmt.Errorf("start the server: %w", err)
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	stop := context.AfterFunc(ctx, func() { _ = server.cmd.Process.Kill() }) // nobody waits for it any more
	defer stop()
	if err := b.fill(ctx, authority, all, ready, server); err != nil {
		return Figure{}, err
	}
	return b.measure(server, all)
}

// fill has a user of each destination join the room.
func (b Fanout) fill(ctx context.Context, authority *transport.LocalCA, all *chorus, ready report, server *process) error {
	tls, err := authority.ServerTLS("127.0.0.1")
	if err != nil {
		return err
	}
	fmt.Fprintf(b.Progress, "%d servers join, and their keys are asked for\n", b.Destinations)
	fleet, err := load.Open(ctx, load.Options{
		Target: ready.Name, Rooms: ready.Rooms, Origins: 1, Events: b.Destinations, PerTransaction: perParcel,
		Host: "127.0.0.1", Address: "127.0.0.1", TLS: tls, RootCAs: authority.Pool(), AllowPrivate: true,
	})
	if err != nil {
		return err
	}
	defer fleet.Close()
	joined, err := server.ask(order{})
	if err != nil {
		return err
	}
	if err := fleet.BuildJoins(all.users(b.Destinations), all.key); err != nil {
		return err
	}
	if err := fleet.Send(ctx, fleet.Transactions()); err != nil {
		return err
	}
	if r := fleet.Result(); r.Accepted != b.Destinations {
		return fmt.Errorf("only %d of %d servers could join: %v", r.Accepted, b.Destinations, r.Refused)
	}
	_, err = server.ask(order{Await: joined.Delivered + int64(b.Destinations)})
	return err
}

// measure takes floor and figure in turns.
func (b Fanout) measure(server *process, all *chorus) (Figure, error) {
	var floor, figure spent
	var memory int64
	own, err := usage()
	if err != nil {
		return Figure{}, err
	}
	for n := range b.Rounds + 1 {
		bare, err := server.ask(order{Floor: true})
		if err != nil {
			return Figure{}, err
		}
		before := all.taken.Load()
		sent, err := server.ask(order{Fan: true})
		if err != nil {
			return Figure{}, err
		}
		if got := all.taken.Load() - before; got < int64(b.Destinations) {
			return Figure{}, fmt.Errorf("%d of %d destinations were sent the event", got, b.Destinations)
		}
		if n == 0 {
			own, err = usage()
			if err != nil {
				return Figure{}, err
			}
			continue
		}
		f, s := spent{b.Destinations, bare.Wall, bare.Spent}, spent{b.Destinations, sent.Wall, sent.Spent}
		fmt.Fprintf(b.Progress, "event %d: %.0f deliveries/s, floor %.0f; CPU each %s, floor %s\n", n, s.rate(), f.rate(), s.each(), f.each())
		floor.add(f)
		figure.add(s)
		memory = sent.Memory
	}
	end, err := usage()
	if err != nil {
		return Figure{}, err
	}
	others := spent{events: figure.events + floor.events, cpu: cpuTime(end) - cpuTime(own)}
	perEvent := figure.wall.Seconds() * 1000 / float64(b.Rounds)
	return Figure{
		Name: "fanout", Unit: "deliveries/s", Value: figure.rate(), Floor: floor.rate(), Ratio: figure.rate() / floor.rate(),
		CPURatio: float64(floor.each()) / float64(figure.each()),
		CPU:      microseconds(figure.each()), FloorCPU: microseconds(floor.each()), LoadCPU: microseconds(others.each()),
		P50: perEvent, P99: perEvent, Memory: memory, Count: figure.events, Seconds: figure.wall.Seconds(),
	}, nil
}
