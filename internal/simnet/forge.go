// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxForged bounds what one line can have a liar make.
const maxForged = 400

func (s *Script) parseRemembers(words []string) (func(*actor), error) {
	return func(a *actor) {
		a.breathe()
		a.node.liar.remember(a.world.Room())
	}, none(words)
}

// parseMaking is a verb with a number of events to make.
func parseMaking(words []string, do func(*actor, int) error) (func(*actor), error) {
	if len(words) != 1 {
		return nil, errors.New("a number is needed")
	}
	n, err := number(words[0], 1, maxForged)
	return func(a *actor) {
		a.breathe()
		if a.node.liar.newest() == nil {
			a.node.liar.remember(a.world.Room())
		}
		if err := do(a, n); err != nil {
			a.world.fault("%s: %v", a.node.name, err)
		}
	}, err
}

func (s *Script) parseForges(words []string) (func(*actor), error) {
	return parseMaking(words, (*actor).forge)
}

func (s *Script) parseForks(words []string) (func(*actor), error) {
	return parseMaking(words, (*actor).fork)
}

func (s *Script) parseHides(words []string) (func(*actor), error) {
	return parseMaking(words, (*actor).hide)
}

func (s *Script) parseChains(words []string) (func(*actor), error) {
	return parseMaking(words, (*actor).chain)
}

// forge sends events of kinds that chance chooses, each to some of the honest servers, while its own server goes on.
func (a *actor) forge(n int) error {
	l := a.node.liar
	l.remember(a.world.Room())
	old, now := l.oldest(), l.newest()
	if now == nil {
		return errors.New("a liar that was never in the room has nothing to forge")
	}
	for range n {
		a.breathe()
		f := forgeries[a.rand.IntN(len(forgeries))]
		pdu, err := f.make(a, old, now)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		a.world.Timeline.Add(string(a.node.name), "FORGES %s: %.300s", f.name, pdu)
		l.send(l.victims(), pdu)
	}
	return nil
}

// fork sends messages that all follow the oldest view, each to one honest server: what all of them have in the end is for the
// honest servers to bring about.
func (a *actor) fork(n int) error {
	honest := a.world.honest()
	for i := range n {
		e, err := a.built(a.node.liar.oldest(), a.message(fmt.Sprintf("fork %d", i)))
		if err != nil {
			return err
		}
		a.node.liar.keep(e)
		a.node.liar.send([]ident.ServerName{honest[i%len(honest)].name}, e.JSON())
	}
	return nil
}

// hide sends the last of a chain of messages. Of those before it, and of a member that stands in no graph, nobody is told
// but who asks.
func (a *actor) hide(n int) error {
	l := a.node.liar
	l.remember(a.world.Room())
	v := *l.newest()
	a.said++
	ghost := ident.UserID(fmt.Sprintf("@ghost%d:%s", a.said, a.node.name))
	e, err := a.built(&v, member(ghost, ghost, "join"))
	if err != nil {
		return err
	}
	l.keep(e)
	for i := range n {
		if e, err = a.built(&v, a.message(fmt.Sprintf("hidden %d", i))); err != nil {
			return err
		}
		v.extremities = []*event.Event{e}
	}
	l.send(l.victims(), e.JSON())
	return nil
}

// chain makes joins of users of its own, each resting on the one before it, the first on nothing that exists. It keeps them to
// give one at a time, and sends a message that rests on the last.
func (a *actor) chain(n int) error {
	l := a.node.liar
	l.remember(a.world.Room())
	v := l.newest()
	last := a.missing()
	for i := range n {
		user := ident.UserID(fmt.Sprintf("@chain%d:%s", i, a.node.name))
		p := member(user, user, "join")
		p.AuthEvents = append(v.authEvents(p), last)
		e, err := a.built(v, p)
		if err != nil {
			return err
		}
		l.keep(e)
		last = e.Ref()
	}
	p := a.message("at the end of a chain")
	p.AuthEvents = append(v.authEvents(p), last)
	e, err := a.built(v, p)
	if err != nil {
		return err
	}
	l.send(l.victims(), e.JSON())
	return nil
}

// forgeries is the kinds of events that a liar makes, on the oldest and the newest view that it has.
var forgeries = []struct {
	name string
	make func(a *actor, old, now *view) ([]byte, error)
}{
	{"in another's name", func(a *actor, _, now *view) ([]byte, error) {
		p := a.message("never said")
		p.Sender = a.someoneElse()
		return wire(a.built(now, p))
	}},
	{"power in another's name", func(a *actor, _, now *view) ([]byte, error) {
		p, err := a.powerful(now)
		p.Sender = a.someoneElse()
		if err != nil {
			return nil, err
		}
		return wire(a.built(now, p))
	}},
	{"a bad signature", func(a *actor, _, now *view) ([]byte, error) {
		return altered(a, now, "signatures", fmt.Sprintf(`{%q:{"ed25519:1":%q}}`, a.node.name, strings.Repeat("A", 86)))
	}},
	{"no signature", func(a *actor, _, now *view) ([]byte, error) { return altered(a, now, "signatures", `{}`) }},
	{"a wrong hash", func(a *actor, _, now *view) ([]byte, error) { return altered(a, now, "content", `{"body":"altered"}`) }},
	{"too large", func(a *actor, _, now *view) ([]byte, error) {
		return altered(a, now, "content", fmt.Sprintf(`{"body":%q}`, strings.Repeat("x", 70_000)))
	}},
	{"no object", func(*actor, *view, *view) ([]byte, error) { return []byte(`[["room_id"],null]`), nil }},
	{"power taken", func(a *actor, _, now *view) ([]byte, error) { return a.seize(now) }},
	{"power taken on old parents", func(a *actor, old, _ *view) ([]byte, error) { return a.seize(old) }},
	{"a message on old parents", func(a *actor, old, _ *view) ([]byte, error) { return a.kept(old, a.message("an old one")) }},
	{"a topic on old parents", func(a *actor, old, _ *view) ([]byte, error) {
		return a.kept(old, state("m.room.topic", "", a.node.user, `{"topic":"of a liar"}`))
	}},
	{"a ban on old parents", func(a *actor, old, _ *view) ([]byte, error) {
		return a.kept(old, member(a.node.user, a.someoneElse(), "ban"))
	}},
	{"itself joined again on old parents", func(a *actor, old, _ *view) ([]byte, error) {
		return a.kept(old, member(a.node.user, a.node.user, "join"))
	}},
	{"itself unbanned", func(a *actor, _, now *view) ([]byte, error) {
		return a.kept(now, member(a.node.user, a.node.user, "leave"))
	}},
	{"another made to join", func(a *actor, _, now *view) ([]byte, error) {
		return a.kept(now, member(a.node.user, "@nobody:a.example", "join"))
	}},
	{"join rules", func(a *actor, _, now *view) ([]byte, error) {
		return a.kept(now, state("m.room.join_rules", "", a.node.user, `{"join_rule":"private"}`))
	}},
	{"an ACL against all", func(a *actor, _, now *view) ([]byte, error) {
		return a.kept(now, state("m.room.server_acl", "", a.node.user, `{"allow":["d.example"]}`))
	}},
	{"parents that do not exist", func(a *actor, _, now *view) ([]byte, error) {
		p := a.message("after nothing")
		p.PrevEvents = []event.Ref{a.missing(), a.missing()}
		return a.kept(now, p)
	}},
	{"auth events that do not exist", func(a *actor, _, now *view) ([]byte, error) {
		p := a.message("by right of nothing")
		p.AuthEvents = append(now.authEvents(p), a.missing())
		return a.kept(now, p)
	}},
	{"auth events that are no one's business", func(a *actor, old, now *view) ([]byte, error) {
		p := a.message("by right of everything")
		for _, e := range old.extremities {
			p.AuthEvents = append(p.AuthEvents, e.Ref())
		}
		return a.kept(now, p)
	}},
	{"the greatest depth", func(a *actor, _, now *view) ([]byte, error) {
		p := a.message("deep")
		p.Depth = math.MaxInt64
		return a.kept(now, p)
	}},
	{"no depth, and a time long ago", func(a *actor, _, now *view) ([]byte, error) {
		p := state("m.room.topic", "", a.node.user, `{"topic":"of long ago"}`)
		p.Depth, p.OriginServerTS = 1, 1
		return a.kept(now, p)
	}},
	{"a time far ahead", func(a *actor, _, now *view) ([]byte, error) {
		p := state("m.room.topic", "", a.node.user, `{"topic":"of the future"}`)
		p.OriginServerTS = 1 << 52
		return a.kept(now, p)
	}},
	{"another create event", func(a *actor, _, now *view) ([]byte, error) {
		p := state("m.room.create", "", a.node.user, fmt.Sprintf(`{"creator":%q,"room_version":%q}`, a.node.user, now.version.ID))
		return wire(a.built(now, p))
	}},
	{"of another room", func(a *actor, _, now *view) ([]byte, error) {
		other := *now
		other.room = "!elsewhere:" + ident.RoomID(a.node.name)
		if now.version.HashRoomID {
			other.room = "!" + ident.RoomID(strings.Repeat("A", 43))
		}
		return wire(a.built(&other, a.message("elsewhere")))
	}},
}

func (a *actor) message(body string) event.Proto {
	a.said++
	return event.Proto{
		Sender: a.node.user, Type: "m.room.message",
		Content: fmt.Appendf(nil, `{"body":%q,"msgtype":"m.text"}`, fmt.Sprintf("%s %d: %s", a.node.name, a.said, body)),
	}
}

func state(typ, key string, sender ident.UserID, content string) event.Proto {
	return event.Proto{Sender: sender, Type: typ, StateKey: &key, Content: []byte(content)}
}

func member(sender, target ident.UserID, membership string) event.Proto {
	return state("m.room.member", string(target), sender, fmt.Sprintf(`{"membership":%q}`, membership))
}

// powerful is the power levels of a view with everything given to the liar, and nothing left to anybody else.
func (a *actor) powerful(v *view) (event.Proto, error) {
	content := map[string]any{}
	if levels := v.state[event.StateKey{Type: "m.room.power_levels"}]; levels != nil {
		var err error
		if content, err = withPower(levels, a.node.user, creatorPower); err != nil {
			return event.Proto{}, err
		}
	}
	text, err := json.Marshal(content)
	return state("m.room.power_levels", "", a.node.user, string(text)), err
}

func (a *actor) seize(v *view) ([]byte, error) {
	p, err := a.powerful(v)
	if err != nil {
		return nil, err
	}
	return a.kept(v, p)
}

// someoneElse is the user of an honest server.
func (a *actor) someoneElse() ident.UserID {
	honest := a.world.honest()
	return honest[a.rand.IntN(len(honest))].user
}

// missing is a reference to an event that does not exist.
func (a *actor) missing() event.Ref {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	id := []byte("$" + strings.Repeat("A", 43))
	for i := range 20 {
		id[1+i] = letters[a.rand.IntN(len(letters))]
	}
	if version := a.node.liar.newest().version; version.References != event.RefIDs {
		id = fmt.Appendf(nil, "$%s:%s", id[1:20], a.node.name)
	}
	return event.Ref{ID: ident.EventID(id)}
}

// built is an event on a view, signed with the liar's key as the server of whoever sends it.
func (a *actor) built(v *view, p event.Proto) (*event.Event, error) {
	p.RoomID = v.room
	if p.PrevEvents == nil {
		for _, e := range v.extremities {
			p.PrevEvents = append(p.PrevEvents, e.Ref())
		}
	}
	if p.AuthEvents == nil {
		p.AuthEvents = v.authEvents(p)
	}
	if p.Depth == 0 {
		for _, e := range v.extremities {
			p.Depth = max(p.Depth, e.Depth()+1)
		}
	}
	if p.OriginServerTS == 0 {
		p.OriginServerTS = time.Now().UnixMilli()
	}
	return event.Build(v.version, p, p.Sender.Server(), a.node.key)
}

// kept is the text of an event for which the liar answers when it is asked for it.
func (a *actor) kept(v *view, p event.Proto) ([]byte, error) {
	e, err := a.built(v, p)
	if err != nil {
		return nil, err
	}
	a.node.liar.keep(e)
	return e.JSON(), nil
}

func wire(e *event.Event, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	return e.JSON(), nil
}

// altered is a message of which one member was changed after it was signed.
func altered(a *actor, v *view, name, value string) ([]byte, error) {
	text, err := wire(a.built(v, a.message("altered")))
	if err != nil {
		return nil, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	members[name] = json.RawMessage(value)
	var out bytes.Buffer
	err = json.NewEncoder(&out).Encode(members)
	return out.Bytes(), err
}

// authEvents is what the rules have an event of this kind rest on, as far as a view has it.
func (v *view) authEvents(p event.Proto) (refs []event.Ref) {
	content, err := canonicaljson.Parse(p.Content, canonicaljson.Lenient)
	if err != nil {
		return nil
	}
	for _, slot := range auth.Needed(v.version, p.Type, p.StateKey, p.Sender, content) {
		if e := v.state[slot]; e != nil {
			refs = append(refs, e.Ref())
		}
	}
	return refs
}
