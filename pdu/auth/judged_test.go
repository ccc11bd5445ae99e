// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// The judged cases are drawn by cases_test.go and judged by Synapse through testdata/judge.py, whose header says how to run
// the three steps. What stands in testdata/judged is a sample of them, checked on every run.
var (
	writeDir = flag.String("write", "", "write new cases to this directory, to be judged")
	readDir  = flag.String("read", filepath.Join("testdata", "judged"), "compare with the judged cases in this directory")
	perRoom  = flag.Int("count-per-version", 5000, "cases to write for each room version")
)

// difference is a kind of case where the specification and Synapse disagree, and this package follows the specification.
type difference struct {
	name string
	spec string // where the specification says so
	is   func(c judgedCase, got Result) bool
}

// differences is all of them that the cases meet. Further ones, by reading: a join_authorised_via_users_server that is no user
// id is refused in every membership (rooms/v8 rule 4.2), a third-party invite passes over keys of the wrong length (rule 4.4.1.7)
// and after maxInviteVerifications, and user ids in power levels need a valid server name (appendices, "User Identifiers"). What needs a
// level that is null is refused here up to room version 9, where Synapse sometimes takes the default.
var differences = []difference{
	{
		name: "Synapse applies m.federate to the target of a member event too",
		spec: `rooms/v11 rule 3 compares the domain of the sender only (P-42)`,
		is: func(c judgedCase, got Result) bool {
			return got.OK && c.Event.Type == typeMember && strings.Contains(c.Why, "marked as unfederatable")
		},
	},
	{
		name: "Synapse takes every m.federate but true for false",
		spec: `rooms/v11 rule 3: "has the property m.federate set to false" (P-42)`,
		is: func(c judgedCase, _ Result) bool {
			return c.odd && strings.Contains(c.Why, "marked as unfederatable")
		},
	},
	{
		name: "Synapse takes true for 1 and false for 0, in strings whatever Python reads as an integer, and levels of any size",
		spec: `rooms/v9 rule 9.1 and "m.room.power_levels events accept values as strings": an integer, or a string that is one (R-19, P-56)`,
		is: func(c judgedCase, got Result) bool {
			return *c.OK && slices.ContainsFunc([]string{"not a level", "unreadable", "outside ±"}, func(word string) bool {
				return strings.Contains(got.Detail, word)
			})
		},
	},
	{
		name: "Synapse reads all levels for every member event, and fails when one is none",
		spec: `rooms/v8 rules 4.3, 4.4.1, 4.5.1 and 4.7 name no level (P-44, P-46, P-48, P-50)`,
		is: func(c judgedCase, got Result) bool {
			return got.OK && c.Event.Type == typeMember && (strings.HasPrefix(c.Why, "TypeError: int()") || strings.HasPrefix(c.Why, "ValueError: invalid literal"))
		},
	},
	{
		name: "Synapse compares power levels under a state key with those under the same one",
		spec: `rooms/v11 rule 9.4: "previous m.room.power_levels event in the room", of which there is one (P-55)`,
		is: func(c judgedCase, got Result) bool {
			return c.Event.Type == typePowerLevels && *c.Event.StateKey != ""
		},
	},
}

// judgedFile is one room version's cases.
type judgedFile struct {
	Version string   `json:"version"`
	Pool    []sketch `json:"pool"`
	cases   []judgedCase
}

// judgedCase is an event and the state it is judged at, or with Auth the events that it lists as auth_events.
type judgedCase struct {
	Event    sketch `json:"event"`
	State    []int  `json:"state"` // indexes into the pool; the first is the create event
	Auth     []int  `json:"auth,omitempty"`
	Rejected []int  `json:"rejected,omitempty"`
	OK       *bool  `json:"ok,omitempty"`
	Why      string `json:"why,omitempty"`

	odd bool // the create event has an m.federate that is not a boolean
}

func TestJudged(t *testing.T) {
	if *writeDir != "" {
		for _, version := range event.Versions() {
			drawCases(t, version, *perRoom).write(t, filepath.Join(*writeDir, "v"+version+".jsonl"))
		}
		return
	}
	tally := make([]int, len(differences))
	for _, version := range event.Versions() {
		t.Run("v"+version, func(t *testing.T) {
			file := readJudged(t, filepath.Join(*readDir, "v"+version+".jsonl"))
			judge := judgeFor(t, file)
			agreed := 0
			for i, c := range file.cases {
				got := judge(c)
				if got.OK == *c.OK {
					agreed++
					continue
				}
				known := slices.IndexFunc(differences, func(d difference) bool { return d.is(c, got) })
				if known < 0 {
					t.Errorf("case %d: %s %s %s\n got %v %s %s\nwant %v %s", i, c.Event.Sender, c.Event.Type, c.Event.Content,
						got.OK, got.Rule, got.Detail, *c.OK, c.Why)
					continue
				}
				tally[known]++
			}
			t.Logf("%d cases, %d with the same verdict", len(file.cases), agreed)
		})
	}
	for i, d := range differences {
		t.Logf("%5d × %s (%s)", tally[i], d.name, d.spec)
	}
}

// judgeFor gives this package's verdict on cases of the file. Pool events are made once for each create event that they may
// follow, since in version 12 it names their room.
func judgeFor(t *testing.T, file judgedFile) func(judgedCase) Result {
	rooms := map[int]*testRoom{}
	type made struct{ create, index int }
	events := map[made]*event.Event{}
	return func(c judgedCase) Result {
		create := c.State[0]
		r, ok := rooms[create]
		if !ok {
			r = newTestRoom(t, file.Version)
			rooms[create], events[made{create, create}] = r, r.event(file.Pool[create])
		}
		get := func(index int) *event.Event {
			e, ok := events[made{create, index}]
			if !ok {
				e = r.event(file.Pool[index])
				events[made{create, index}] = e
			}
			return e
		}
		all := func(indexes []int) []*event.Event {
			list := make([]*event.Event, 0, len(indexes))
			for _, index := range indexes {
				list = append(list, get(index))
			}
			return list
		}
		if c.Auth == nil {
			return Check(r.event(c.Event), StateOf(all(c.State)))
		}
		authEvents, refused := all(c.Auth), idsOf(all(c.Rejected))
		e, err := r.tryEvent(c.Event, authEvents)
		if err != nil {
			t.Fatal(err)
		}
		return CheckAuthEvents(e, authEvents, func(id ident.EventID) bool { return slices.Contains(refused, id) })
	}
}

func readJudged(t *testing.T, path string) judgedFile {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file judgedFile
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if file.Version == "" {
			err = json.Unmarshal(lines.Bytes(), &file)
		} else {
			var c judgedCase
			err = json.Unmarshal(lines.Bytes(), &c)
			c.odd = strings.Contains(string(file.Pool[c.State[0]].Content), `"m.federate":"`)
			file.cases = append(file.cases, c)
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return file
}

func (f judgedFile) write(t *testing.T, path string) {
	t.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	lines := []any{f}
	for _, c := range f.cases {
		lines = append(lines, c)
	}
	for _, line := range lines {
		if err := encoder.Encode(line); err != nil {
			t.Fatal(fmt.Errorf("write %s: %w", path, err))
		}
	}
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}
