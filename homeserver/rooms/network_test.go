// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/api/apitest"
	"github.com/strata-matrix/strata/homeserver/rooms"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

const (
	alice = "@alice:a.example"
	bob   = "@bob:b.example"
	carol = "@carol:a.example"
)

// network carries requests between the servers of a test.
type network struct {
	t *testing.T

	mu       sync.Mutex
	handlers map[string]http.Handler
	lost     string // requests whose path has this in it do not arrive
}

// lose has those requests not arrive that have something in their path; "" for none.
func (n *network) lose(part string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lost = part
}

// RoundTrip implements http.RoundTripper.
func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	handler := n.handlers[r.URL.Host]
	lost := n.lost != "" && strings.Contains(r.URL.Path, n.lost)
	n.mu.Unlock()
	if handler == nil || lost {
		return nil, errors.New("connection refused")
	}
	arriving := r.Clone(r.Context())
	arriving.RequestURI, arriving.RemoteAddr = r.URL.RequestURI(), "192.0.2.1:1"
	if arriving.Body == nil {
		arriving.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, arriving)
	return recorder.Result(), r.Context().Err()
}

// host is a server with its room endpoints.
type host struct {
	*apitest.Client
	t      *testing.T
	server *messaging.Server
	rooms  *rooms.Rooms
}

// profiles has one name for each user.
type profiles struct{}

func (profiles) Profile(_ context.Context, user ident.UserID) (map[string]json.RawMessage, bool, error) {
	name, err := json.Marshal(strings.ToUpper(user.Localpart()))
	return map[string]json.RawMessage{"displayname": name}, true, err
}

// nobody waits for what happens.
type nobody struct{}

func (nobody) Dispatch(stream.Batch) {}

// isKnown: there is everybody but one.
func isKnown(_ *persistence.Tx, user ident.UserID) (bool, error) {
	return user.Localpart() != "nobody", nil
}

func (n *network) open(name string) *host {
	n.t.Helper()
	seed := make([]byte, 32)
	copy(seed, name)
	key, err := signing.NewKey("ed25519:1", seed)
	if err != nil {
		n.t.Fatal(err)
	}
	h, feed := &host{t: n.t}, (*stream.Feed)(nil)
	h.server, err = messaging.Open(context.Background(), messaging.Config{
		ServerName: name, DataDir: n.t.TempDir(), Key: key, RoundTripper: n, NoSync: true,
		Annex: persistence.Annex{Name: "hs", Steps: []string{stream.Schema, roomview.Schema, accountdata.Schema + rooms.Schema}},
		Core: func(server *messaging.Server) (messaging.Core, error) {
			progress := stream.NewProgress(server.Store())
			view := roomview.New(server.Engine(), server.Store(), progress)
			feed = stream.NewFeed(stream.FeedConfig{
				Self: server.Name(), Store: server.Store(), Progress: progress, Rooms: server.Engine(), Dispatch: nobody{},
				Derive: []stream.Deriver{view},
			})
			h.rooms = rooms.New(rooms.Config{Server: server, View: view, Profiles: profiles{}, Known: isKnown})
			return messaging.Core{Invites: h.rooms, Aliases: h.rooms, PublicRooms: h.rooms}, nil
		},
	})
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(ctx) }()
	n.t.Cleanup(func() {
		stop()
		<-ended // of the context
		if err := h.server.Close(); err != nil {
			n.t.Error(err)
		}
	})
	n.mu.Lock()
	n.handlers[name] = h.server.Handler()
	n.mu.Unlock()
	h.Client = apitest.New(n.t, h.rooms.Routes())
	return h
}

// inBubble runs f with two servers on virtual time.
func inBubble(t *testing.T, f func(t *testing.T, a, b *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := &network{t: t, handlers: map[string]http.Handler{}}
		f(t, n.open("a.example"), n.open("b.example"))
	})
}

// settle waits until everything that was sent has arrived.
func settle() {
	time.Sleep(time.Minute)
	synctest.Wait()
}

const v1, v3 = "/_matrix/client/v1/", "/_matrix/client/v3/"

// room makes a room.
func (h *host) room(as, body string) string {
	h.t.Helper()
	status, answer := h.Do(h.t, as, "POST", v3+"createRoom", body)
	if status != http.StatusOK {
		h.t.Fatalf("createRoom: %d %s", status, answer)
	}
	return textOf(h.t, answer, "room_id")
}

// ok makes a request that succeeds, and gives a text of the answer.
func (h *host) ok(as, method, path, body, member string) string {
	h.t.Helper()
	status, answer := h.Do(h.t, as, method, path, body)
	if status != http.StatusOK {
		h.t.Fatalf("%s %s: %d %s", method, path, status, answer)
	}
	return textOf(h.t, answer, member)
}

// refused makes a request that is refused with a status and a code.
func (h *host) refused(as, method, path, body string, status int, code string) {
	h.t.Helper()
	got, answer := h.Do(h.t, as, method, path, body)
	if got != status || textOf(h.t, answer, "errcode") != code {
		h.t.Errorf("%s %s: %d %s, want %d %s", method, path, got, answer, status, code)
	}
}

func textOf(t *testing.T, answer json.RawMessage, member string) (text string) {
	t.Helper()
	if member == "" {
		return ""
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(answer, &members); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	_ = json.Unmarshal(members[member], &text) // what is none is ""
	return text
}

// in is the path of something in a room.
func in(room string, rest string) string { return v3 + "rooms/" + url.PathEscape(room) + "/" + rest }
