// SPDX-License-Identifier: Apache-2.0

package simnet_test

import (
	"embed"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"slices"
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
	version  = flag.String("version", "", "run it in this room version, not in the one that the seed and the number of the scenario give")
	timeline = flag.Bool("timeline", false, "print what happened")
	procs    = flag.Int("procs", 1, "processors; with more than one, what happens at one instant may happen in any order")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if !underRace {
		runtime.GOMAXPROCS(*procs)
	}
	os.Exit(m.Run())
}

//go:embed testdata/*.txt
var scripts embed.FS

// fixedSeeds have each scenario in several room versions: its version moves on with the seed.
var fixedSeeds = []uint64{1, 5, 10}

const (
	byChance = "chance" // a scenario that each seed makes up; see madeUp
	shortly  = 3        // of so many scenarios one is run by go test -short
	maxTexts = 3        // violations of one invariant that are printed: the first few tell
)

// madeUp is the scenarios that each seed makes up.
var madeUp = map[string]func(simnet.Seed) string{byChance: simnet.ByChance, "outages": simnet.Outages}

func TestScenarios(t *testing.T) {
	for _, seed := range chosenSeeds() {
		for i, name := range scenarios(t) {
			if *scenario == name || *scenario == "" && !(testing.Short() && i%shortly != 0) {
				t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) { play(t, name, simnet.Seed(seed), versionOf(seed, i)) })
			}
		}
	}
}

// Seeds that once found a fault.
func TestRegressions(t *testing.T) {
	if testing.Short() {
		t.Skip("the scenarios exercise the same code")
	}
	for _, r := range []struct {
		fault, scenario string
		seed            uint64
		version         string
	}{
		{"members whose keys cannot be had are missing from an adopted state", "keys", 3, "8"},
		{"fetched events are judged by a state without their sender's join", "joins-severed", 10244902721768041253, "9"},
		{"events wait for a join that is held back, and are judged without it", "lossy-joins", 12504655967623813080, "7"},
		{"a search stages events again that were judged while it ran", "storm", 9, "10"},
		{"the only extremity gives way to an event that is held back", "crash-join", 584367457444680476, "9"},
		{"a partial join never ends: the parents of the join are not known", "rejoin", 7880735391945347223, "11"},
		{"a removal has its place on a guessed state", "bans", 14693207079263535264, "1"},
		{"a removal is not known that follows a gap", byChance, 4502187260790036955, "9"},
		{"a server that never ends its answer takes the time of the others", byChance, 11719743718786653191, "2"},
		{"a record says that an event waits for a key, which has come with a state", byChance, 7735224297600885456, "3"},
		{"members whose keys cannot be had are missing from the state that ends a partial join", "ten", 7567728705975891012, "12"},
		{"a removal is believed that resolution undoes later", byChance, 5620905861901714395, "6"},
		{"the room is closed in a fork, and joins are left out", byChance, 17485202851762369636, "7"},
		{"who is banned in a fork that did not last is not told what was said there", byChance, 2045466705046341422, "5"},
		{"a liar closes the room in a fork, and one that it does not tell of it is left out", byChance, 15610530502937887473, "9"},
		{"a record says that an event waits, which has got its place with the room's history", "crash-join", 6779501023521360079, "1"},
		{"a leave that came with the state of a join is judged by that state, and refused for itself", "away-pulls", 482662012072492257, "11"},
		{"a present that was refused gives way to an event from long before", "outages", 11929868245244660350, "1"},
		{"states of a stay that ended while members were missing are told as whole", "left-partial", 11753713769744836401, "12"},
		{"an event is judged by a state of a stay that ended while members were missing", "left-partial", 5018952739433395064, "11"},
		{"the join by which a server came in is held to a present that lacks its invitation", "visits", 2598548335844243873, "8"},
	} {
		t.Run(r.scenario, func(t *testing.T) {
			t.Log(r.fault)
			play(t, r.scenario, simnet.Seed(r.seed), r.version)
		})
	}
}

func chosenSeeds() (list []uint64) {
	switch {
	case *oneSeed != 0:
		return []uint64{*oneSeed}
	case *seeds == 0 && underRace: // ten times as slow
		return fixedSeeds[:1]
	case *seeds == 0: // a change is judged by the same seeds as the one before it
		return fixedSeeds
	}
	for range *seeds {
		list = append(list, rand.Uint64())
	}
	return list
}

// versionOf is the room version of a scenario, by number, in a run.
func versionOf(seed uint64, scenario int) string {
	if *version != "" {
		return *version
	}
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
	return append(names, slices.Sorted(maps.Keys(madeUp))...)
}

func read(t *testing.T, name string, seed simnet.Seed) *simnet.Script {
	t.Helper()
	var text string
	if makeUp, ok := madeUp[name]; ok {
		text = makeUp(seed)
	} else {
		file, err := scripts.ReadFile("testdata/" + name + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		text = string(file)
	}
	script, err := simnet.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return script
}

// play runs a scenario in a bubble of virtual time and judges its end. That no goroutine is left the bubble itself checks.
func play(t *testing.T, name string, seed simnet.Seed, version string) {
	t.Helper()
	script := read(t, name, seed)
	if known, ok := event.VersionOf(version); ok && script.Knocks && !known.Knock { // six versions have it, six have not
		version = event.Versions()[slices.Index(event.Versions(), version)+6]
	}
	cryptotest.SetGlobalRandom(t, uint64(seed))
	again := fmt.Sprintf("again: go test ./internal/simnet -run TestScenarios -scenario %s -seed %d -version %s -timeline", name, seed, version)
	synctest.Test(t, func(t *testing.T) {
		w, err := simnet.NewWorld(seed, script, version, t.TempDir)
		if err != nil {
			t.Fatal(err)
		}
		w.Run()
		end, err := w.Judge()
		if err != nil {
			t.Errorf("seed %d, room version %s: %v", seed, version, err)
		}
		for _, invariant := range simnet.Invariants {
			wrong := invariant.Check(end)
			for _, text := range wrong[:min(len(wrong), maxTexts)] {
				t.Errorf("seed %d, room version %s: %q does not hold (%d times): %s", seed, version, invariant.Name, len(wrong), text)
			}
		}
		if *timeline {
			t.Log(strings.Join(w.Timeline.Lines(), "\n"))
		}
		if t.Failed() {
			if makeUp, ok := madeUp[name]; ok {
				t.Log(makeUp(seed))
			}
			t.Log(again)
		}
	})
}
