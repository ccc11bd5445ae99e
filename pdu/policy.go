// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/policy"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Policy servers are asked outside of the room's turn, so that a room does not stand still for one.
//
//	an event of ours ──► judged, up to P-30 ──► asked ──► signed: judged again and sent   else: the caller gets a *PolicyError
//	a received event ──► judged, up to P-30 ──► stays staged ──► asked ──► judged again: accepted, or soft-failed
//
// A received event that waits for the answer is staged with a lease: whatever happens to the one that asks, it is judged anew
// when that ends. Other events of the room go on, but for those that follow it. An unreachable policy server costs one
// timeout for all events that wait: they are soft-failed without being asked about, and AskPolicy can bring them back.

// PolicyError is the error for an event that the room's policy server did not sign. Nothing of it was stored, or it stays
// soft-failed. Code and Message are the server's own words, for the one who wanted to send the event (M-104).
type PolicyError struct {
	Server  ident.ServerName
	Refused bool // it does not want the event; otherwise it could not be asked properly, and trying again later may help
	Status  int  // HTTP status of its answer, 0 when there was none
	Code    spec.MatrixErrorCode
	Message string
	Err     error
}

// Error names the server and what it said.
func (p *PolicyError) Error() string {
	if p.Refused {
		return fmt.Sprintf("policy server %s refused: %s: %s", p.Server, p.Code, p.Message)
	}
	return fmt.Sprintf("policy server %s could not be asked: %v", p.Server, p.Err)
}

// Unwrap gives Err.
func (p *PolicyError) Unwrap() error { return p.Err }

// refusal is the error as an answer to another server.
func (p *PolicyError) refusal() error {
	if p.Refused {
		return refuse(http.StatusForbidden, p.Code, "%s", p.Message)
	}
	return refuse(http.StatusBadGateway, spec.ErrorUnknown, "the room's policy server %s could not be asked", p.Server)
}

// askSignature has a policy server sign an event (E-36): the event with the signature, or a *PolicyError.
func (e *Engine) askSignature(ctx context.Context, server policy.Server, unsigned *event.Event) (*event.Event, error) {
	answer, err := e.client.Do(ctx, server.Name, transport.Call{
		Method: http.MethodPost, Path: transport.Path("_matrix", "policy", "v1", "sign"), Body: unsigned.JSON(),
		MaxReply: maxPolicyReply, Timeout: policyTimeout,
	})
	if err != nil {
		return nil, policyErrorOf(server.Name, err)
	}
	signed, err := server.Merge(unsigned, answer.Body)
	if err != nil {
		return nil, &PolicyError{Server: server.Name, Status: answer.Status, Err: err}
	}
	return signed, nil
}

// policyErrorOf tells a refusal from all else that can go wrong: it is a Matrix error with a status of 4xx, other than that there is
// no policy server or no room of that name, or that it is asked too much.
func policyErrorOf(server ident.ServerName, err error) *PolicyError {
	p := &PolicyError{Server: server, Err: err}
	var failure *transport.Failure
	if errors.As(err, &failure) {
		p.Status, p.Code, p.Message = failure.Status, failure.Code, failure.Message
		p.Refused = failure.Code == spec.ErrorForbidden && failure.Status >= 400 && failure.Status < 500
	}
	return p
}

// acceptSigned is accept outside of the turn: build gives the event in the room's turn, and where its policy server has not
// signed it, that is asked first. Should the room name another one meanwhile, that one is asked too.
func (e *Engine) acceptSigned(ctx context.Context, id ident.RoomID, build func(*batch) (*event.Event, error),
	accept func(*batch, *event.Event) error,
) error {
	var wanted *event.Event
	for range maxPolicyChanges {
		err := e.do(ctx, id, false, func(b *batch) (err error) {
			if wanted == nil {
				if wanted, err = build(b); err != nil {
					return err
				}
			}
			return accept(b, wanted)
		})
		var unsigned *unsignedError
		if !errors.As(err, &unsigned) {
			return err
		}
		if wanted, err = e.askSignature(ctx, unsigned.server, wanted); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s: the policy server has changed %d times", id, maxPolicyChanges)
}

// question is a staged event that its policy server is to be asked about.
type question struct {
	staging persistence.Staging
	server  policy.Server
}

func (q question) note() string { return "waits for the policy server " + string(q.server.Name) }

// askPolicyServer has a room's policy server asked about staged events, one after the other. Those for which there is no space
// come again when their lease ends.
func (e *Engine) askPolicyServer(id ident.RoomID, questions []question) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(questions) == 0 || e.plan.closed {
		return
	}
	queue, asking := e.plan.unsigned[id]
	if !asking && len(e.plan.unsigned) >= maxPolicyRooms {
		return
	}
	e.plan.unsigned[id] = append(queue, questions[:min(len(questions), max(0, maxPolicyQueue-len(queue)))]...)
	if !asking {
		e.running.Add(1)
		go e.askPolicyServers(id)
	}
}

// askPolicyServers works off what is queued for a room. It is the only one to do so.
func (e *Engine) askPolicyServers(id ident.RoomID) {
	defer e.running.Done()
	a := &policyAsker{e: e, room: id, silent: map[ident.ServerName]error{}}
	for {
		e.mu.Lock()
		queue := e.plan.unsigned[id]
		n := min(len(queue), maxPolicyAsked)
		if n == 0 || e.plan.closed {
			delete(e.plan.unsigned, id)
			e.mu.Unlock()
			return
		}
		e.plan.unsigned[id] = queue[n:]
		e.mu.Unlock()
		if err := a.work(queue[:n]); err != nil && e.stopped.Err() == nil && !errors.Is(err, persistence.ErrClosed) {
			e.trace.Emit(trace.PDURoomFailed{Room: string(id), Err: fmt.Errorf("ask policy server: %w", err)})
		}
	}
}

// policyAsker asks about the events of one room. It belongs to its goroutine, but for what mu guards.
type policyAsker struct {
	e    *Engine
	room ident.RoomID

	mu     sync.Mutex
	silent map[ident.ServerName]error // could not be reached: nothing more is asked of them, for their answer takes long
}

// work asks about some events and has them judged.
func (a *policyAsker) work(questions []question) error {
	begun := time.Now()
	records, err := a.e.records(a.e.stopped, asked(questions))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(a.e.stopped, policyPatience)
	defer cancel()
	answers, signed := make([]answer, len(questions)), make([]*event.Event, len(questions))
	var asking sync.WaitGroup
	slots := make(chan struct{}, maxPolicyAtOnce)
	for i, q := range questions {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			answers[i] = answer{event: q.staging.ID, server: q.server}
			if r := records[q.staging.ID]; r != nil {
				signed[i], answers[i].problem = a.ask(ctx, q.server, r.event)
			}
		})
	}
	asking.Wait()
	if a.e.stopped.Err() != nil {
		return nil
	}
	a.e.tellAsked(a.room, answers, begun)
	return a.e.do(a.e.stopped, a.room, true, func(b *batch) error { return b.judgeAnswered(answers, signed) })
}

func (a *policyAsker) ask(ctx context.Context, server policy.Server, unsigned *event.Event) (*event.Event, error) {
	a.mu.Lock()
	silent := a.silent[server.Name]
	a.mu.Unlock()
	if silent != nil {
		return nil, silent
	}
	signed, err := a.e.askSignature(ctx, server, unsigned)
	var failure *PolicyError
	if errors.As(err, &failure) && failure.Status == 0 {
		a.mu.Lock()
		a.silent[server.Name] = err
		a.mu.Unlock()
	}
	return signed, err
}

func (e *Engine) tellAsked(room ident.RoomID, answers []answer, begun time.Time) {
	t := trace.PDUPolicyAsked{Room: string(room), Server: string(answers[0].server.Name), Asked: len(answers), Duration: time.Since(begun)}
	for _, given := range answers {
		if given.problem == nil {
			t.Signed++
		} else {
			t.Problem = given.problem.Error()
		}
	}
	e.trace.Emit(t)
}

func asked(questions []question) []ident.EventID {
	ids := make([]ident.EventID, len(questions))
	for i, q := range questions {
		ids[i] = q.staging.ID
	}
	return ids
}

// judgeAnswered judges events about which the policy server was asked, and those that have waited for them.
func (b *batch) judgeAnswered(answers []answer, signed []*event.Event) error {
	if b.head.membership != Joined {
		return nil
	}
	var staged []persistence.Staging
	for i, given := range answers {
		r, err := b.takeAnswer(given, signed[i])
		if err != nil {
			return err
		}
		if r == nil {
			continue
		}
		s, found, err := b.stagingOf(r)
		if err != nil {
			return err
		}
		if found {
			staged = append(staged, s)
		}
	}
	if err := b.judgeStaged(staged); err != nil {
		return err
	}
	return b.judgeWaiting()
}

// takeAnswer notes what a policy server said about an event, and gives the event, nil if it has been judged. A signature is stored
// with the event's other ones, in the same job as the verdict (M-103).
func (b *batch) takeAnswer(given answer, signed *event.Event) (*record, error) {
	r, err := b.record(given.event)
	if err != nil || r == nil || r.inGraph {
		return nil, err
	}
	b.answers[given.event] = given
	if signed != nil && r.by == "" {
		r = b.change(r)
		r.event, r.rewritten = signed, true
	}
	return r, nil
}
