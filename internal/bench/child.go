// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// setup is the first line that the server reads.
type setup struct {
	Dir       string `json:"dir"`       // of its data
	Authority string `json:"authority"` // directory of the local CA
	Rooms     int    `json:"rooms"`     // to be created
	Version   string `json:"version"`   // of the rooms
	Profile   string `json:"profile"`   // file for a CPU profile from the first order on, "" for none

	Port         int `json:"port"` // of the destinations, for a server that sends
	Destinations int `json:"destinations"`
}

// order is every further line. An empty one asks for the numbers as they are.
type order struct {
	Await int64 `json:"await"` // until so many events have been delivered in all
	Fan   bool  `json:"fan"`   // one event to all destinations
	Floor bool  `json:"floor"` // bare requests to them
}

// report answers the setup and each order.
type report struct {
	Error string           `json:"error,omitempty"`
	Name  ident.ServerName `json:"name,omitempty"`
	Rooms []ident.RoomID   `json:"rooms,omitempty"`

	Delivered int64         `json:"delivered"`
	CPU       time.Duration `json:"cpu"`    // spent by the process so far
	Memory    int64         `json:"memory"` // bytes, the most that were resident
	Wall      time.Duration `json:"wall"`   // of Fan or Floor
	Spent     time.Duration `json:"spent"`  // CPU time of that
}

// Serve is the server that is measured: what Options.Child must run, with its own standard streams. It returns when in ends.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	signal.Ignore(os.Interrupt) // meant for the benchmark, which then ends us
	lines := json.NewDecoder(in)
	var s setup
	if err := lines.Decode(&s); err != nil {
		return fmt.Errorf("read setup: %w", err)
	}
	c := &child{
		setup: s, out: json.NewEncoder(out), told: make(chan struct{}, 1),
		fan: fan{port: s.Port, count: s.Destinations, told: make(chan struct{}, 1)},
	}
	err := c.run(ctx, lines)
	if err != nil {
		_ = c.out.Encode(report{Error: err.Error()}) // nobody reads it when the benchmark is gone
	}
	return err
}

// child is the server in its own process. delivered is counted by the subscription's goroutine, which then leaves a token in told.
type child struct {
	setup     setup
	out       *json.Encoder
	delivered atomic.Int64
	told      chan struct{}
	server    *messaging.Server
	rooms     []ident.RoomID
	fan       fan
	floors    int // so far
}

func (c *child) run(ctx context.Context, lines *json.Decoder) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := c.open(ctx, listener.Addr().String()); err != nil {
		return errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, c.server.Close()) }()
	go func() { _ = c.server.Serve(ctx, listener) }() // whoever sends notices
	go func() { _ = c.server.Subscribe(ctx, "bench", c.count) }()
	if c.rooms, err = c.createRooms(ctx); err != nil {
		return err
	}
	if err := c.say(report{Name: c.server.Name(), Rooms: c.rooms}); err != nil {
		return err
	}
	return c.obey(ctx, lines)
}

func (c *child) open(ctx context.Context, name string) error {
	authority, err := transport.OpenLocalCA(c.setup.Authority)
	if err != nil {
		return err
	}
	tls, err := authority.ServerTLS("127.0.0.1")
	if err != nil {
		return err
	}
	network := transport.NetworkConfig{AllowPrivate: true, Trust: transport.Trust{Roots: authority.Pool()}}
	if c.setup.Destinations > 0 {
		network.DNS = hosts{}
	}
	c.server, err = messaging.Open(ctx, messaging.Config{
		ServerName: name, DataDir: c.setup.Dir, TLS: tls, Network: network, Version: "bench",
		ClientLimits: transport.ClientLimits{IdleConnections: c.setup.Destinations + spareConnections},
		Trace:        trace.SinkFunc(c.fan.watch),
	})
	return err
}

func (c *child) count(context.Context, messaging.Delivery) error {
	c.delivered.Add(1)
	select {
	case c.told <- struct{}{}:
	default:
	}
	return nil
}

// createRooms makes rooms in which everybody may join and set state.
func (c *child) createRooms(ctx context.Context) (rooms []ident.RoomID, err error) {
	open := messaging.State{Type: "m.room.power_levels", Content: map[string]any{"state_default": 0}}
	for range c.setup.Rooms {
		room, err := c.server.CreateRoom(ctx, messaging.CreateRoom{
			Creator: ident.UserID("@creator:" + string(c.server.Name())), Version: c.setup.Version, Public: true,
			State: []messaging.State{open},
		})
		if err != nil {
			return nil, err
		}
		rooms = append(rooms, room)
	}
	return rooms, nil
}

// obey answers orders until there are no more.
func (c *child) obey(ctx context.Context, lines *json.Decoder) error {
	if c.setup.Profile != "" {
		file, err := os.Create(c.setup.Profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	for {
		var o order
		if err := lines.Decode(&o); err != nil {
			return nil // the benchmark is over
		}
		took, err := timed(1, func() error { return c.carryOut(ctx, o) })
		if err != nil {
			return err
		}
		if err := c.say(report{Wall: took.wall, Spent: took.cpu}); err != nil {
			return err
		}
	}
}

func (c *child) carryOut(ctx context.Context, o order) error {
	switch {
	case o.Fan:
		return c.fan.send(ctx, c.server, c.rooms[0])
	case o.Floor:
		event, err := json.Marshal(map[string]any{"content": map[string]string{"body": fanBody + fanBody + fanBody}})
		if err != nil {
			return err
		}
		c.floors++
		return c.fan.request(ctx, c.server.Client(), fmt.Appendf(nil, `{"origin":%q,"pdus":[%s]}`, c.server.Name(), event), c.floors)
	}
	for c.delivered.Load() < o.Await {
		select {
		case <-c.told:
		case <-c.server.Done():
			return c.server.Err()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// say reports, with the numbers of the moment.
func (c *child) say(r report) error {
	used, err := usage()
	if err != nil {
		return err
	}
	r.Delivered, r.CPU, r.Memory = c.delivered.Load(), cpuTime(used), residentBytes(used)
	return c.out.Encode(r)
}

func usage() (used syscall.Rusage, err error) {
	err = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return used, err
}

func cpuTime(u syscall.Rusage) time.Duration { return time.Duration(u.Utime.Nano() + u.Stime.Nano()) }

// residentBytes is the most that was resident: Linux counts KiB, macOS bytes.
func residentBytes(u syscall.Rusage) int64 {
	if runtime.GOOS == "darwin" {
		return u.Maxrss
	}
	return u.Maxrss << 10
}

// process is the benchmark's handle on the server. It belongs to one goroutine.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

// start runs the server and gives its first report.
func start(cmd *exec.Cmd, s setup) (*process, report, error) {
	p := &process{cmd: cmd}
	cmd.Stderr = os.Stderr
	var err error
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, report{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, report{}, err
	}
	p.lines = bufio.NewScanner(out)
	p.lines.Buffer(nil, maxLine)
	if err := cmd.Start(); err != nil {
		return nil, report{}, err
	}
	slow := time.AfterFunc(startTime, func() { _ = cmd.Process.Kill() }) // ask then sees its end
	r, err := p.ask(s)
	slow.Stop()
	if err != nil {
		return nil, report{}, errors.Join(err, p.stop())
	}
	return p, r, nil
}

// ask sends one line and waits for the answer.
func (p *process) ask(what any) (r report, err error) {
	text, err := json.Marshal(what)
	if err != nil {
		return r, err
	}
	if _, err := p.in.Write(append(text, '\n')); err != nil {
		return r, fmt.Errorf("tell the server: %w", err)
	}
	if !p.lines.Scan() {
		return r, errors.Join(errors.New("the server has ended"), p.lines.Err())
	}
	if err := json.Unmarshal(p.lines.Bytes(), &r); err != nil {
		return r, fmt.Errorf("the server said %.200q: %w", p.lines.Text(), err)
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// stop ends the server in peace, or else by force.
func (p *process) stop() error {
	_ = p.in.Close() // that is how it is told
	force := time.AfterFunc(stopTime, func() { _ = p.cmd.Process.Kill() })
	defer force.Stop()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the server ended: %w", err)
	}
	return nil
}
