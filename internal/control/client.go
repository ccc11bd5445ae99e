// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/strata-matrix/strata/internal/inspect"
)

// prefix is the path of operations; its version changes when their meaning does.
const prefix = "/v1/"

// Client asks one server, or one file. Any goroutine may use it.
type Client struct {
	web   *http.Client
	where string // for error messages
}

// Dial makes a client of the server at a socket. It connects with the first question.
func Dial(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		if err := checkPath(path); err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{where: path, web: &http.Client{Transport: &http.Transport{DialContext: dial, DisableCompression: true}}}
}

// Direct makes a client of a handler in this process.
func Direct(where string, handler http.Handler) *Client {
	return &Client{where: where, web: &http.Client{Transport: inProcess{handler}}}
}

// Close closes idle connections.
func (c *Client) Close() { c.web.CloseIdleConnections() }

// Info tells whom one talks to.
func (c *Client) Info(ctx context.Context) (Info, error) { return ask(ctx, c, opInfo, struct{}{}) }

// CreateRoom makes a room.
func (c *Client) CreateRoom(ctx context.Context, order CreateRoom) (Room, error) {
	return ask(ctx, c, opCreateRoom, order)
}

// Join makes a user join a room.
func (c *Client) Join(ctx context.Context, order Membership) (Room, error) {
	return ask(ctx, c, opJoin, order)
}

// Leave makes a user leave a room.
func (c *Client) Leave(ctx context.Context, order Membership) (Room, error) {
	return ask(ctx, c, opLeave, order)
}

// Send sends a message or a piece of state.
func (c *Client) Send(ctx context.Context, order Send) (Sent, error) {
	return ask(ctx, c, opSend, order)
}

// Redact sends the redaction of an event.
func (c *Client) Redact(ctx context.Context, order Redact) (Sent, error) {
	return ask(ctx, c, opRedact, order)
}

// Compare holds our state of a room against another server's.
func (c *Client) Compare(ctx context.Context, q Compare) (Comparison, error) {
	return ask(ctx, c, opCompare, q)
}

// Backfill fetches some of a room's history, Limit events or so.
func (c *Client) Backfill(ctx context.Context, order RoomRef) (Backfilled, error) {
	return ask(ctx, c, opBackfill, order)
}

// Alarms lists resolutions that gave older state back.
func (c *Client) Alarms(ctx context.Context, q inspect.AlarmQuery) ([]inspect.Alarm, error) {
	return ask(ctx, c, opAlarms, q)
}

// Refused lists events that were not plainly accepted.
func (c *Client) Refused(ctx context.Context, q inspect.RefusedQuery) ([]inspect.Refused, error) {
	return ask(ctx, c, opRefused, q)
}

// FetchEvent asks another server for an event.
func (c *Client) FetchEvent(ctx context.Context, q FetchEvent) (Fetched, error) {
	return ask(ctx, c, opFetch, q)
}

// Rooms lists the rooms.
func (c *Client) Rooms(ctx context.Context) ([]inspect.Room, error) {
	return ask(ctx, c, opRooms, struct{}{})
}

// Room shows one room.
func (c *Client) Room(ctx context.Context, q ShowRoom) (inspect.RoomDetail, error) {
	return ask(ctx, c, opRoom, q)
}

// Timeline lists accepted events of a room.
func (c *Client) Timeline(ctx context.Context, q inspect.TimelineQuery) ([]inspect.Event, error) {
	return ask(ctx, c, opTimeline, q)
}

// State shows a room's state, now or at an event.
func (c *Client) State(ctx context.Context, q inspect.StateQuery) ([]inspect.Event, error) {
	return ask(ctx, c, opState, q)
}

// Graph shows a part of a room's graph.
func (c *Client) Graph(ctx context.Context, q inspect.GraphQuery) ([]inspect.Node, error) {
	return ask(ctx, c, opGraph, q)
}

// Heads lists a room's forward extremities.
func (c *Client) Heads(ctx context.Context, q RoomRef) ([]inspect.Head, error) {
	return ask(ctx, c, opHeads, q)
}

// Gaps lists what is missing of a room.
func (c *Client) Gaps(ctx context.Context, q RoomRef) (inspect.Gaps, error) {
	return ask(ctx, c, opGaps, q)
}

// Event shows one event.
func (c *Client) Event(ctx context.Context, q GetEvent) (inspect.Event, error) {
	return ask(ctx, c, opEvent, q)
}

// Explain tells why an event ended as it did.
func (c *Client) Explain(ctx context.Context, q EventRef) (inspect.Explanation, error) {
	return ask(ctx, c, opExplain, q)
}

// Judge judges an event that was refused once more, and tells how that ended.
func (c *Client) Judge(ctx context.Context, q EventRef) (inspect.Explanation, error) {
	return ask(ctx, c, opJudge, q)
}

// Journey tells where the time went on an event's way.
func (c *Client) Journey(ctx context.Context, q EventRef) (inspect.Journey, error) {
	return ask(ctx, c, opJourney, q)
}

// ask performs an operation. Its errors are *Error.
func ask[Q, A any](ctx context.Context, c *Client, op operation[Q, A], question Q) (answer A, err error) {
	body, err := json.Marshal(question)
	if err != nil {
		return answer, usage(fmt.Errorf("question of %s: %w", op.name, err))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://strata"+prefix+op.name, bytes.NewReader(body))
	if err != nil {
		return answer, Explain(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.web.Do(request)
	if err != nil {
		return answer, c.explain(ctx, err)
	}
	defer response.Body.Close()
	decoder := json.NewDecoder(io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode == http.StatusOK {
		if err := decoder.Decode(&answer); err != nil {
			return answer, &Error{Kind: Failed, Message: fmt.Sprintf("answer of %s: %v", c.where, err)}
		}
		return answer, nil
	}
	var refusal struct {
		Error *Error `json:"error"`
	}
	if err := decoder.Decode(&refusal); err != nil || refusal.Error == nil {
		return answer, &Error{Kind: Failed, Message: fmt.Sprintf("%s answers %s: is it Strata's socket?", c.where, response.Status)}
	}
	return answer, refusal.Error
}

// explain tells why no answer came, and what to do about it.
func (c *Client) explain(ctx context.Context, err error) *Error {
	var known *Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Error{Kind: Unreachable, Message: "no answer from " + c.where + " in time"}
	case ctx.Err() != nil:
		return &Error{Kind: Failed, Message: "interrupted: what was ordered may happen or not"}
	case errors.Is(err, fs.ErrNotExist):
		return &Error{Kind: Unreachable, Message: "no server at " + c.where +
			": start one with strata serve, or name its --data-dir or --socket; --db FILE reads the file of a stopped one"}
	case errors.Is(err, syscall.ECONNREFUSED) && !isSocket(c.where):
		return &Error{Kind: Unreachable, Message: "no server behind " + c.where + ": it is no socket"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Kind: Unreachable, Message: "no server behind " + c.where +
			": it has ended without cleaning up; start it again, or read its file with --db"}
	case errors.Is(err, fs.ErrPermission):
		return &Error{Kind: Denied, Message: "no right to talk to " + c.where + ": be the user that the server runs as"}
	}
	return &Error{Kind: Unreachable, Message: fmt.Sprintf("ask %s: %v", c.where, err)}
}

// isSocket tells what is at a path; without right to see, it may be one.
func isSocket(path string) bool {
	info, err := os.Stat(path)
	return err != nil || info.Mode()&fs.ModeSocket != 0
}
