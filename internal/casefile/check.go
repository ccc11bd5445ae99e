// SPDX-License-Identifier: Apache-2.0

package casefile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// The verdicts.
const (
	Accepted   = "accepted"
	SoftFailed = "soft_failed" // refused by the current state only (P-33), or not signed by the policy server (M-104)
	Rejected   = "rejected"    // refused by its auth events, or by the state before it (P-31)
	Dropped    = "dropped"     // malformed, or not signed (P-15, P-25)
	Redacted   = "redacted"    // the content hash does not match, and the redacted copy is accepted (P-15)
)

// Verdict is what becomes of an event on receipt, and why.
type Verdict struct {
	EventID ident.EventID `json:"event_id"` // "" if the event is too malformed to have one
	RoomID  ident.RoomID  `json:"room_id"`
	Verdict string        `json:"verdict"`
	Checks  []Check       `json:"checks"` // P-25 to P-30 in order; P-26 twice, for the signatures and for the content hash
	// Redacted is the events around the judged one that were taken as their redacted copies (P-15).
	Redacted []ident.EventID `json:"redacted,omitempty"`
}

// Check is one check on receipt.
type Check struct {
	ID     string `json:"id"`
	Rule   string `json:"rule"` // the rule that decided, "" if the check was not made
	OK     *bool  `json:"ok"`   // nil if the check was not made; Detail says why
	Detail string `json:"detail"`
}

// Decisive is the check that decided against the event; ok is false for an accepted one.
func (v *Verdict) Decisive() (c Check, ok bool) {
	for _, c := range v.Checks {
		if c.OK == nil || *c.OK {
			continue
		}
		if c.ID != "P-26" || v.Verdict == Dropped || v.Verdict == Redacted {
			return c, true
		}
	}
	return Check{}, false
}

// CheckEvent makes the checks on receipt of a PDU (server-server API, "Checks performed on receipt of a PDU"; P-25 to P-30) on
// the event of a file. The file is an object with room_version; event; auth_events and state, arrays of PDUs; and optionally
// current_state, an array of PDUs, and keys, {"server": {"ed25519:id": "base64"}}. auth_events may hold more than the event
// lists; what it lacks is looked for in state. The error says what is wrong with the file.
func CheckEvent(file []byte) (*Verdict, error) {
	o, err := parseObject(file, []string{"room_version", "event", "auth_events", "state"}, []string{"current_state", "keys"})
	if err != nil {
		return nil, err
	}
	c, err := o.eventCase()
	if err != nil {
		return nil, err
	}
	if err := c.judge(); err != nil {
		return nil, err
	}
	c.verdict.Redacted = c.pool.redacted
	return &c.verdict, nil
}

// eventCase is an event and what it is judged by.
type eventCase struct {
	wire    json.RawMessage
	pool    *pool
	before  []*event.Event
	current []*event.Event // nil if the file does not tell
	keys    keyTable       // nil if the file has none

	event    *event.Event // once it is parsed
	verdict  Verdict
	mismatch bool
}

func (o object) eventCase() (*eventCase, error) {
	v, err := o.version()
	if err != nil {
		return nil, err
	}
	c := &eventCase{wire: o["event"], pool: newPool(v)}
	if c.wire[0] != '{' {
		return nil, errors.New("event is not an object")
	}
	list, err := o.pdus("auth_events")
	if err != nil {
		return nil, err
	}
	if _, err := c.pool.add("auth_events", list); err != nil {
		return nil, err
	}
	if c.before, err = o.state(c.pool, "state"); err != nil {
		return nil, err
	}
	if _, ok := o["current_state"]; ok {
		if c.current, err = o.state(c.pool, "current_state"); err != nil {
			return nil, err
		}
	}
	c.keys, err = o.keys()
	return c, err
}

// state reads an array of events that is a room state.
func (o object) state(p *pool, member string) ([]*event.Event, error) {
	list, err := o.pdus(member)
	if err != nil {
		return nil, err
	}
	events, err := p.add(member, list)
	if err != nil {
		return nil, err
	}
	for i, e := range events {
		if i > 0 && e.RoomID() != events[i-1].RoomID() {
			return nil, fmt.Errorf("%s[%d]: %s is of room %s, the event before it of %s", member, i, e.ID(), e.RoomID(), events[i-1].RoomID())
		}
	}
	_, err = state(member, events)
	return events, err
}

// receiptChecks is the checks in order. One that says false ends the judging; those after it are listed as not reached.
var receiptChecks = []struct {
	id   string
	make func(c *eventCase, id string) (goOn bool, err error)
}{
	{"P-25", (*eventCase).checkFormat},
	{"P-26", (*eventCase).checkSignatures},
	{"P-26", (*eventCase).checkHash},
	{"P-27", (*eventCase).checkAuthEvents},
	{"P-28", (*eventCase).checkStateBefore},
	{"P-29", (*eventCase).checkCurrentState},
	{"P-30", (*eventCase).checkPolicy},
}

func (c *eventCase) judge() error {
	c.verdict.Verdict = Accepted
	ended := false
	for _, check := range receiptChecks {
		if ended {
			c.skip(check.id, "not reached")
			continue
		}
		goOn, err := check.make(c, check.id)
		if err != nil {
			return err
		}
		ended = !goOn
	}
	if c.verdict.Verdict == Accepted && c.mismatch {
		c.verdict.Verdict = Redacted
	}
	return nil
}

func (c *eventCase) add(id string, r auth.Result) {
	c.verdict.Checks = append(c.verdict.Checks, Check{ID: id, Rule: r.Rule, OK: &r.OK, Detail: r.Detail})
}

func (c *eventCase) skip(id, why string) {
	c.verdict.Checks = append(c.verdict.Checks, Check{ID: id, Detail: why})
}

// refuse notes a check that decides.
func (c *eventCase) refuse(id, verdict, rule, detail string) {
	c.verdict.Verdict = verdict
	c.add(id, auth.Result{Rule: rule, Detail: detail})
}

func (c *eventCase) checkFormat(id string) (bool, error) {
	e, err := event.Parse(c.pool.version, c.wire)
	if err != nil {
		rule, detail := "P-25", err.Error()
		if malformed, ok := errors.AsType[*event.FormatError](err); ok {
			rule, detail = malformed.Rule, malformed.Detail
		}
		c.verdict.EventID, c.verdict.RoomID = c.claims()
		c.refuse(id, Dropped, rule, detail)
		return false, nil
	}
	c.event, c.mismatch = e, e.HashMismatch()
	c.verdict.EventID, c.verdict.RoomID = e.ID(), e.RoomID()
	c.add(id, auth.Result{OK: true, Rule: "P-25", Detail: "well-formed for room version " + c.pool.version.ID})
	return true, nil
}

// claims is what a malformed event says of itself.
func (c *eventCase) claims() (id ident.EventID, room ident.RoomID) {
	var members map[string]json.RawMessage
	if json.Unmarshal(c.wire, &members) != nil {
		return "", ""
	}
	var text string
	if json.Unmarshal(members["room_id"], &text) == nil {
		room, _ = ident.ParseRoomID(text)
	}
	text = ""
	if c.pool.version.EventIDFormat == event.IDField && json.Unmarshal(members["event_id"], &text) == nil {
		id, _ = ident.ParseEventID(text)
	}
	return id, room
}

func (c *eventCase) checkSignatures(id string) (bool, error) {
	if c.keys == nil {
		c.skip(id, "signatures not checked: the file gives no keys")
		return true, nil
	}
	if err := event.VerifySignatures(context.Background(), []*event.Event{c.event}, c.keys)[0]; err != nil {
		c.refuse(id, Dropped, "P-15", err.Error())
		return false, nil
	}
	signed := auth.Result{OK: true, Rule: "P-17", Detail: "signed by a server that had a hand in it (P-18)"}
	if servers := event.RequiredServers(c.event); len(servers) > 0 {
		signed.Detail = fmt.Sprintf("signed by %s", servers)
	}
	c.add(id, signed)
	return true, nil
}

// checkHash: an event whose content is not what was hashed goes on as its redacted copy.
func (c *eventCase) checkHash(id string) (bool, error) {
	if c.mismatch {
		c.add(id, auth.Result{Rule: "P-15", Detail: "the content hash does not match: judged is the redacted copy"})
		return true, nil
	}
	c.add(id, auth.Result{OK: true, Rule: "P-10", Detail: "the content hash matches"})
	return true, nil
}

// checkAuthEvents: the event's auth events are the right ones, and allow it.
func (c *eventCase) checkAuthEvents(id string) (bool, error) {
	listed := make([]*event.Event, 0, len(c.event.AuthEvents())+1)
	for i, a := range c.event.AuthEvents() {
		e, err := c.pool.Event(a)
		if err != nil {
			return false, fmt.Errorf("event: its auth_events[%d]: %w, neither in auth_events nor in state", i, err)
		}
		listed = append(listed, e)
	}
	result := auth.CheckAuthEvents(c.event, listed, func(ident.EventID) bool { return false })
	if result.OK {
		if create := c.pool.create(c.event.RoomID()); create != nil { // the room id stands for it
			listed = append(listed, create)
		}
		result = auth.Check(c.event, auth.StateOf(listed))
	}
	return c.decide(id, result, Rejected), nil
}

func (c *eventCase) checkStateBefore(id string) (bool, error) {
	if err := c.sameRoom("state", c.before); err != nil {
		return false, err
	}
	return c.decide(id, auth.Check(c.event, auth.StateOf(c.before)), Rejected), nil
}

func (c *eventCase) checkCurrentState(id string) (bool, error) {
	if c.current == nil {
		c.skip(id, "not checked: the file gives no current_state")
		return true, nil
	}
	if err := c.sameRoom("current_state", c.current); err != nil {
		return false, err
	}
	return c.decide(id, auth.Check(c.event, auth.StateOf(c.current)), SoftFailed), nil
}

// sameRoom: a state of another room says nothing about the event. All its events are of one room.
func (c *eventCase) sameRoom(member string, state []*event.Event) error {
	if len(state) > 0 && state[0].RoomID() != c.event.RoomID() {
		return fmt.Errorf("%s is of room %s, the event of %s", member, state[0].RoomID(), c.event.RoomID())
	}
	return nil
}

func (c *eventCase) decide(id string, result auth.Result, refused string) bool {
	c.add(id, result)
	if !result.OK {
		c.verdict.Verdict = refused
	}
	return result.OK
}
