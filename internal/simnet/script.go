// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	maxServers = 20
	maxSteps   = 200
	maxTimes   = 100
)

// Script is a scenario: who takes part, and what is done to them.
type Script struct {
	Title   string
	Servers []string // letters; a is a.example with the user @a:a.example
	Steps   []Step
	Liars   []string // those of them that are not honest
	Stock   []string // those that know nothing but the specification
	Purged  []string // those that have forgotten what was said
	Police  string   // the policy server, "" for none
	Revokes bool     // rights are taken away in it, so events may be refused or soft-fail
	Devices bool     // users change their devices, and servers follow
	Knocks  bool     // the room is one that users knock on, which those of old versions are not
	Veiled  bool     // history is not shown to all in it, so what some are given of it is redacted

	Expected []Expectation
}

// Step is one line.
type Step struct {
	Line int
	Text string
	run  func(*World)
}

// Parse reads a scenario. A line is a comment (#, the first is the title), a thing that is done to the world, or servers and
// what their users do:
//
//	servers a b c                    who takes part; the first line
//	faults latency 5ms-2s lose 5 unanswered 5 twice 5 late 2 replay 5      shares in percent
//	calm                             no more faults
//	callbacks fail 5                 percent of callbacks that return an error
//	cut a | b c                      groups that cannot reach each other
//	sever b c                        two that cannot reach each other, though others reach both
//	heal                             all can
//	crash a before 3                 kill a before its third commit from now; or after; ? is any
//	ail b slow                       how b takes transactions from now on; or nonsense, deaf, refuses 1, chokes 1
//	cure                             all take them well, but for events that they cannot take
//	pause 30s                        nobody is told anything meanwhile
//	wait                             until everyone has done what they were told
//	settle                           and the network is quiet
//	expect b ban                     at the end: join, leave or ban
//	expect b outside invite          likewise as told to b, which is not in the room: invite, knock or leave
//	stock b                          b knows nothing but the specification: it cannot be asked for what one missed
//	purged b                         b has forgotten what was said: it gives states, and no other events
//	police p                         p is a policy server, which signs what it is asked to sign; or refuses d: but not what d makes
//
//	a creates                        the room, of the version that the seed says
//	b c join a                       over a; again and again until they are in
//	a b say 5                        messages
//	a sets 2                         topics
//	a b write c 5                    messages to the device of c's user
//	a changes 5                      the list of its devices
//	a empowers b 50                  power level
//	a bans b                         likewise kicks and unbans
//	a redacts b                      the newest message of b that a has
//	a polices p                      names it as the room's policy server
//	a veils                          the room's history from here on: who was not there is not to see it
//	b rotates 30s                    its signing key: the new one is published so long before it signs; or now
//	b leaves
//	a closes                         the room: from now on users are invited, or knock
//	a invites b                      again and again until the room has it
//	a turns b                        away: the end of the invitation or knock
//	b accepts a                      the invitation of a
//	b knocks a                       over a
//	b rejects                        its invitation, or takes its knock back
//	b restarts                       orderly, between two things that it does; or 2h: and is back so much later
//
// Users do one thing after the other, and all of them at the same time. Servers may be hostile: see parseLiar.
func Parse(text string) (*Script, error) {
	s := &Script{}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			if s.Title == "" {
				s.Title = strings.TrimSpace(comment)
			}
			continue
		}
		if line == "" {
			continue
		}
		run, err := s.parse(strings.Fields(line))
		if err == nil && len(s.Steps) == maxSteps {
			err = fmt.Errorf("more than %d steps", maxSteps)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %s: %w", i+1, line, err)
		}
		if run != nil {
			s.Steps = append(s.Steps, Step{Line: i + 1, Text: line, run: run})
		}
	}
	if len(s.Servers) == 0 {
		return nil, errors.New("no servers")
	}
	return s, nil
}

// verbs is the language. Those of users get the rest of the line behind the verb, and are run by each user in turn.
var (
	worldVerbs = map[string]func(*Script, []string) (func(*World), error){
		"faults": (*Script).parseFaults, "calm": (*Script).parseCalm, "callbacks": (*Script).parseCallbacks,
		"cut": (*Script).parseCut, "sever": (*Script).parseSever, "heal": (*Script).parseHeal, "crash": (*Script).parseCrash, "pause": (*Script).parsePause,
		"wait": (*Script).parseWait, "settle": (*Script).parseSettle, "expect": (*Script).parseExpect, "liar": (*Script).parseLiar,
		"ail": (*Script).parseAil, "cure": (*Script).parseCure, "police": (*Script).parsePolice, "stock": (*Script).parseStock,
		"purged": (*Script).parsePurged,
	}
	userVerbs = map[string]func(*Script, []string) (func(*actor), error){
		"creates": (*Script).parseCreates, "joins": (*Script).parseJoins, "join": (*Script).parseJoins,
		"says": (*Script).parseSays, "say": (*Script).parseSays, "sets": (*Script).parseSets, "set": (*Script).parseSets, "changes": (*Script).parseChanges, "change": (*Script).parseChanges,
		"empowers": (*Script).parseEmpowers, "leaves": (*Script).parseLeaves, "leave": (*Script).parseLeaves,
		"restarts": (*Script).parseRestarts, "restart": (*Script).parseRestarts,
		"bans": parseMembership("ban"), "kicks": parseMembership("leave"), "unbans": parseMembership("leave"),
		"writes": (*Script).parseWrites, "write": (*Script).parseWrites,
		"redacts": (*Script).parseRedacts, "veils": (*Script).parseVeils, "polices": (*Script).parsePolices,
		"closes": (*Script).parseCloses, "invites": (*Script).parseInvites, "turns": (*Script).parseTurns,
		"accepts": (*Script).parseAccepts, "rejects": (*Script).parseRejects, "knocks": (*Script).parseKnocks, "knock": (*Script).parseKnocks,
		"rotates": (*Script).parseRotates, "rotate": (*Script).parseRotates,
		"remembers": (*Script).parseRemembers, "remember": (*Script).parseRemembers,
		"forges": (*Script).parseForges, "forge": (*Script).parseForges, "forks": (*Script).parseForks,
		"hides": (*Script).parseHides, "hide": (*Script).parseHides, "chains": (*Script).parseChains,
	}
)

func (s *Script) parse(words []string) (func(*World), error) {
	if words[0] == "servers" {
		return nil, s.parseServers(words[1:])
	}
	if len(s.Servers) == 0 {
		return nil, errors.New("the first line must name the servers")
	}
	if verb, ok := worldVerbs[words[0]]; ok {
		return verb(s, words[1:])
	}
	i := 0
	for i < len(words) && slices.Contains(s.Servers, words[i]) {
		i++
	}
	if i == 0 || i == len(words) {
		return nil, errors.New("neither a thing to do nor servers and what they do")
	}
	verb, ok := userVerbs[words[i]]
	if !ok {
		return nil, fmt.Errorf("users cannot %q", words[i])
	}
	if slices.Contains(hostileVerbs, words[i]) && !s.allLie(words[:i]) {
		return nil, errors.New("only liars do so: declare them before")
	}
	do, err := verb(s, words[i+1:])
	if err != nil {
		return nil, err
	}
	return func(w *World) {
		for _, letter := range words[:i] {
			a := w.actors[letter]
			a.tell(func() { do(a) })
		}
	}, nil
}

func (s *Script) parseServers(words []string) error {
	if len(s.Servers) > 0 || len(words) == 0 || len(words) > maxServers {
		return fmt.Errorf("once, with 1 to %d servers", maxServers)
	}
	for _, word := range words {
		if len(word) != 1 || word[0] < 'a' || word[0] > 'z' || slices.Contains(s.Servers, word) {
			return fmt.Errorf("%q is not a letter of its own", word)
		}
		s.Servers = append(s.Servers, word)
	}
	return nil
}

func (s *Script) parseFaults(words []string) (func(*World), error) {
	f := Calm
	shares := map[string]*float64{"lose": &f.Lose, "unanswered": &f.Unanswered, "twice": &f.Twice, "late": &f.Late, "replay": &f.Replay}
	if len(words)%2 != 0 {
		return nil, errors.New("names and values are needed")
	}
	for i := 0; i < len(words); i += 2 {
		var err error
		if share, ok := shares[words[i]]; ok {
			*share, err = percent(words[i+1])
		} else if words[i] == "latency" {
			f.Least, f.Most, err = span(words[i+1])
		} else {
			err = fmt.Errorf("%q is no fault", words[i])
		}
		if err != nil {
			return nil, err
		}
	}
	return func(w *World) { w.Net.SetFaults(f) }, nil
}

func percent(word string) (float64, error) {
	n, err := number(word, 0, 100)
	return float64(n) / 100, err
}

func number(word string, least, most int) (int, error) {
	n, err := strconv.Atoi(word)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%q is not a number from %d to %d", word, least, most)
	}
	return n, nil
}

func duration(word string) (time.Duration, error) {
	d, err := time.ParseDuration(word)
	if err != nil || d <= 0 || d > 10*24*time.Hour {
		return 0, fmt.Errorf("%q is not a time of up to ten days", word)
	}
	return d, nil
}

func span(word string) (least, most time.Duration, err error) {
	from, to, _ := strings.Cut(word, "-")
	if least, err = duration(from); err != nil {
		return 0, 0, err
	}
	if most, err = duration(to); err == nil && most < least {
		err = fmt.Errorf("%q ends before it begins", word)
	}
	return least, most, err
}

func none(words []string) error {
	if len(words) > 0 {
		return fmt.Errorf("%q is too much", words)
	}
	return nil
}

func (s *Script) parseCalm(words []string) (func(*World), error) {
	return func(w *World) { w.Net.SetFaults(Calm) }, none(words)
}

func (s *Script) parseCallbacks(words []string) (func(*World), error) {
	if len(words) != 2 || words[0] != "fail" {
		return nil, errors.New("fail PERCENT is needed")
	}
	share, err := percent(words[1])
	return func(w *World) {
		for _, n := range w.nodes {
			n.journal.setFail(share)
		}
	}, err
}

func (s *Script) parseCut(words []string) (func(*World), error) {
	groups := [][]string{nil}
	seen := map[string]bool{}
	for _, word := range words {
		if word == "|" {
			groups = append(groups, nil)
			continue
		}
		if !slices.Contains(s.Servers, word) || seen[word] {
			return nil, fmt.Errorf("%q is no server, or named twice", word)
		}
		seen[word] = true
		groups[len(groups)-1] = append(groups[len(groups)-1], word+".example")
	}
	return func(w *World) { w.Net.Cut(groups...) }, nil
}

func (s *Script) parseSever(words []string) (func(*World), error) {
	if len(words) != 2 || !slices.Contains(s.Servers, words[0]) || !slices.Contains(s.Servers, words[1]) {
		return nil, errors.New("two servers are needed")
	}
	return func(w *World) { w.Net.Sever(words[0]+".example", words[1]+".example") }, nil
}

func (s *Script) parseHeal(words []string) (func(*World), error) {
	return func(w *World) { w.Net.Heal() }, none(words)
}

func (s *Script) parseCrash(words []string) (func(*World), error) {
	if len(words) != 3 || !slices.Contains(s.Servers, words[0]) {
		return nil, errors.New("a server, before or after, and a number are needed")
	}
	points := map[string]persistence.Point{"before": persistence.BeforeCommit, "after": persistence.AfterCommit}
	point, ok := points[words[1]]
	if !ok {
		return nil, fmt.Errorf("%q is neither before nor after", words[1])
	}
	commits, err := 0, error(nil)
	if words[2] != "?" {
		commits, err = number(words[2], 1, 1000)
	}
	index := len(s.Steps)
	return func(w *World) {
		const anyOf = 15
		plan := &crash{point: point, commits: commits}
		if commits == 0 {
			plan.commits = 1 + w.Seed.Stream("crash", strconv.Itoa(index)).IntN(anyOf)
		}
		w.actors[words[0]].node.planCrash(plan)
	}, err
}

func (s *Script) parsePause(words []string) (func(*World), error) {
	if len(words) != 1 {
		return nil, errors.New("a time is needed")
	}
	d, err := duration(words[0])
	return func(*World) { time.Sleep(d) }, err
}

func (s *Script) parseWait(words []string) (func(*World), error) {
	return func(w *World) { w.doing.Wait() }, none(words)
}

func (s *Script) parseSettle(words []string) (func(*World), error) {
	return (*World).settle, none(words)
}

func (s *Script) parseCreates(words []string) (func(*actor), error) {
	return (*actor).create, none(words)
}

func (s *Script) parseJoins(words []string) (func(*actor), error) {
	via, err := s.over(words)
	return func(a *actor) { a.join(via) }, err
}

// over is the servers to go over.
func (s *Script) over(words []string) (via []ident.ServerName, err error) {
	for _, word := range words {
		if !slices.Contains(s.Servers, word) {
			return nil, fmt.Errorf("%q is no server", word)
		}
		via = append(via, ident.ServerName(word+".example"))
	}
	if len(via) == 0 {
		return nil, errors.New("over whom?")
	}
	return via, nil
}

func (s *Script) parseSays(words []string) (func(*actor), error) {
	n, err := times(words)
	return func(a *actor) { a.say(n) }, err
}

func (s *Script) parseSets(words []string) (func(*actor), error) {
	n, err := times(words)
	return func(a *actor) { a.setTopic(n) }, err
}

func times(words []string) (int, error) {
	if len(words) != 1 {
		return 0, errors.New("a number is needed")
	}
	return number(words[0], 1, maxTimes)
}

func (s *Script) parseEmpowers(words []string) (func(*actor), error) {
	if len(words) != 2 || !slices.Contains(s.Servers, words[0]) {
		return nil, errors.New("a server and a power level are needed")
	}
	level, err := number(words[1], 0, 100)
	s.Revokes = true
	return func(a *actor) { a.empower(userOf(words[0]), level) }, err
}

func (s *Script) parseLeaves(words []string) (func(*actor), error) {
	s.Revokes = true
	return (*actor).leave, none(words)
}
