// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/signing"
)

// caseSeed makes the drawn cases the same on every run.
const caseSeed = 20260721

var (
	caseUsers  = []string{"@alice:a", "@bob:b", "@carol:a", "@dave:c"}
	caseLevels = []int{-10, 0, 10, 49, 50, 51, 75, 100}
	caseTypes  = []string{"m.room.name", "m.room.message", typePowerLevels, typeRedaction, "org.example"}
	memberKind = []string{membershipJoin, membershipInvite, membershipLeave, membershipBan, membershipKnock}
	ruleKinds  = []string{"invite", "public", "knock", "restricted", "knock_restricted", "private"}
)

// caseDrawer draws random states and events that are near the edges of the rules.
type caseDrawer struct {
	rand    *rand.Rand
	version *event.Version
	file    judgedFile
	creates []int
	powers  []int
	rules   []int
	members map[string][]int
	invites []int
	foreign int // a power level event of another room
	keys    []signing.Key
}

func drawCases(t *testing.T, version string, count int) judgedFile {
	t.Helper()
	v, _ := event.VersionOf(version)
	number, err := strconv.Atoi(version)
	if err != nil {
		t.Fatal(err)
	}
	d := &caseDrawer{rand: rand.New(rand.NewPCG(caseSeed, uint64(number))), version: v, members: map[string][]int{}}
	d.file.Version = version
	for i := range 2 {
		key, err := signing.NewKey("ed25519:0", slices.Repeat([]byte{byte(i + 1)}, 32))
		if err != nil {
			t.Fatal(err)
		}
		d.keys = append(d.keys, key)
	}
	d.drawPool()
	for range count {
		d.file.cases = append(d.file.cases, d.drawCase(t))
	}
	return d.file
}

func (d *caseDrawer) add(s sketch) int {
	d.file.Pool = append(d.file.Pool, s)
	return len(d.file.Pool) - 1
}

// drawPool makes the events that states are put together from.
func (d *caseDrawer) drawPool() {
	for _, content := range []string{``, ``, ``, ``, ``, `{"room_version":"1"}`, `{"creator":"@bob:b"}`, `{"creator":"@bob:b"}`,
		`{"additional_creators":["@carol:a"]}`, `{"additional_creators":["@bob:b"]}`, `{"m.federate":true}`,
		`{"m.federate":false}`, `{"m.federate":"false"}`} {
		d.creates = append(d.creates, d.add(createSketch(d.version, "@alice:a", content)))
	}
	for range 25 {
		d.powers = append(d.powers, d.add(stateSketch("@alice:a", typePowerLevels, "", d.powerContent(false).json())))
	}
	for range 3 { // accepted as first power levels up to version 9, whatever there is outside of users
		if p := d.powerContent(true); !d.version.IntegerPowerLevels {
			p.tables["users"] = d.powerContent(false).tables["users"]
			d.powers = append(d.powers, d.add(stateSketch("@alice:a", typePowerLevels, "", p.json())))
		}
	}
	for _, rule := range ruleKinds {
		d.rules = append(d.rules, d.add(stateSketch("@alice:a", typeJoinRules, "", fmt.Sprintf(`{"join_rule":%q}`, rule))))
	}
	d.rules = append(d.rules, d.add(stateSketch("@alice:a", typeJoinRules, "", `{}`)))
	for _, user := range caseUsers {
		for _, kind := range memberKind {
			d.members[user] = append(d.members[user], d.add(memberSketch(user, user, kind, "")))
		}
	}
	public := func(i int) string { return signing.EncodeBase64(d.keys[i].Public()) }
	d.invites = append(d.invites,
		d.add(stateSketch("@alice:a", typeThirdPartyInvite, "t0", fmt.Sprintf(`{"public_key":%q}`, public(0)))),
		d.add(stateSketch("@bob:b", typeThirdPartyInvite, "t1", fmt.Sprintf(
			`{"public_key":%q,"public_keys":[{"public_key":%q}]}`, public(1), public(0)))))
	room := "!another:a"
	if d.version.HashRoomID {
		room = "!" + hashID(0)
	}
	stranger := stateSketch("@alice:a", typePowerLevels, "", `{}`)
	stranger.Room = room
	d.foreign = d.add(stranger)
}

func pick[T any](d *caseDrawer, from []T) T { return from[d.rand.IntN(len(from))] }

func (d *caseDrawer) chance(percent int) bool { return d.rand.IntN(100) < percent }

func (d *caseDrawer) drawCase(t *testing.T) judgedCase {
	c := judgedCase{State: []int{pick(d, d.creates)}}
	var power *powerContent
	if d.chance(85) {
		index := pick(d, d.powers)
		power = readPower(d.file.Pool[index].Content)
		c.State = append(c.State, index)
	}
	switch {
	case d.chance(35):
		c.State = append(c.State, d.rules[3+d.rand.IntN(2)]) // the restricted rules, which have the most to them
	case d.chance(75):
		c.State = append(c.State, pick(d, d.rules))
	}
	for _, user := range caseUsers {
		switch {
		case d.chance(60):
			c.State = append(c.State, d.members[user][0])
		case d.chance(85):
			c.State = append(c.State, pick(d, d.members[user]))
		}
	}
	for _, index := range d.invites {
		if d.chance(50) {
			c.State = append(c.State, index)
		}
	}
	c.Event = d.drawEvent(t, power)
	if c.Event.Type != typeCreate && d.chance(10) {
		d.drawAuthEvents(&c)
	}
	return c
}

func (d *caseDrawer) drawEvent(t *testing.T, power *powerContent) sketch {
	sender := pick(d, caseUsers)
	switch draw := d.rand.IntN(100); {
	case draw < 25:
		return d.drawJoin(sender)
	case draw < 55:
		return d.drawMember(sender)
	case draw < 62:
		return d.drawThirdPartyInvite(t, sender)
	case draw < 85:
		return d.drawPower(sender, power)
	case draw < 88:
		return d.drawCreate(sender)
	}
	return d.drawOther(sender)
}

func (d *caseDrawer) drawJoin(sender string) sketch {
	target, content := sender, ""
	if d.chance(10) {
		target = pick(d, caseUsers)
	}
	if d.chance(40) {
		content = fmt.Sprintf(`{"join_authorised_via_users_server":%q}`, pick(d, caseUsers))
	}
	s := memberSketch(sender, target, membershipJoin, content)
	s.First = d.chance(15)
	return s
}

func (d *caseDrawer) drawMember(sender string) sketch {
	target := pick(d, caseUsers)
	if d.chance(40) {
		target = sender
	}
	kind := pick(d, memberKind[1:])
	if d.chance(2) {
		kind = "unknown"
	}
	return memberSketch(sender, target, kind, "")
}

// drawThirdPartyInvite is an invite whose signed block is right in most parts.
func (d *caseDrawer) drawThirdPartyInvite(t *testing.T, sender string) sketch {
	target := pick(d, caseUsers)
	mxid := target
	if d.chance(10) {
		mxid = pick(d, caseUsers)
	}
	signed := fmt.Sprintf(`{"mxid":%q,"token":%q,"extra":true}`, mxid, pick(d, []string{"t0", "t1"}))
	raw, err := signing.SignJSON([]byte(signed), "id.example", d.keys[d.rand.IntN(2)])
	if err != nil {
		t.Fatal(err)
	}
	if d.chance(10) {
		raw = []byte(signed)
	}
	return memberSketch(sender, target, membershipInvite, fmt.Sprintf(`{"third_party_invite":{"signed":%s}}`, raw))
}

func (d *caseDrawer) drawPower(sender string, current *powerContent) sketch {
	next := d.powerContent(true)
	if current != nil && d.chance(80) {
		next = current.clone()
		for range 1 + d.rand.IntN(2) {
			d.mutate(next)
		}
	}
	key := ""
	if d.chance(2) {
		key = "elsewhere"
	}
	return stateSketch(sender, typePowerLevels, key, next.json())
}

func (d *caseDrawer) drawCreate(sender string) sketch {
	content := pick(d, []string{``, `{"room_version":"1"}`, `{"room_version":"x"}`, `{"room_version":7}`,
		`{"additional_creators":["@bob:b"]}`, `{"additional_creators":[1]}`, `{"additional_creators":"@bob:b"}`,
		`{"additional_creators":["bob"]}`})
	s := createSketch(d.version, sender, content)
	if d.chance(20) {
		s = stateSketch(sender, typeCreate, "", `{}`)
	}
	s.Prev = d.chance(15)
	return s
}

func (d *caseDrawer) drawOther(sender string) sketch {
	s := sketch{Sender: sender, Type: pick(d, []string{"m.room.message", "org.example", typeRedaction}), Content: json.RawMessage(`{}`)}
	if s.Type == typeRedaction && d.version.EventIDFormat == event.IDField {
		s.ID, s.Redacts = pick(d, []string{"$red:a", "$red:b"}), pick(d, []string{"$bad:a", "$bad:c"})
		return s
	}
	switch d.rand.IntN(5) {
	case 0:
		return stateSketch(sender, "m.room.name", "", `{}`)
	case 1:
		return stateSketch(sender, "org.example", pick(d, caseUsers), `{}`)
	case 2:
		return stateSketch(sender, typeAliases, pick(d, []string{"a", "b", "c"}), `{}`)
	case 3:
		return stateSketch(sender, typeThirdPartyInvite, "new", `{}`)
	}
	return s
}

// drawAuthEvents turns the case into one about the list of auth_events: those of the state that the event needs, with zero or
// more mistakes.
func (d *caseDrawer) drawAuthEvents(c *judgedCase) {
	c.Auth = []int{}
	wanted := []string{typePowerLevels, typeMember, typeMember + "/" + c.Event.Sender}
	if !d.version.HashRoomID {
		wanted = append(wanted, typeCreate)
	}
	for _, index := range c.State {
		s := d.file.Pool[index]
		own := s.Type == typeMember && (*s.StateKey == c.Event.Sender || c.Event.Type == typeMember && *s.StateKey == *c.Event.StateKey)
		rules := s.Type == typeJoinRules && c.Event.Type == typeMember
		switch {
		case s.Type != typeMember && slices.Contains(wanted, s.Type), own, rules && d.chance(70), d.chance(3):
			if !d.chance(5) {
				c.Auth = append(c.Auth, index)
			}
		}
	}
	if len(c.Auth) > 0 && d.chance(8) {
		c.Auth = append(c.Auth, pick(d, c.Auth))
	}
	if d.chance(5) {
		c.Auth = append(c.Auth, pick(d, d.powers))
	}
	if d.chance(3) && d.version.HashRoomID {
		c.Auth = append(c.Auth, c.State[0])
	}
	if d.chance(3) {
		c.Auth = append(c.Auth, d.foreign)
	}
	if d.chance(10) {
		c.Rejected = append(c.Rejected, pick(d, c.State))
	}
}

// powerContent is the content of a power level event, each level in the way it is written.
type powerContent struct {
	scalars map[string]string
	tables  map[string]map[string]string
}

// powerContent draws levels; wild ones may hold what is no level.
func (d *caseDrawer) powerContent(wild bool) *powerContent {
	p := &powerContent{map[string]string{}, map[string]map[string]string{}}
	for _, scalar := range scalars {
		if d.chance(30) {
			p.scalars[scalar.name] = d.level(wild)
		}
	}
	for _, table := range slices.Sorted(maps.Keys(powerTables)) {
		if !d.chance(85) {
			continue
		}
		p.tables[table] = map[string]string{}
		for _, key := range powerTables[table] {
			if d.chance(45) {
				p.tables[table][key] = d.level(wild)
			}
		}
	}
	return p
}

var powerTables = map[string][]string{
	"users": caseUsers, "events": caseTypes, "notifications": {"room", "org.example"},
}

func (d *caseDrawer) level(wild bool) string {
	level := pick(d, caseLevels)
	switch {
	case wild && d.chance(4):
		return pick(d, []string{`null`, `true`, `{}`, `[]`, `"x"`, `""`, `"1.5"`, `"99999999999999999999"`})
	case !d.version.IntegerPowerLevels && d.chance(10):
		return fmt.Sprintf(pick(d, []string{`"%d"`, `" %d "`, `"%03d"`}), level)
	case d.version.Rules == 0 && d.chance(10):
		return fmt.Sprintf("%d.75", level)
	}
	return strconv.Itoa(level)
}

// mutate changes, adds or removes one level.
func (d *caseDrawer) mutate(p *powerContent) {
	table := pick(d, []string{"", "users", "users", "events", "notifications"})
	entries, keys := p.scalars, []string{}
	if table != "" {
		if p.tables[table] == nil {
			p.tables[table] = map[string]string{}
		}
		entries, keys = p.tables[table], powerTables[table]
	} else {
		for _, scalar := range scalars {
			keys = append(keys, scalar.name)
		}
	}
	key := pick(d, keys)
	if d.chance(25) {
		delete(entries, key)
		return
	}
	entries[key] = d.level(true)
}

func (p *powerContent) clone() *powerContent {
	next := &powerContent{maps.Clone(p.scalars), map[string]map[string]string{}}
	for name, table := range p.tables {
		next.tables[name] = maps.Clone(table)
	}
	return next
}

func (p *powerContent) json() string {
	all := map[string]any{}
	for name, level := range p.scalars {
		all[name] = json.RawMessage(level)
	}
	for name, table := range p.tables {
		levels := map[string]json.RawMessage{}
		for key, level := range table {
			levels[key] = json.RawMessage(level)
		}
		all[name] = levels
	}
	raw, _ := json.Marshal(all)
	return string(raw)
}

// readPower takes a content apart again.
func readPower(content json.RawMessage) *powerContent {
	p := &powerContent{map[string]string{}, map[string]map[string]string{}}
	var all map[string]json.RawMessage
	_ = json.Unmarshal(content, &all)
	for name, raw := range all {
		if _, isTable := powerTables[name]; !isTable {
			p.scalars[name] = string(raw)
			continue
		}
		var table map[string]json.RawMessage
		_ = json.Unmarshal(raw, &table)
		p.tables[name] = map[string]string{}
		for key, level := range table {
			p.tables[name][key] = string(level)
		}
	}
	return p
}
