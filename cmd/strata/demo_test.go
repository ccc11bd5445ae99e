// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demoWait bounds each command of these tests; a demo takes about a second.
const demoWait = time.Minute

// buildStrata makes the program: a demo runs it again for each of its servers, which a test binary cannot stand in for.
func buildStrata(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "strata")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// demoCommand is strata with the arguments, with a directory of its own for what is temporary.
func demoCommand(t *testing.T, program string, args ...string) (cmd *exec.Cmd, temporary string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), demoWait)
	t.Cleanup(cancel)
	temporary = t.TempDir()
	cmd = exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary)
	return cmd, temporary
}

func exitOf(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return exit.ExitCode()
	}
	t.Fatal(err)
	return 0
}

func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind in the temporary directory: %v, %v", left, err)
	}
}

func TestDemoCommand(t *testing.T) {
	if testing.Short() {
		t.Skip("the program that it runs is built without the race detector")
	}
	program := buildStrata(t)
	t.Run("json", func(t *testing.T) {
		cmd, temporary := demoCommand(t, program, "demo", "--json", "--events", "6", "--room-version", "10")
		out, err := cmd.Output()
		if exit := exitOf(t, err); exit != 0 {
			t.Fatalf("exit code %d, want 0\n%s", exit, out)
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		var got map[string]any
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &got); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]any{
			"ok": true, "servers": 3.0, "room_version": "10", "sent": 6.0, "delivered": 18.0, "lost": 0.0, "duplicated": 0.0, "restarts": 1.0,
		} {
			if got[name] != want {
				t.Errorf("%s is %v, want %v", name, got[name], want)
			}
		}
		for _, name := range []string{"transactions", "elapsed_ms"} {
			if n, _ := got[name].(float64); n <= 0 {
				t.Errorf("%s is %v, want more than 0", name, got[name])
			}
		}
		checkEmpty(t, temporary)
	})
	t.Run("for people", func(t *testing.T) {
		var story bytes.Buffer
		cmd, _ := demoCommand(t, program, "demo", "--servers=2", "--events=4")
		cmd.Stderr = &story
		out, err := cmd.Output()
		if exit := exitOf(t, err); exit != 0 || !strings.Contains(string(out), "\nPROVEN in ") || !strings.Contains(story.String(), "kill -9") {
			t.Errorf("exit code %d\n%s%s", exit, &story, out)
		}
	})
	for args, want := range map[string]string{
		"--servers=1":       "servers: 1, must be 2 to 12",
		"--events=3":        "events: 3, must be 4 to 1000",
		"--room-version=13": `room version "13": must be one of`,
		"--servers=many":    "many",
		"--nonsense":        "unknown flag --nonsense",
	} {
		t.Run(args, func(t *testing.T) {
			var stderr bytes.Buffer
			cmd, _ := demoCommand(t, program, "demo", args)
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if exit := exitOf(t, err); exit != 2 || len(out) > 0 || !strings.Contains(stderr.String(), want) {
				t.Errorf("exit code %d, stdout %q, stderr %q; want 2, nothing, %q", exit, out, &stderr, want)
			}
		})
	}
	t.Run("out of time", func(t *testing.T) {
		cmd, temporary := demoCommand(t, program, "demo", "--json", "--timeout=1ms")
		out, err := cmd.Output()
		var got struct {
			OK     bool
			Dir    string
			Faults []string
		}
		if exit := exitOf(t, err); exit != 1 {
			t.Errorf("exit code %d, want 1", exit)
		}
		if err := json.Unmarshal(out, &got); err != nil || got.OK || len(got.Faults) == 0 || filepath.Dir(got.Dir) != temporary {
			t.Errorf("result %s: %v; want faults, and where the data is", out, err)
		}
	})
	t.Run("interrupted", func(t *testing.T) {
		cmd, temporary := demoCommand(t, program, "demo", "--events=1000")
		cmd.Stderr = writerFunc(func(p []byte) (int, error) {
			if bytes.Contains(p, []byte("Everybody talks")) {
				_ = cmd.Process.Signal(syscall.SIGINT) // if it is gone already, its exit code tells
			}
			return len(p), nil
		})
		if exit := exitOf(t, cmd.Run()); exit != 1 {
			t.Errorf("exit code %d, want 1", exit)
		}
		checkEmpty(t, temporary)
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
