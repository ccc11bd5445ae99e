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
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

var (
	judgePython = flag.String("judge", "", "a Python with matrix-synapse: compare new random rooms with its answers")
	judgeRooms  = flag.Int("judge-rooms", 1000, "how many rooms of each version to compare")
	judgeSeed   = flag.Uint64("judge-seed", 1, "seed of the random rooms")
	judgeKeep   = flag.Int("judge-keep", 0, "keep the first rooms of each version, with the answers, in testdata")
)

const judgedFile = "testdata/judged.jsonl.gz"

var judgedVersions = []string{"1", "2", "6", "10", "12"}

// judgedRoom is a room as the judge reads it, with the judge's answer.
type judgedRoom struct {
	Version string            `json:"version"`
	Events  []plainEvent      `json:"events"`
	Sets    [][]ident.EventID `json:"sets"`
	Want    []ident.EventID   `json:"want,omitempty"`
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

// With -judge, new random rooms are compared.
func TestNewRoomsResolveLikeTheJudge(t *testing.T) {
	if *judgePython == "" {
		t.Skip("needs -judge=python")
	}
	var kept bytes.Buffer
	zipped, err := gzip.NewWriterLevel(&kept, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range judgedVersions {
		rooms, conflicts := make([]judgedRoom, *judgeRooms), 0
		var input bytes.Buffer
		for i := range rooms {
			room := randomRoom(t, newRand(*judgeSeed<<32+uint64(i)), version)
			rooms[i] = plainRoom(room)
			res := resolveBothWays(t, room)
			if len(res.Trace.Conflicted) > 0 {
				conflicts++
			}
			if err := json.NewEncoder(&input).Encode(rooms[i]); err != nil {
				t.Fatal(err)
			}
		}
		differ := 0
		for i, want := range askJudge(t, input.Bytes()) {
			room := rooms[i].load(t)
			res := resolveBothWays(t, room)
			got := slices.Sorted(maps.Values(res.State))
			if !slices.Equal(want, got) {
				if differ++; differ <= 3 {
					t.Errorf("version %s, room %d (-judge +got):\n%s\n%s", version, i, cmp.Diff(want, got), describe(room, res))
				}
			}
			if rooms[i].Want = want; i < *judgeKeep {
				if err := json.NewEncoder(zipped).Encode(rooms[i]); err != nil {
					t.Fatal(err)
				}
			}
		}
		t.Logf("version %s: %d rooms, %d with conflicts, %d differ", version, len(rooms), conflicts, differ)
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

func askJudge(t *testing.T, rooms []byte) [][]ident.EventID {
	t.Helper()
	command := exec.Command(*judgePython, "testdata/judge.py")
	command.Stdin, command.Stderr = bytes.NewReader(rooms), os.Stderr
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var answers [][]ident.EventID
	lines := bufio.NewScanner(bytes.NewReader(output))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var answer []ident.EventID
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
