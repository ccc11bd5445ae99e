// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

var (
	comparePage   = flag.String("compare", "", "the page that the comparison is written into; without it there is none")
	compareRounds = flag.Int("compare-rounds", 3, "how often each server is put under load")
	compareEvents = flag.Int("compare-events", 20000, "events in a round, as far as the time suffices")
)

const (
	compareRooms   = 4
	compareOrigins = 4
	compareTime    = 5 * time.Second // for sending, in a round: Synapse takes ten times as long to work off what it has taken
	compareSettle  = time.Minute     // until the target shows the last events: on a quiet machine a few seconds
	compareVersion = "10"            // of the rooms: all know it
	compareLimit   = 2 * time.Minute // for one run
)

// under is a server that can be put under load.
type under struct {
	server Server
	child  func() *process
	member Member
}

// atLeastOneRound refuses a comparison of nothing.
func atLeastOneRound(t *testing.T) {
	t.Helper()
	if *compareRounds < 1 {
		t.Fatalf("-compare-rounds %d: at least 1", *compareRounds)
	}
}

// TestCompare puts every server under the same load, in turns, and writes down how they did.
func TestCompare(t *testing.T) {
	if *comparePage == "" {
		t.Skip("NOT RUN: make compare does")
	}
	atLeastOneRound(t)
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	strata := startStrata(t, filepath.Join(dir, "strata"), ca, "info")
	servers := []under{{strata, func() *process { return strata.now }, nil}}
	synapse := StartSynapse(t, filepath.Join(dir, "synapse"), ca).(*Peer)
	servers = append(servers, under{synapse, func() *process { return synapse.now }, nil})
	if os.Getenv(dendriteVariable) != "" {
		dendrite := StartDendrite(t, filepath.Join(dir, "dendrite"), ca).(*Peer)
		servers = append(servers, under{dendrite, func() *process { return dendrite.now }, nil})
	}
	results := make([]contestant, len(servers))
	for i := range servers {
		servers[i].member = servers[i].server.NewMember(t, "creator")
		results[i].name = servers[i].server.Describe()
	}
	cert, key, err := ca.IssueLoopback(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for round := range *compareRounds {
		for i, s := range servers {
			run := s.measure(t, strata.binary, ca, cert, key, round)
			t.Logf("round %d, %s: %.0f events/s, %.0f µs of CPU each, %+v", round+1, results[i].name, run.SettledRate, run.cpuPerPDU(), run.loadResult)
			results[i].runs = append(results[i].runs, run)
		}
	}
	settings := fmt.Sprintf("%s. %s. %d rounds in turns, the servers beside each other on the machine, the idle ones idle. Each round: "+
		"up to %d events in %s, seeds 1 to %d, %d origins with a transaction of 50 in flight each, %d new rooms of version %s; 90 %% messages, "+
		"5 %% members, 5 %% other state. Until the target shows the last events. All with SQLite and the settings of `internal/interop/config`.",
		time.Now().UTC().Format(time.DateOnly), machine(), *compareRounds, *compareEvents, compareTime, *compareRounds, compareOrigins,
		compareRooms, compareVersion)
	if err := updateComparison(*comparePage, comparisonBegins, compare(results, settings)); err != nil {
		t.Fatal(err)
	}
}

// measure makes rooms and puts them under load.
func (s under) measure(t *testing.T, binary string, ca *CA, cert, key string, round int) measured {
	t.Helper()
	ctx, cancel := bounded(t, compareLimit)
	defer cancel()
	args := []string{
		"load", s.server.ServerName(), "--json", "--events", fmt.Sprint(*compareEvents), "--duration", compareTime.String(),
		"--settle", compareSettle.String(), "--origins", fmt.Sprint(compareOrigins), "--seed", fmt.Sprint(round + 1),
		"--tls-cert", cert, "--tls-key", key, "--ca", ca.File,
	}
	for range compareRooms {
		args = append(args, "--room", s.openRoom(ctx, t))
	}
	before, _, err := processCost(s.child().child.Pid)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Stderr = os.Stderr
	output, err := cmd.Output()
	if err != nil {
		t.Fatalf("strata %v: %v", args, err)
	}
	var run measured
	if err := json.Unmarshal(output, &run.loadResult); err != nil {
		t.Fatalf("strata load printed %q: %v", output, err)
	}
	after, memory, err := processCost(s.child().child.Pid)
	if err != nil {
		t.Fatal(err)
	}
	run.cpu, run.memory = after-before, memory
	return run
}

// openRoom makes a room in which everybody may join and set state.
func (s under) openRoom(ctx context.Context, t *testing.T) string {
	t.Helper()
	room, err := s.member.CreateRoom(ctx, compareVersion)
	if err == nil {
		levels := map[string]any{"users": map[string]int{s.member.ID(): 100}, "users_default": 0, "events_default": 0, "state_default": 0}
		_, err = s.member.SetState(ctx, room, "m.room.power_levels", "", levels)
	}
	if err != nil {
		t.Fatalf("make a room at %s: %v", s.server.Describe(), err)
	}
	return room
}

// machine names processor and cores.
func machine() string {
	model := "unknown processor"
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d cores, %s", model, runtime.NumCPU(), runtime.GOOS)
}

// updateComparison is writeComparison for a page in a file.
func updateComparison(file, begins, comparison string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	page, err = writeComparison(page, begins, comparison)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, page, 0o644)
}
