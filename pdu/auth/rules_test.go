// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
)

// TestRules runs the scripts in testdata/rules. A script holds scenes; a scene begins with "== " and its title, which names
// the rules it is about. Under "state" stand the events that make up the room, one a line; they are not judged themselves.
// Under "expect" stands one check a line: the room versions, an event, "=>", the verdict and the rule that decides. An event
// is one of
//
//	@sender create {content}             join | leave | knock {content}
//	@sender invite|kick|ban @target      member @target membership {content}
//	@sender rule join_rule               power {content}
//	@sender state type "key" {content}   message type {content}
//
// followed by "first" (its only parent is the create event), "prev" (a create event with parents), id=, redacts= or room=.
func TestRules(t *testing.T) {
	files, err := filepath.Glob("testdata/rules/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			for _, scene := range readScenes(t, file) {
				t.Run(scene.title, scene.run)
			}
		})
	}
}

type scene struct {
	title  string
	state  []string
	checks []check
}

type check struct {
	line        int
	first, last int // room versions
	event       string
	verdict     string
	rule        string
}

func (s scene) run(t *testing.T) {
	if len(s.checks) == 0 {
		t.Fatal("the scene checks nothing")
	}
	for _, c := range s.checks {
		for number := c.first; number <= c.last; number++ {
			r := newTestRoom(t, strconv.Itoa(number))
			var events []*event.Event
			for _, line := range s.state {
				events = append(events, r.event(parseEvent(t, r.version, line)))
			}
			e := r.event(parseEvent(t, r.version, c.event))
			got := Check(e, StateOf(events))
			if verdictOf(got) != c.verdict || got.Rule != c.rule {
				t.Errorf("line %d, room version %d: %s\n got %s %s: %s\nwant %s %s", c.line, number, c.event,
					verdictOf(got), got.Rule, got.Detail, c.verdict, c.rule)
			}
			if got.Detail == "" || strings.Contains(got.Detail, "%!") {
				t.Errorf("line %d, room version %d: detail %q", c.line, number, got.Detail)
			}
		}
	}
}

func verdictOf(r Result) string {
	if r.OK {
		return "allow"
	}
	return "deny"
}

func readScenes(t *testing.T, file string) []scene {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var scenes []scene
	part := ""
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "== "):
			scenes, part = append(scenes, scene{title: line[3:]}), ""
		case line == "state" || line == "expect":
			part = line
		case part == "state":
			scenes[len(scenes)-1].state = append(scenes[len(scenes)-1].state, line)
		case part == "expect":
			scenes[len(scenes)-1].checks = append(scenes[len(scenes)-1].checks, parseCheck(t, i+1, line))
		default:
			t.Fatalf("%s:%d: neither state nor expect", file, i+1)
		}
	}
	return scenes
}

func parseCheck(t *testing.T, number int, line string) check {
	t.Helper()
	left, right, found := strings.Cut(line, "=>")
	versions, what, spaced := strings.Cut(strings.TrimSpace(left), " ")
	first, last, isRange := strings.Cut(versions, "-")
	if !isRange {
		last = first
	}
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	outcome := strings.Fields(right)
	if !found || !spaced || err1 != nil || err2 != nil || len(outcome) != 2 || from > to {
		t.Fatalf("line %d: not a check: %s", number, line)
	}
	return check{number, from, to, strings.TrimSpace(what), outcome[0], outcome[1]}
}

// parseEvent reads one event of a script.
func parseEvent(t *testing.T, v *event.Version, line string) sketch {
	t.Helper()
	words, content, options := splitEvent(t, line)
	if len(words) < 2 {
		t.Fatalf("not an event: %s", line)
	}
	s, err := sketchOf(v, words[0], words[1], words[2:], content)
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "first":
			s.First = true
		case "prev":
			s.Prev = true
		case "id":
			s.ID = value
		case "redacts":
			s.Redacts = value
		case "room":
			s.Room = value
		default:
			t.Fatalf("option %q: %s", option, line)
		}
	}
	return s
}

// splitEvent cuts a line into the words before the content, the content, and the options.
func splitEvent(t *testing.T, line string) (words []string, content string, options []string) {
	t.Helper()
	before, rest := line, ""
	if i := strings.IndexByte(line, '{'); i >= 0 {
		decoder := json.NewDecoder(strings.NewReader(line[i:]))
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			t.Fatalf("content: %v: %s", err, line)
		}
		before, content, rest = line[:i], string(raw), line[i+int(decoder.InputOffset()):]
	}
	words, options = strings.Fields(before), strings.Fields(rest)
	for len(words) > 1 && (words[len(words)-1] == "first" || words[len(words)-1] == "prev" ||
		strings.Contains(words[len(words)-1], "=")) {
		options, words = append(options, words[len(words)-1]), words[:len(words)-1]
	}
	return words, content, options
}

func sketchOf(v *event.Version, sender, verb string, args []string, content string) (sketch, error) {
	if content == "" && verb != "join" && verb != "create" {
		content = "{}"
	}
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return sender
	}
	switch verb {
	case "create":
		return createSketch(v, sender, content), nil
	case "join", "knock":
		return memberSketch(sender, sender, verb, content), nil
	case "leave", "invite", "ban":
		return memberSketch(sender, arg(0), verb, content), nil
	case "kick":
		return memberSketch(sender, arg(0), "leave", content), nil
	case "member":
		return memberSketch(sender, arg(0), arg(1), content), nil
	case "rule":
		return stateSketch(sender, typeJoinRules, "", fmt.Sprintf(`{"join_rule":%q}`, arg(0))), nil
	case "power":
		return stateSketch(sender, typePowerLevels, "", content), nil
	case "state":
		return stateSketch(sender, arg(0), strings.Trim(arg(1), `"`), content), nil
	case "message":
		return sketch{Sender: sender, Type: arg(0), Content: json.RawMessage(content)}, nil
	}
	return sketch{}, fmt.Errorf("verb %q", verb)
}
