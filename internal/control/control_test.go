// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
)

// nowhere is a network in which no other server answers.
type nowhere struct{}

func (nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: fmt.Errorf("no route to %s", r.URL.Host)}
}

// newServer is a server with a client that talks to it over a socket.
func newServer(t *testing.T) *Client {
	t.Helper()
	dir := t.TempDir()
	server, err := messaging.Open(t.Context(), messaging.Config{
		ServerName: "one.example", DataDir: dir, RoundTripper: nowhere{}, NoSync: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, SocketName)
	listener, err := Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- Serve(ctx, listener, NewHandler(server, NewWatch(), "v1")) }()
	client := Dial(socket)
	t.Cleanup(func() {
		client.Close()
		cancel()
		if err := errors.Join(<-served, server.Close()); err != nil {
			t.Error(err)
		}
	})
	return client
}

// kindOfCall is the kind of error a call ends with, "" for none.
func kindOfCall(_ any, err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if !errors.As(err, &e) {
		return Kind(fmt.Sprintf("%T", err))
	}
	return e.Kind
}

func TestOrdersAndQuestions(t *testing.T) {
	client := newServer(t)
	ctx := t.Context()
	info, err := client.Info(ctx)
	if err != nil || info.ServerName != "one.example" || info.Version != "v1" || info.PID == 0 {
		t.Fatalf("info %+v, %v", info, err)
	}
	room, err := client.CreateRoom(ctx, CreateRoom{Creator: "alice", Version: "11", Name: "Tea", Public: true})
	if err != nil {
		t.Fatal(err)
	}
	if room.User != "@alice:one.example" || room.Version != "11" || !strings.HasPrefix(room.RoomID, "!") {
		t.Errorf("created %+v", room)
	}
	if _, err := client.Join(ctx, Membership{User: "@bob:one.example", Room: room.RoomID}); err != nil {
		t.Fatal(err)
	}
	sent, err := client.Send(ctx, Send{
		User: "bob", Room: room.RoomID, Type: "m.room.message", Content: json.RawMessage(`{"body":"hello","msgtype":"m.text"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	e, err := client.Event(ctx, GetEvent{EventID: sent.EventID, Wait: 1})
	if err != nil || e.Sender != "@bob:one.example" || e.Outcome != "accepted" || string(e.Content) != `{"body":"hello","msgtype":"m.text"}` {
		t.Errorf("event %+v, %v", e, err)
	}
	detail, err := client.Room(ctx, ShowRoom{RoomID: room.RoomID, State: true})
	if err != nil || detail.Members != 2 || len(detail.State) != 7 || detail.Name != "Tea" {
		t.Errorf("room %+v, %v; want 2 members and 7 pieces of state", detail, err)
	}
	key := ""
	if _, err := client.Send(ctx, Send{User: "alice", Room: room.RoomID, Type: "m.room.topic", StateKey: &key, Content: json.RawMessage(`{"topic":"x"}`)}); err != nil {
		t.Error(err)
	}
	timeline, err := client.Timeline(ctx, inspect.TimelineQuery{RoomID: room.RoomID, Limit: 2})
	if err != nil || len(timeline) != 2 || timeline[0].EventID != sent.EventID || timeline[1].Type != "m.room.topic" {
		t.Errorf("timeline %+v, %v", timeline, err)
	}
	if _, err := client.Leave(ctx, Membership{User: "bob", Room: room.RoomID}); err != nil {
		t.Error(err)
	}
	rooms, err := client.Rooms(ctx)
	if err != nil || len(rooms) != 1 || rooms[0].Members != 1 {
		t.Errorf("rooms %+v, %v; want one with 1 member", rooms, err)
	}
}

func TestErrorsKeepTheirKind(t *testing.T) {
	client := newServer(t)
	ctx := t.Context()
	room, err := client.CreateRoom(ctx, CreateRoom{Creator: "alice"}) // by invitation
	if err != nil {
		t.Fatal(err)
	}
	hello := json.RawMessage(`{"body":"hello"}`)
	for name, test := range map[string]struct {
		got, want Kind
	}{
		"unknown room":         {kindOfCall(client.Room(ctx, ShowRoom{RoomID: "!x:one.example"})), NotFound},
		"send to unknown room": {kindOfCall(client.Send(ctx, Send{User: "alice", Room: "!x:y", Type: "t", Content: hello})), NotFound},
		"unknown event":        {kindOfCall(client.Event(ctx, GetEvent{EventID: "$x", Wait: 1})), NotFound},
		"unknown transaction":  {kindOfCall(client.Transaction(ctx, inspect.TransactionRef{ID: "1"})), NotFound},
		"no room id":           {kindOfCall(client.Room(ctx, ShowRoom{RoomID: "x"})), Usage},
		"no event id":          {kindOfCall(client.Event(ctx, GetEvent{EventID: "x"})), Usage},
		"no user":              {kindOfCall(client.CreateRoom(ctx, CreateRoom{})), Usage},
		"foreign user":         {kindOfCall(client.CreateRoom(ctx, CreateRoom{Creator: "@alice:two.example"})), Usage},
		"bad user":             {kindOfCall(client.Join(ctx, Membership{User: "A B", Room: room.RoomID})), Usage},
		"bad version":          {kindOfCall(client.CreateRoom(ctx, CreateRoom{Creator: "alice", Version: "0"})), Usage},
		"bad via":              {kindOfCall(client.Join(ctx, Membership{User: "bob", Room: "!x:y", Via: []string{"a b"}})), Usage},
		"no via":               {kindOfCall(client.Join(ctx, Membership{User: "bob", Room: "!x:y"})), Usage},
		"no type":              {kindOfCall(client.Send(ctx, Send{User: "alice", Room: room.RoomID, Content: hello})), Usage},
		"content no object":    {kindOfCall(client.Send(ctx, Send{User: "alice", Room: room.RoomID, Type: "t", Content: json.RawMessage(`[]`)})), Usage},
		"content null":         {kindOfCall(client.Send(ctx, Send{User: "alice", Room: room.RoomID, Type: "t", Content: json.RawMessage(`null`)})), Usage},
		"bad direction":        {kindOfCall(client.Transactions(ctx, inspect.TransactionQuery{Direction: "up"})), Usage},
		"long wait":            {kindOfCall(client.Event(ctx, GetEvent{EventID: "$x", Wait: 1 << 50})), Usage},
		"gaps of nothing":      {kindOfCall(client.Gaps(ctx, RoomRef{RoomID: "!x:y"})), NotFound},
		"heads of nothing":     {kindOfCall(client.Heads(ctx, RoomRef{RoomID: "x"})), Usage},
		"state at nothing":     {kindOfCall(client.State(ctx, inspect.StateQuery{RoomID: room.RoomID, EventID: "$x"})), NotFound},
		"graph from nothing":   {kindOfCall(client.Graph(ctx, inspect.GraphQuery{RoomID: room.RoomID, From: []string{"$x"}})), NotFound},
		"explain nothing":      {kindOfCall(client.Explain(ctx, EventRef{EventID: "$x"})), NotFound},
		"timeline of nothing":  {kindOfCall(client.Journey(ctx, EventRef{EventID: "$x"})), NotFound},
		"judge nothing":        {kindOfCall(client.Judge(ctx, EventRef{EventID: "$x"})), NotFound},
		"judge no event":       {kindOfCall(client.Judge(ctx, EventRef{EventID: "x"})), Usage},
		"compare with none":    {kindOfCall(client.Compare(ctx, Compare{RoomID: room.RoomID, Server: "a b"})), Usage},
		"compare with silent":  {kindOfCall(client.Compare(ctx, Compare{RoomID: room.RoomID, Server: "two.example"})), Unreachable},
		"fetch from silent":    {kindOfCall(client.FetchEvent(ctx, FetchEvent{EventID: "$x", Server: "two.example"})), Unreachable},
		"backfill of nothing":  {kindOfCall(client.Backfill(ctx, RoomRef{RoomID: "!x:y"})), NotFound},
		"redact no event":      {kindOfCall(client.Redact(ctx, Redact{User: "alice", Room: room.RoomID, Event: "x"})), Usage},
		"not invited":          {kindOfCall(client.Join(ctx, Membership{User: "bob", Room: room.RoomID})), Refused},
		"not joined":           {kindOfCall(client.Send(ctx, Send{User: "bob", Room: room.RoomID, Type: "t", Content: hello})), Refused},
		"remote silent":        {kindOfCall(client.Join(ctx, Membership{User: "bob", Room: "!x:y", Via: []string{"two.example"}})), Unreachable},
	} {
		if test.got != test.want {
			t.Errorf("%s: %q, want %q", name, test.got, test.want)
		}
	}
}

// A refusal by the rules says which one: a user who was not invited may not join (P-48 and its neighbours of the join rules).
func TestRefusalNamesTheRule(t *testing.T) {
	client := newServer(t)
	room, err := client.CreateRoom(t.Context(), CreateRoom{Creator: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Join(t.Context(), Membership{User: "bob", Room: room.RoomID})
	var e *Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.Rule, "P-") || !strings.HasPrefix(e.Check, "P-2") {
		t.Errorf("error %#v, want one with check and rule", err)
	}
}

func TestExplain(t *testing.T) {
	for _, test := range []struct {
		err  error
		want Kind
	}{
		{&Error{Kind: Denied}, Denied},
		{fmt.Errorf("a: %w", inspect.ErrNotFound), NotFound},
		{fmt.Errorf("a: %w", inspect.ErrQuery), Usage},
		{pdu.ErrUnknownRoom, NotFound},
		{fmt.Errorf("judge: %w", pdu.ErrAccepted), Refused},
		{&pdu.PolicyError{Refused: true}, Refused},
		{&pdu.PolicyError{}, Unreachable},
		{&pdu.NotAllowed{}, Refused},
		{fmt.Errorf("send: %w", &event.FormatError{Rule: "P-01"}), Usage},
		{&transport.Failure{Class: transport.ClassTLS}, Unreachable},
		{&transport.Failure{Class: transport.Class4xxAuth}, Denied},
		{&transport.Failure{Class: transport.Class4xxContent}, Refused},
		{&transport.Failure{Class: transport.Class4xxContent, Code: "M_NOT_FOUND"}, NotFound},
		{&transport.Failure{Class: transport.ClassCanceled}, Failed},
		{context.DeadlineExceeded, Unreachable},
		{fs.ErrPermission, Denied},
		{errors.New("else"), Failed},
	} {
		if got := Explain(test.err); got.Kind != test.want {
			t.Errorf("%v is %s, want %s", test.err, got.Kind, test.want)
		}
		if statuses[test.want] < 400 {
			t.Errorf("%s has no HTTP status of an error", test.want)
		}
	}
}

// Waiting ends when the event arrives, and not before its time when it does not.
func TestWaitForEvent(t *testing.T) {
	client := newServer(t)
	room, err := client.CreateRoom(t.Context(), CreateRoom{Creator: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Event(t.Context(), GetEvent{EventID: "$never", Wait: 20}); kindOfCall(nil, err) != NotFound {
		t.Errorf("an event that never comes: %v", err)
	}
	sent, err := client.Send(t.Context(), Send{User: "alice", Room: room.RoomID, Type: "t", Content: json.RawMessage(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	if e, err := client.Event(t.Context(), GetEvent{EventID: sent.EventID, Wait: time.Hour.Milliseconds()}); err != nil || e.Type != "t" {
		t.Errorf("an event that is here: %+v, %v", e, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = client.Event(ctx, GetEvent{EventID: "$never", Wait: time.Hour.Milliseconds()})
	if kindOfCall(nil, err) != Unreachable {
		t.Errorf("a caller who waits no longer: %v", err)
	}
}

// The file of a stopped server answers questions and refuses orders.
func TestFileHandler(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	store, err := persistence.Open(t.Context(), persistence.Options{Path: path, ServerName: "one.example", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	client := Direct(path, NewFileHandler(store))
	info, err := client.Info(t.Context())
	if err != nil || info != (Info{ServerName: "one.example"}) {
		t.Errorf("info %+v, %v", info, err)
	}
	rooms, err := client.Rooms(t.Context())
	if err != nil || rooms == nil || len(rooms) > 0 {
		t.Errorf("rooms %v, %v; want an empty list", rooms, err)
	}
	for name, got := range map[string]Kind{
		"create": kindOfCall(client.CreateRoom(t.Context(), CreateRoom{Creator: "alice"})),
		"join":   kindOfCall(client.Join(t.Context(), Membership{User: "alice", Room: "!a:b"})),
		"leave":  kindOfCall(client.Leave(t.Context(), Membership{User: "alice", Room: "!a:b"})),
		"send":   kindOfCall(client.Send(t.Context(), Send{User: "alice", Room: "!a:b", Type: "t", Content: json.RawMessage(`{}`)})),
	} {
		if got != Usage {
			t.Errorf("%s: %q, want %q", name, got, Usage)
		}
	}
	if got := kindOfCall(client.Event(t.Context(), GetEvent{EventID: "$a", Wait: 5})); got != NotFound {
		t.Errorf("event: %q, want %q", got, NotFound)
	}
}

// On the wire it is plain HTTP and JSON, and strict about what it takes.
func TestWire(t *testing.T) {
	store, err := persistence.Open(t.Context(), persistence.Options{Path: filepath.Join(t.TempDir(), "s.db"), ServerName: "a", NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	handler := NewFileHandler(store)
	for _, test := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/health", "", 200, "OK"},
		{"POST", "/v1/room/ls", "", 200, "[]\n"},
		{"POST", "/v1/room/ls", "{}", 200, "[]\n"},
		{"POST", "/v1/txn/ls", `{"limit":3}`, 200, "[]\n"},
		{"POST", "/v1/txn/ls", `{"limti":3}`, 400, `"kind":"usage"`},
		{"POST", "/v1/txn/ls", `{"limit":`, 400, `"kind":"usage"`},
		{"POST", "/v1/txn/ls", `{"limit":"` + strings.Repeat("9", maxQuestion) + `"}`, 400, `"kind":"usage"`},
		{"POST", "/v1/room/show", `{"room_id":"!a:b"}`, 404, `"kind":"not_found"`},
		{"POST", "/v1/nonsense", "", 400, "no operation"},
		{"GET", "/v1/room/ls", "", 400, "no operation"},
	} {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequest(test.method, test.path, strings.NewReader(test.body)))
		if answer.Code != test.status || !strings.Contains(answer.Body.String(), test.want) {
			t.Errorf("%s %s %.30s: %d %s, want %d %s", test.method, test.path, test.body, answer.Code, answer.Body, test.status, test.want)
		}
	}
}

// FuzzQuestion: no question makes the handler panic or answer anything but JSON.
func FuzzQuestion(f *testing.F) {
	f.Add("txn/ls", `{"peer":"a","dir":"in","since":1,"until":2,"before":3,"limit":4}`)
	f.Add("room/timeline", `{"room_id":"!a:b","types":["t"],"after":-1,"limit":-5}`)
	f.Add("event/get", `{"event_id":"$a"}`)
	f.Add("send", `{"user":"a","room_id":"!a:b","type":"t","content":{}}`)
	store, err := persistence.Open(context.Background(), persistence.Options{Path: filepath.Join(f.TempDir(), "s.db"), ServerName: "a", NoSync: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = store.Close() })
	handler := NewFileHandler(store)
	f.Fuzz(func(t *testing.T, name, body string) {
		if strings.Contains(body, "wait_ms") {
			t.Skip("waits as it is told to")
		}
		r := httptest.NewRequest("POST", "/v1/x", strings.NewReader(body))
		r.URL.Path = "/v1/" + name
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		if answer.Code/100 != 3 && !json.Valid(answer.Body.Bytes()) { // the mux redirects unclean paths
			t.Errorf("%s %q answers %q", name, body, answer.Body)
		}
	})
}
