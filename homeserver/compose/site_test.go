// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api/apitest"
	"github.com/strata-matrix/strata/homeserver/compose"
	"github.com/strata-matrix/strata/homeserver/dispatch"
	"github.com/strata-matrix/strata/homeserver/ephemeral"
	"github.com/strata-matrix/strata/homeserver/keys"
	"github.com/strata-matrix/strata/homeserver/push"
	"github.com/strata-matrix/strata/homeserver/rooms"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/homeserver/tally"
	"github.com/strata-matrix/strata/homeserver/todevice"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	alice ident.UserID = "@alice:a.example"
	bob   ident.UserID = "@bob:a.example"
	carol ident.UserID = "@carol:a.example"
)

// site is the parts of a homeserver that make a sync, over a real server.
type site struct {
	t testing.TB
	*apitest.Client
	server   *messaging.Server
	composer *compose.Composer
	view     *roomview.View
	waiting  *dispatch.Dispatcher
	stop     func() // ends the feed
}

type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("nobody is there")
}

// openSite opens a site in a directory.
func openSite(t testing.TB, dir string) *site {
	t.Helper()
	server, err := messaging.Open(t.Context(), messaging.Config{
		ServerName: "a.example", DataDir: dir, RoundTripper: nobody{}, NoSync: true,
		Annex: persistence.Annex{Name: "hs", Steps: []string{
			stream.Schema, accounts.Schema, roomview.Schema, accountdata.Schema, rooms.Schema, push.Schema, keys.Schema, todevice.Schema, ephemeral.Schema,
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, server: server}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	s.make()
	return s
}

// make makes the parts anew, none of which remembers anything. What is also derived comes first.
func (s *site) make(also ...stream.Deriver) {
	if s.stop != nil {
		s.stop()
	}
	progress := stream.NewProgress(s.server.Store())
	s.view = roomview.New(s.server.Engine(), s.server.Store(), progress)
	s.waiting = dispatch.New(s.view.Joined)
	feed := stream.NewFeed(stream.FeedConfig{
		Self: s.server.Name(), Store: s.server.Store(), Progress: progress, Rooms: s.server.Engine(), Dispatch: s.waiting,
		Derive:  append(also, s.view, tally.New(s.view, s.server.Engine(), push.NewTally())),
		Company: s.view.RoomsWith,
	})
	s.composer = compose.New(compose.Config{
		Store: s.server.Store(), Engine: s.server.Engine(), Ring: feed.Ring(), Rooms: s.view, Dispatcher: s.waiting,
		Presence: func(context.Context, ident.UserID, string) (func(), error) { return func() {}, nil },
	})
	data := accountdata.New(s.server.Store(), compose.CheckFilter)
	now := ephemeral.New(ephemeral.Config{Self: s.server.Name(), Store: s.server.Store(), Teller: s.server, Rooms: s.server.Engine()})
	s.Client = apitest.New(s.t, slices.Concat(s.composer.Routes(), data.Routes(), now.Routes()))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- feed.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(s.stop)
}

// inBubble runs f on virtual time.
func inBubble(t *testing.T, f func(t *testing.T, s *site)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, openSite(t, t.TempDir())) })
}

// events is a list of events as clients get it.
type events struct {
	Events []clientEvent `json:"events"`
}

type clientEvent struct {
	ID       string          `json:"event_id"`
	Type     string          `json:"type"`
	Sender   string          `json:"sender"`
	StateKey *string         `json:"state_key"`
	Content  map[string]any  `json:"content"`
	Unsigned json.RawMessage `json:"unsigned"`
}

type roomAnswer struct {
	State      *events `json:"state"`
	StateAfter *events `json:"state_after"`
	Timeline   struct {
		events
		Limited   bool   `json:"limited"`
		PrevBatch string `json:"prev_batch"`
	} `json:"timeline"`
	Summary struct {
		Heroes  []string `json:"m.heroes"`
		Joined  *int     `json:"m.joined_member_count"`
		Invited *int     `json:"m.invited_member_count"`
	} `json:"summary"`
	Ephemeral   events `json:"ephemeral"`
	AccountData events `json:"account_data"`
	InviteState events `json:"invite_state"`
	Unread      *struct {
		Notifications int `json:"notification_count"`
		Highlights    int `json:"highlight_count"`
	} `json:"unread_notifications"`
}

type answer struct {
	NextBatch   string `json:"next_batch"`
	AccountData events `json:"account_data"`
	Rooms       struct {
		Join, Invite, Knock, Leave map[ident.RoomID]roomAnswer
	} `json:"rooms"`
}

// sync asks as a user and device; query is "name=value" each.
func (s *site) sync(as ident.UserID, query ...string) (a answer) {
	s.t.Helper()
	if err := json.Unmarshal(s.raw(as, query...), &a); err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *site) raw(as ident.UserID, query ...string) json.RawMessage {
	s.t.Helper()
	synctest.Wait() // until the feed is through
	return s.ask(as, query...)
}

func (s *site) ask(as ident.UserID, query ...string) json.RawMessage {
	s.t.Helper()
	values := url.Values{}
	for _, q := range query {
		name, value, _ := strings.Cut(q, "=")
		values.Set(name, value)
	}
	status, body := s.Do(s.t, string(as)+" DEVICE", "GET", "/_matrix/client/v3/sync?"+values.Encode(), "")
	if status != http.StatusOK {
		s.t.Errorf("sync %v: %d %s", query, status, body)
	}
	return body
}

// next is the token of now.
func (s *site) next(as ident.UserID) string { return s.sync(as).NextBatch }

func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func text(body string) map[string]string { return map[string]string{"msgtype": "m.text", "body": body} }
