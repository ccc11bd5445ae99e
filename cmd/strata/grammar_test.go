// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/strata-matrix/strata/internal/control"
)

// leaves are the commands that can be run.
func leaves(t *testing.T) []*kong.Node {
	t.Helper()
	parser, err := newParser(new(grammar), new(bytes.Buffer), new(bytes.Buffer), func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model.Leaves(false)
}

func TestEveryCommandTeaches(t *testing.T) {
	skipUnderRace(t)
	found := leaves(t)
	if len(found) < 14 {
		t.Fatalf("only %d commands", len(found))
	}
	for _, leaf := range found {
		if leaf.Help == "" || len(leaf.Detail) < 80 {
			t.Errorf("%s: help %q with detail %q: a sentence and an explanation are wanted", leaf.FullPath(), leaf.Help, leaf.Detail)
		}
		json := false
		for _, group := range leaf.AllFlags(false) {
			for _, flag := range group {
				json = json || flag.Name == "json"
				if flag.Help == "" {
					t.Errorf("%s: --%s has no help", leaf.FullPath(), flag.Name)
				}
			}
		}
		if !json {
			t.Errorf("%s has no --json", leaf.FullPath())
		}
		for _, argument := range leaf.Positional {
			if argument.Help == "" {
				t.Errorf("%s: %s has no help", leaf.FullPath(), argument.Name)
			}
		}
		var stdout, stderr bytes.Buffer
		args := append(strings.Fields(leaf.Path())[0:], "--help")
		if code := run(t.Context(), args, nil, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "--json") {
			t.Errorf("strata %v: exit code %d, want 0 and help with --json; stderr %s", args, code, &stderr)
		}
	}
}

// A command that asks a server, with what it must be given.
var asking = [][]string{
	{"room", "create", "--as", "alice"}, {"room", "join", "!a:b", "--as", "alice"}, {"room", "leave", "!a:b", "--as", "alice"},
	{"room", "ls"}, {"room", "show", "!a:b"}, {"room", "timeline", "!a:b"}, {"send", "!a:b", "text", "--as", "alice"},
	{"room", "dag", "!a:b"}, {"room", "heads", "!a:b"}, {"room", "gaps", "!a:b"}, {"room", "state", "!a:b"},
	{"room", "state-at", "!a:b", "$a"}, {"redact", "!a:b", "$a", "--as", "alice"}, {"txn", "ls"}, {"txn", "show", "id"}, {"event", "get", "$a"}, {"event", "graph", "$a"},
	{"resolve", "a.example"}, {"well-known", "show"}, {"well-known", "flush"}, {"dns", "show", "a.example"}, {"dns", "flush"},
	{"queue", "ls"}, {"queue", "shape"}, {"queue", "show", "a.example"}, {"queue", "history"}, {"queue", "rules"},
	{"queue", "retry"}, {"queue", "hold", "*"}, {"queue", "unhold", "*"}, {"queue", "drop", "--dest", "*", "--yes"},
	{"peer", "ls"}, {"peer", "show", "a.example"}, {"peer", "errors", "a.example"}, {"peer", "rooms", "a.example"},
	{"peer", "timeline", "a.example"}, {"peer", "reset", "a.example"}, {"peer", "hold", "a.example"}, {"peer", "allow", "a.example"},
	{"peer", "deny", "a.example"}, {"txn", "tail"}, {"txn", "explain", "id"}, {"txn", "verify", "id"}, {"txn", "replay", "id"},
	{"txn", "diff", "id", "other"}, {"txn", "export", "id"},
	{"room", "backfill", "!a:b"}, {"room", "alarms"},
	{"event", "ls"}, {"event", "explain", "$a"}, {"event", "judge", "$a"}, {"event", "timeline", "$a"},
	{"room", "compare", "!a:b", "--server", "c"}, {"event", "fetch", "$a", "--server", "c"},
}

func TestErrorsAreJSON(t *testing.T) {
	skipUnderRace(t)
	socket := t.TempDir() + "/none.sock"
	for _, args := range asking {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), append(args, "--json", "--socket", socket), nil, &stdout, &stderr)
		var got struct{ Error failure }
		if err := json.Unmarshal(stderr.Bytes(), &got); err != nil {
			t.Errorf("%v: stderr is not JSON: %v: %s", args, err, &stderr)
			continue
		}
		if code != 4 || got.Error.Kind != control.Unreachable || got.Error.Exit != code || stdout.Len() > 0 {
			t.Errorf("%v: exit code %d, error %+v, stdout %q; want unreachable, 4 and nothing", args, code, got.Error, &stdout)
		}
	}
}

// skipUnderRace is for tests that do no more than read command lines, in one goroutine.
func skipUnderRace(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("there is nothing that the race detector could find")
	}
}

func TestEveryKindHasAnExitCode(t *testing.T) {
	want := map[control.Kind]int{
		control.Failed: 1, control.Refused: 1, control.Usage: 2, control.NotFound: 3, control.Unreachable: 4, control.Denied: 5,
	}
	for kind, code := range want {
		if exitCodes[kind] != code {
			t.Errorf("%s ends with %d, want %d", kind, exitCodes[kind], code)
		}
	}
	if len(exitCodes) != len(want) {
		t.Errorf("%d kinds have an exit code, want %d", len(exitCodes), len(want))
	}
}

func TestVersionAsJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"version", "--json=go,platform"}, nil, &stdout, &stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, &stderr)
	}
	var got map[string]string
	if err := json.Unmarshal(stdout.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !strings.HasPrefix(got["go"], "go1.") {
		t.Errorf("version --json=go,platform prints %v", got)
	}
}
