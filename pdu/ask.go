// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/jsonstream"
)

var (
	errSilent = errors.New("did not answer before")
	errBudget = errors.New("the budget is used up")
)

// spending is what questions to other servers have cost, or may cost (P-93).
type spending struct {
	requests int
	bytes    int64
}

// inquiry is what one piece of work asks other servers about a room, within a budget. It belongs to one goroutine.
type inquiry struct {
	notary  ident.ServerName // asked for keys that their owners do not give; "" for nobody
	e       *Engine
	head    *room
	budget  spending
	spent   spending
	silent  map[ident.ServerName]bool      // did not answer: they are not asked again, since that may take long
	refused map[ident.ServerName]bool      // gave nothing because we are not in the room
	asked   map[ident.ServerName]string    // how the last question to each ended
	strict  bool                           // a state is refused when a key is not to be had now
	chunk   map[ident.EventID]*event.Event // events that states are asked for and that are not stored
}

func (e *Engine) inquire(head *room, budget spending) *inquiry {
	return &inquiry{e: e, head: head, budget: budget, silent: map[ident.ServerName]bool{}, refused: map[ident.ServerName]bool{}, asked: map[ident.ServerName]string{}}
}

// ask sends one request. what names it in records.
func (q *inquiry) ask(ctx context.Context, server ident.ServerName, what string, call transport.Call) ([]byte, error) {
	if q.silent[server] {
		return nil, fmt.Errorf("%s: %w", server, errSilent)
	}
	if q.exhausted() {
		return nil, errBudget
	}
	if call.MaxReply == 0 {
		call.MaxReply = transport.DefaultMaxReply
	}
	call.MaxReply = min(call.MaxReply, q.budget.bytes-q.spent.bytes)
	q.spent.requests++
	answer, err := q.e.client.Do(ctx, server, call)
	q.spent.bytes += int64(len(answer.Body))
	if err != nil {
		var failure *transport.Failure
		if errors.As(err, &failure) && failure.Class != transport.Class4xxContent {
			q.silent[server] = true
		}
		if isRefusal(err) {
			q.refused[server] = true
		}
		q.note(server, what, err.Error())
		return nil, fmt.Errorf("ask %s for %s: %w", server, what, err)
	}
	q.note(server, what, "answered")
	return answer.Body, nil
}

func (q *inquiry) exhausted() bool {
	return q.spent.requests >= q.budget.requests || q.spent.bytes >= q.budget.bytes
}

func (q *inquiry) note(server ident.ServerName, what, how string) {
	q.asked[server] = what + ": " + how
}

// missingEvents asks a server for events between our extremities and one that it sent (E-09).
func (q *inquiry) missingEvents(ctx context.Context, server ident.ServerName, latest ident.EventID) ([][]byte, error) {
	extremities := q.head.extremities
	earliest := make([]ident.EventID, 0, min(len(extremities), maxOwnPrevEvents))
	for _, x := range extremities[:min(len(extremities), maxOwnPrevEvents)] {
		earliest = append(earliest, x.record.event.ID())
	}
	body, err := canonicaljson.Marshal(map[string]any{
		"earliest_events": earliest, "latest_events": []ident.EventID{latest}, "limit": maxFromGap, "min_depth": 0,
	})
	if err != nil {
		return nil, err
	}
	answer, err := q.ask(ctx, server, "missing events", transport.Call{
		Method: http.MethodPost, Path: federationPath("get_missing_events", string(q.head.id)), Body: body, Timeout: requestTimeout,
	})
	if err != nil {
		return nil, err
	}
	events, err := eventList(answer, "events", maxFromGap)
	if err == nil {
		q.note(server, "missing events", fmt.Sprintf("%d events", len(events)))
	}
	return events, err
}

// event asks a server for one event (E-12).
func (q *inquiry) event(ctx context.Context, server ident.ServerName, id ident.EventID) ([][]byte, error) {
	answer, err := q.ask(ctx, server, "event", transport.Call{
		Method: http.MethodGet, Path: federationPath("event", string(id)), Timeout: requestTimeout,
	})
	if err != nil {
		return nil, err
	}
	return eventList(answer, "pdus", 1)
}

// stateIDs asks a server for the ids of the state before an event and of its auth chain (E-11, P-87).
func (q *inquiry) stateIDs(ctx context.Context, server ident.ServerName, at ident.EventID) (state, chain []ident.EventID, err error) {
	body, err := q.askState(ctx, server, "state_ids", at, maxStateIDsReply, stateIDsTimeout)
	if err != nil {
		return nil, nil, err
	}
	if state, err = givenIDs(body, "pdu_ids"); err == nil {
		chain, err = givenIDs(body, "auth_chain_ids")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read state ids: %w", err)
	}
	q.note(server, "state_ids", fmt.Sprintf("%d events, %d in the auth chain", len(state), len(chain)))
	return state, chain, nil
}

// givenIDs reads a list of event ids. One that is longer than any real one is refused whole: a part of a state is no state.
func givenIDs(body []byte, member string) (ids []ident.EventID, err error) {
	seen := map[ident.EventID]bool{}
	err = jsonstream.Object(body, map[string]jsonstream.Member{member: func(in *json.Decoder) error {
		more, err := jsonstream.List(in, maxGivenState, func(element json.RawMessage) error {
			var text string
			if err := json.Unmarshal(element, &text); err != nil {
				return err
			}
			id, err := ident.ParseEventID(text)
			if err == nil && !seen[id] {
				seen[id] = true
				ids = append(ids, id)
			}
			return err
		})
		if more {
			return fmt.Errorf("the answer names more than %d events", maxGivenState)
		}
		return err
	}})
	return ids, err
}

// state asks a server for the events that stateIDs names (E-10).
func (q *inquiry) state(ctx context.Context, server ident.ServerName, at ident.EventID) ([][]byte, error) {
	body, err := q.askState(ctx, server, "state", at, maxStateReply, wholeTimeout)
	if err != nil {
		return nil, err
	}
	events, err := eventList(body, "pdus", maxGivenState)
	if err != nil {
		return nil, err
	}
	chain, err := eventList(body, "auth_chain", maxGivenState)
	return append(events, chain...), err
}

func (q *inquiry) askState(ctx context.Context, server ident.ServerName, what string, at ident.EventID, most int64, timeout time.Duration) (
	[]byte, error,
) {
	return q.ask(ctx, server, what, transport.Call{
		Method: http.MethodGet, Path: federationPath(what, string(q.head.id)), Query: url.Values{"event_id": {string(at)}},
		MaxReply: most, Timeout: timeout,
	})
}

func federationPath(segments ...string) string {
	return transport.Path(append([]string{"_matrix", "federation", "v1"}, segments...)...)
}

// eventList is the events in one member of an answer; more than were asked for are ignored, and so is what is longer than any event.
func eventList(body []byte, member string, limit int) (list [][]byte, err error) {
	found := false
	err = jsonstream.Object(body, map[string]jsonstream.Member{member: func(in *json.Decoder) error {
		found = true
		more, err := jsonstream.List(in, limit, func(element json.RawMessage) error {
			if len(element) <= maxEventText {
				list = append(list, element)
			}
			return nil
		})
		if more {
			return jsonstream.ErrEnough
		}
		return err
	}})
	if err == nil && !found {
		err = errors.New("there is none")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s of the answer: %w", member, err)
	}
	return list, nil
}
