// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

var (
	judgePython = flag.String("judge", "", "a Python with matrix-synapse: compare new random rooms with its answers")
	judgeRooms  = flag.Int("judge-rooms", 1000, "how many rooms of each version to compare")
	judgeSeed   = flag.Uint64("judge-seed", 1, "seed of the random rooms")
	judgeOnly   = flag.String("judge-versions", strings.Join(judgedVersions, ","), "the room versions to compare")
	judgeKeep   = flag.Int("judge-keep", 0, "keep the first rooms of each version, with the answers, in testdata")
)

const judgedFile = "testdata/judged.jsonl.gz"

// judgedVersions is those in which the rules that state resolution asks differ, of all three families.
var judgedVersions = []string{"1", "2", "6", "8", "10", "11", "12"}

// judgedRoom is a room as the judge reads it, with the judge's answers. Want is that of Synapse's algorithm when rejected events
// take part as the text has it (rooms/v2, "Rejected events"; P-78), AsIs that of Synapse as it is, where it differs.
type judgedRoom struct {
	Version string            `json:"version"`
	Events  []plainEvent      `json:"events"`
	Sets    [][]ident.EventID `json:"sets"`
	Want    []ident.EventID   `json:"want,omitempty"`
	AsIs    []ident.EventID   `json:"as_is,omitempty"`
}

func plainRoom(room forkedRoom) judgedRoom {
	j := judgedRoom{Version: room.version.ID, Events: room.plain}
	for _, set := range room.sets {
		j.Sets = append(j.Sets, slices.Sorted(maps.Values(set)))
	}
	return j
}

// load gives the room back as events.
func (j judgedRoom) load(tb testing.TB) forkedRoom {
	room := forkedRoom{testRoom: newTestRoom(tb, j.Version)}
	for _, p := range j.Events {
		room.add(tb, p)
	}
	for _, ids := range j.Sets {
		room.sets = append(room.sets, room.stateOf(ids))
	}
	return room
}

// resolveBothWays resolves a room from whole states and from differences only; the answers must be the same.
func resolveBothWays(tb testing.TB, room forkedRoom) Resolution {
	tb.Helper()
	whole, err := Resolve(room.version, room.sets, room)
	if err != nil {
		tb.Fatal(err)
	}
	differing, common := make([]StateMap, len(room.sets)), maps.Clone(room.sets[0])
	for i, set := range room.sets {
		differing[i] = maps.Clone(set)
		maps.DeleteFunc(common, func(key event.StateKey, id ident.EventID) bool { return set[key] != id })
	}
	for key := range common {
		for _, set := range differing {
			delete(set, key)
		}
	}
	lookup := func(key event.StateKey) (ident.EventID, bool) { id, ok := room.sets[0][key]; return id, ok }
	create := room.events[room.sets[0][createSlot]]
	parts, err := ResolveConflicts(room.version, create, lookup, differing, room)
	if err != nil {
		tb.Fatal(err)
	}
	for key := range parts.State {
		if id, ok := common[key]; ok {
			tb.Fatalf("the result has %v, which is unconflicted and holds %s", key, id)
		}
	}
	maps.Copy(parts.State, common)
	if diff := cmp.Diff(whole, parts); diff != "" {
		tb.Fatalf("from whole states (-) and from differences (+):\n%s", diff)
	}
	return whole
}

// The kept rooms resolve to what Synapse 1.163.2 made of them: the comparison in which gomatrixserverlib differs (G-S1, G-S2,
// G-S3) and, on room version 12, panics (G-C8).
func TestKeptRoomsResolveLikeTheJudge(t *testing.T) {
	file, err := os.Open(judgedFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	rooms := json.NewDecoder(unzipped)
	count := map[string]int{}
	for i := 0; ; i++ {
		var j judgedRoom
		if err := rooms.Decode(&j); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		count[j.Version]++
		if testing.Short() && i%shortShare != 0 {
			continue
		}
		got := slices.Sorted(maps.Values(resolveBothWays(t, j.load(t)).State))
		if diff := cmp.Diff(j.Want, got); diff != "" {
			t.Errorf("room %d, version %s (-judge +got):\n%s", i, j.Version, diff)
		}
	}
	for _, version := range judgedVersions {
		if count[version] == 0 {
			t.Errorf("no room of version %s", version)
		}
	}
}

// tally counts what the rooms of one version had in them.
type tally struct{ rooms, conflicts, differences, subgraphs, manyWays, rejected, asIs, differ int }

func (n *tally) count(room forkedRoom, res Resolution) {
	for at, has := range map[*int]bool{
		&n.rooms: true, &n.conflicts: len(res.Trace.Conflicted) > 0, &n.differences: len(res.Trace.AuthDifference) > 0,
		&n.subgraphs: len(res.Trace.Subgraph) > 0, &n.manyWays: len(room.sets) > 4,
		&n.rejected: slices.ContainsFunc(room.plain, func(p plainEvent) bool { return p.Rejected }),
	} {
		if has {
			*at++
		}
	}
}

func (n *tally) String() string {
	return fmt.Sprintf("%d rooms: %d with conflicts, %d with an auth difference, %d with a subgraph, %d with more than four branches, "+
		"%d with rejected events; %d differ, and %d more from Synapse as it is, for rejected events",
		n.rooms, n.conflicts, n.differences, n.subgraphs, n.manyWays, n.rejected, n.differ, n.asIs)
}

// With -judge, new random rooms are compared. PYTHON is one with matrix-synapse 1.163.2:
//
//	go test ./pdu/resolve -run NewRooms -v -timeout 2h -judge PYTHON -judge-rooms 10000 -judge-seed 11
//
// -judge-versions picks room versions; with -judge-keep 30 the first rooms of each are kept in testdata, for every run.
func TestNewRoomsResolveLikeTheJudge(t *testing.T) {
	if *judgePython == "" {
		t.Skip("needs -judge=python")
	}
	var kept bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&kept, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	keep := json.NewEncoder(zipped)
	for version := range strings.SplitSeq(*judgeOnly, ",") {
		var n tally
		for from := 0; from < *judgeRooms; from += judgeBatch {
			for i, room := range judgeRandomRooms(t, version, from, min(*judgeRooms, from+judgeBatch), &n) {
				if from+i >= *judgeKeep {
					break
				}
				if err := keep.Encode(room); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Logf("version %s: %s", version, &n)
	}
	if *judgeKeep > 0 {
		if err := zipped.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(judgedFile, kept.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// judgeBatch is how many rooms are held in memory at once.
const judgeBatch = 1000

// judgeRandomRooms compares some rooms with the judge's answers and returns both.
func judgeRandomRooms(t *testing.T, version string, from, to int, n *tally) []judgedRoom {
	t.Helper()
	rooms := make([]judgedRoom, to-from)
	var input bytes.Buffer
	for i := range rooms {
		rooms[i] = plainRoom(randomRoom(t, newRand(*judgeSeed<<32+uint64(from+i)), version))
		if err := json.NewEncoder(&input).Encode(rooms[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, answer := range askJudge(t, input.Bytes()) {
		room := rooms[i].load(t)
		res := resolveBothWays(t, room)
		n.count(room, res)
		if rooms[i].Want = answer.Want; !slices.Equal(answer.Want, answer.AsIs) {
			n.asIs++
			rooms[i].AsIs = answer.AsIs
		}
		if got := slices.Sorted(maps.Values(res.State)); !slices.Equal(answer.Want, got) {
			if n.differ++; n.differ <= 3 {
				t.Errorf("version %s, room %d (-judge +got):\n%s\n%s", version, from+i, cmp.Diff(answer.Want, got), describe(room, res))
			}
		}
	}
	return rooms
}

func askJudge(t *testing.T, rooms []byte) []judgedRoom {
	t.Helper()
	command := exec.Command(*judgePython, "testdata/judge.py")
	command.Stdin, command.Stderr = bytes.NewReader(rooms), os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers []judgedRoom
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var answer judgedRoom
		if err := json.Unmarshal(lines.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, answer)
	}
	return answers
}

// describe says how a room was resolved, for whoever has to find out why.
func describe(room forkedRoom, res Resolution) string {
	var text bytes.Buffer
	for _, p := range room.plain {
		fmt.Fprintf(&text, "%.6s %d ts %d %s %s/%s %v auth", p.ID, p.Depth, p.TS, p.Sender, p.Type, p.Key, p.Content)
		for _, a := range p.Auth {
			fmt.Fprintf(&text, " %.6s", a)
		}
		for i, set := range room.sets {
			if slices.Contains(slices.Collect(maps.Values(set)), p.ID) {
				fmt.Fprintf(&text, " S%d", i+1)
			}
		}
		text.WriteByte('\n')
	}
	fmt.Fprintf(&text, "difference %.6s\nsubgraph %.6s\n", res.Trace.AuthDifference, res.Trace.Subgraph)
	fmt.Fprintf(&text, "mainline %.6s\n", res.Trace.Mainline)
	for _, c := range res.Trace.Checks {
		fmt.Fprintf(&text, "check %.6s %v\n", c.Event, c.Result)
	}
	return text.String()
}
