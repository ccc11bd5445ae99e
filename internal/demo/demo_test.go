// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// childRole makes the test binary, when it is executed again, one of the demo's servers, or something that is to stand for one.
const childRole = "STRATA_DEMO_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childRole) {
	case "serve":
		if Serve(context.Background(), os.Stdin, os.Stdout, os.Stderr) != nil {
			os.Exit(1)
		}
		os.Exit(0)
	case "mute": // until the demo ends it
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	case "end":
		os.Exit(7)
	}
	os.Exit(m.Run())
}

func again(role string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childRole+"="+role)
	return cmd
}

func options(version string) Options {
	return Options{
		Servers: 3, Events: 10, RoomVersion: version, Timeout: time.Minute, Child: func() *exec.Cmd { return again("serve") },
	}
}

func TestDemo(t *testing.T) {
	for _, version := range []string{"1", "6", "10", "12"} {
		t.Run(version, func(t *testing.T) {
			var story bytes.Buffer
			o := options(version)
			o.Progress = &story
			result, err := Run(t.Context(), o)
			if err != nil {
				t.Fatalf("%v: %+v\n%s", err, result, &story)
			}
			if result.Transactions == 0 || result.Attempts <= result.Transactions || result.ElapsedMS <= 0 {
				t.Errorf("%d transactions, %d attempts, %d ms: want some of each, and attempts that failed",
					result.Transactions, result.Attempts, result.ElapsedMS)
			}
			// Create, power levels, join rules, history visibility, name, topic, and three members.
			want := Result{
				OK: true, Servers: 3, RoomVersion: version, Sent: 10, Expected: 30, Delivered: 30, StateEntries: 9, Restarts: 1, Faults: []string{},
			}
			got := result
			got.Transactions, got.Attempts, got.ElapsedMS, got.Redelivered = 0, 0, 0, 0
			if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Result{})); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if !strings.Contains(story.String(), "signal: killed") {
				t.Errorf("the story does not tell of a kill:\n%s", &story)
			}
		})
	}
}

func TestTwoServersAndFewestEvents(t *testing.T) {
	o := options("11")
	o.Servers, o.Events, o.Keep = 2, MinEvents, filepath.Join(t.TempDir(), "kept")
	result, err := Run(t.Context(), o)
	if err != nil {
		t.Fatalf("%v: %+v", err, result)
	}
	for _, name := range []string{"server1/strata.db", "server2/strata.db", "server2/deliveries.jsonl", "server2/server.log"} {
		if _, err := os.Stat(filepath.Join(result.Dir, name)); err != nil {
			t.Error(err)
		}
	}
	runs, err := readJournal(filepath.Join(result.Dir, "server2", journalFile))
	if err != nil || len(runs) != 2 {
		t.Errorf("journal of the server that was killed: %d processes, %v; want 2", len(runs), err)
	}
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "must be new or empty") {
		t.Errorf("a second demo in the same directory: %v", err)
	}
}

func TestJSON(t *testing.T) {
	encoded, err := json.Marshal(Result{Servers: 3, RoomVersion: "12", Faults: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"ok":false,"servers":3,"room_version":"12","sent":0,"expected":0,"delivered":0,"lost":0,"duplicated":0,"redelivered":0,` +
		`"state_entries":0,"transactions":0,"attempts":0,"restarts":0,"elapsed_ms":0,"faults":[]}`
	if diff := cmp.Diff(want, string(encoded)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A server that does not come back is named, and what it lacks; the data stays.
func TestServerThatDoesNotComeBack(t *testing.T) {
	for role, want := range map[string]string{
		"end":  "server 3 did not come back: its process ended (exit status 7)",
		"mute": "server 3 did not come back: the demo's time was over",
	} {
		t.Run(role, func(t *testing.T) {
			var started atomic.Int32
			o := options("12")
			o.Keep = t.TempDir()
			o.Timeout = 20 * time.Second
			o.Child = func() *exec.Cmd {
				if started.Add(1) <= 3 {
					return again("serve")
				}
				return again(role)
			}
			if role == "mute" {
				o.Timeout = 4 * time.Second
			}
			result, err := Run(t.Context(), o)
			if !errors.Is(err, ErrNotProven) || result.OK {
				t.Fatalf("%v, %+v; want ErrNotProven", err, result)
			}
			var report bytes.Buffer
			if err := result.Write(&report); err != nil {
				t.Fatal(err)
			}
			// Of 10 events it gets none of the 3 that the others send without it; the last acts' are not sent at all.
			for _, part := range []string{want, "server 3 never got event", "only 7 of 10 events were sent", "NOT PROVEN", result.Dir} {
				if !strings.Contains(report.String(), part) {
					t.Errorf("report does not say %q:\n%s", part, &report)
				}
			}
			// The event that it was killed with may have been delivered to any of the three before.
			if result.Lost < 3 || result.Lost > 6 {
				t.Errorf("%d deliveries lost, want 3 to 6", result.Lost)
			}
			if _, err := os.Stat(filepath.Join(result.Dir, "server3", "strata.db")); err != nil {
				t.Error(err)
			}
		})
	}
}

// A server that dies without having been told to ends the demo at once.
func TestServerThatDies(t *testing.T) {
	var started atomic.Int32
	o := options("12")
	o.Keep = t.TempDir()
	o.Child = func() *exec.Cmd {
		if started.Add(1) == 2 {
			return again("end")
		}
		return again("serve")
	}
	result, err := Run(t.Context(), o)
	if !errors.Is(err, ErrNotProven) || result.ElapsedMS > 30_000 {
		t.Errorf("%v after %d ms, want ErrNotProven at once", err, result.ElapsedMS)
	}
	want := []string{"did not start: its process ended (exit status 7)", "only 0 of 10 events were sent"}
	if len(result.Faults) != 2 || !strings.HasSuffix(result.Faults[0], want[0]) || result.Faults[1] != want[1] {
		t.Errorf("faults %q, want %q", result.Faults, want)
	}
}

// The interrupt key leaves neither processes nor files behind.
func TestInterrupt(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var processes []*exec.Cmd
	o := options("12")
	o.Child = func() *exec.Cmd {
		mu.Lock()
		defer mu.Unlock()
		processes = append(processes, again("serve"))
		return processes[len(processes)-1]
	}
	o.Servers = 2
	o.Progress = writerFunc(func(p []byte) (int, error) {
		if bytes.Contains(p, []byte("Everybody talks")) {
			cancel()
		}
		return len(p), nil
	})
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want context.Canceled", err)
	}
	for _, cmd := range processes {
		if cmd.ProcessState == nil {
			t.Errorf("process %d was not waited for", cmd.Process.Pid)
		}
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A server ends when the demo does, however that ends: all it sees is the end of its input. The interrupt key is not for it.
func TestServerEndsWithItsInput(t *testing.T) {
	names, err := serverNames(1)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	s := &server{
		number: 1, child: func() *exec.Cmd { return again("serve") }, news: newLedger(1), broken: func(error) { close(ended) },
		setup: setup{Name: names[0], Dir: t.TempDir(), Authority: t.TempDir(), RoomVersion: "12"},
	}
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ask(t.Context(), order{Task: taskCreate}); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
	if err := s.in.Close(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if !s.cmd.ProcessState.Success() {
		t.Errorf("ended with %s", s.cmd.ProcessState)
	}
}

func TestValidate(t *testing.T) {
	good := options("12")
	for _, test := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"as it is", func(*Options) {}, ""},
		{"one server", func(o *Options) { o.Servers = 1 }, "servers: 1, must be 2 to 12"},
		{"thirteen servers", func(o *Options) { o.Servers = 13 }, "servers: 13, must be 2 to 12"},
		{"three events", func(o *Options) { o.Events = 3 }, "events: 3, must be 4 to 1000"},
		{"too many events", func(o *Options) { o.Events = 1001 }, "events: 1001, must be 4 to 1000"},
		{"a version of none", func(o *Options) { o.RoomVersion = "13" }, `room version "13": must be one of [1 2 3 4 5 6 7 8 9 10 11 12]`},
		{"no time", func(o *Options) { o.Timeout = 0 }, "timeout 0s: must be more than 0"},
		{"a file to keep data in", func(o *Options) { o.Keep = "doc.go" }, "directory to keep data in: open doc.go: not a directory"},
		{"a directory in use", func(o *Options) { o.Keep = "." }, "directory .: must be new or empty"},
		{"two faults", func(o *Options) { o.Servers, o.Events = 0, 0 }, "servers: 0, must be 2 to 12\nevents: 0, must be 4 to 1000"},
	} {
		o := good
		test.change(&o)
		got := ""
		if err := o.Validate(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
