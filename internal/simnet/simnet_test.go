// SPDX-License-Identifier: Apache-2.0

package simnet_test

import (
	"embed"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"

	"github.com/strata-matrix/strata/internal/simnet"
	"github.com/strata-matrix/strata/pdu/event"
)

var (
	seeds    = flag.Int("seeds", 0, "run so many fresh seeds in place of the usual ones")
	oneSeed  = flag.Uint64("seed", 0, "run this seed only")
	scenario = flag.String("scenario", "", "run this scenario only")
	timeline = flag.Bool("timeline", false, "print what happened when a run fails")
)

//go:embed testdata/*.txt
var scripts embed.FS

// fixedSeeds have each scenario in each of several room versions: a scenario's version moves on with the seed.
var fixedSeeds = []uint64{1, 5, 9}

// usualFresh is how many new seeds an ordinary run tries.
const usualFresh = 1

// maxTexts is how many violations of one invariant are printed: the first few tell.
const maxTexts = 3

func TestScenarios(t *testing.T) {
	list := append([]uint64(nil), fixedSeeds...)
	for range usualFresh {
		list = append(list, rand.Uint64())
	}
	if *seeds > 0 {
		list = nil
		for range *seeds {
			list = append(list, rand.Uint64())
		}
	}
	if *oneSeed != 0 {
		list = []uint64{*oneSeed}
	}
	for _, seed := range list {
		for i, name := range scenarios(t) {
			if *scenario == "" || *scenario == name {
				t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) { play(t, name, simnet.Seed(seed), versionOf(seed, i)) })
			}
		}
	}
}

// Seeds that once found a fault.
func TestRegressions(t *testing.T) {
	for _, r := range []struct {
		fault, scenario string
		seed            uint64
		version         string
	}{} {
		t.Run(r.fault, func(t *testing.T) { play(t, r.scenario, simnet.Seed(r.seed), r.version) })
	}
}

// versionOf is the room version of a scenario, by number, in a run.
func versionOf(seed uint64, scenario int) string {
	versions := event.Versions()
	return versions[(seed+uint64(scenario))%uint64(len(versions))]
}

func scenarios(t *testing.T) (names []string) {
	t.Helper()
	files, err := fs.Glob(scripts, "testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		names = append(names, strings.TrimSuffix(path.Base(file), ".txt"))
	}
	return names
}

func read(t *testing.T, name string) *simnet.Script {
	t.Helper()
	text, err := scripts.ReadFile("testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	script, err := simnet.Parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return script
}

// play runs a scenario in a bubble of virtual time and judges its end.
func play(t *testing.T, name string, seed simnet.Seed, version string) {
	t.Helper()
	script := read(t, name)
	cryptotest.SetGlobalRandom(t, uint64(seed))
	synctest.Test(t, func(t *testing.T) {
		w, err := simnet.NewWorld(seed, script, version, t.TempDir)
		if err != nil {
			t.Fatal(err)
		}
		w.Run()
		snapshots, err := w.Snapshots()
		if err != nil {
			t.Errorf("seed %d, room version %s: %v", seed, version, err)
		}
		w.Close()
		end := simnet.End{
			Snapshots: snapshots, Acknowledged: w.Acknowledged(), Links: w.Net.Faults(), Faults: w.Faults(), Revokes: script.Revokes,
		}
		for _, invariant := range simnet.Invariants {
			wrong := invariant.Check(end)
			for _, text := range wrong[:min(len(wrong), maxTexts)] {
				t.Errorf("seed %d, room version %s: not so: %s (%d): %s", seed, version, invariant.Name, len(wrong), text)
			}
		}
		if *timeline {
			t.Log(strings.Join(w.Timeline.Lines(), "\n"))
		}
		if t.Failed() {
			t.Logf("again: go test ./internal/simnet -run TestScenarios -scenario %s -seed %d -timeline", name, seed)
		}
	})
}
