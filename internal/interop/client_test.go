// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// script is a homeserver that gives canned replies, one a request, and remembers what it was asked. Its handler runs
// one request at a time, because every Client here waits for its replies.
type script struct {
	replies []string // "200 {...}"
	asked   []string // "GET /path?query body"
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	if len(s.replies) == 0 {
		http.Error(w, "the script has ended", http.StatusTeapot)
		return
	}
	reply := s.replies[0]
	s.replies = s.replies[1:]
	if strings.HasPrefix(reply, "403 ") {
		w.WriteHeader(http.StatusForbidden)
	}
	io.WriteString(w, reply[len("200 "):])
}

// scripted returns a logged-in client of a script.
func scripted(t *testing.T, replies ...string) (*Client, *script) {
	t.Helper()
	s := &script{replies: replies}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return &Client{UserID: "@alice:localhost", baseURL: server.URL, token: "secret"}, s
}

// The paths and bodies are those of the Client-Server API, with identifiers percent-encoded within a path segment.
func TestClientRequests(t *testing.T) {
	const room = "!r/1:localhost:8448"
	for _, test := range []struct {
		name  string
		reply string
		call  func(context.Context, *Client) error
		want  string
	}{
		{
			"create", `200 {"room_id":"!r:x"}`,
			func(ctx context.Context, c *Client) error { _, err := c.CreateRoom(ctx, "12"); return err },
			`POST /_matrix/client/v3/createRoom {"preset":"public_chat","room_version":"12"}`,
		},
		{
			"join through a server", `200 {}`,
			func(ctx context.Context, c *Client) error { return c.Join(ctx, room, "localhost:1") },
			`POST /_matrix/client/v3/join/%21r%2F1:localhost:8448?server_name=localhost%3A1&via=localhost%3A1 {}`,
		},
		{
			"join when invited", `200 {}`,
			func(ctx context.Context, c *Client) error { return c.Join(ctx, room, "") },
			`POST /_matrix/client/v3/join/%21r%2F1:localhost:8448 {}`,
		},
		{
			"send", `200 {"event_id":"$e"}`,
			func(ctx context.Context, c *Client) error { _, err := c.Send(ctx, room, "hi"); return err },
			`PUT /_matrix/client/v3/rooms/%21r%2F1:localhost:8448/send/m.room.message/interop-1 ` +
				`{"body":"hi","msgtype":"m.text"}`,
		},
		{
			"state", `200 {"event_id":"$e"}`,
			func(ctx context.Context, c *Client) error {
				_, err := c.SetState(ctx, room, "m.room.topic", "", map[string]string{"topic": "t"})
				return err
			},
			`PUT /_matrix/client/v3/rooms/%21r%2F1:localhost:8448/state/m.room.topic/ {"topic":"t"}`,
		},
		{
			"messages", `200 {}`,
			func(ctx context.Context, c *Client) error { _, err := c.Messages(ctx, room, 7); return err },
			`GET /_matrix/client/v3/rooms/%21r%2F1:localhost:8448/messages?dir=b&limit=7`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, server := scripted(t, test.reply)
			if err := test.call(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{test.want}, server.asked); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestClientReportsRefusals(t *testing.T) {
	for _, test := range []struct {
		name, reply string
		want        Error
	}{
		{
			"standard form", `403 {"errcode":"M_FORBIDDEN","error":"You are not invited"}`,
			Error{Status: 403, Code: "M_FORBIDDEN", Message: "You are not invited"},
		},
		{"a proxy's page", `403 <html>no</html>`, Error{Status: 403, Message: "<html>no</html>"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, _ := scripted(t, test.reply)
			err := client.Leave(t.Context(), "!r:x")
			var got *Error
			if !errors.As(err, &got) {
				t.Fatalf("got error %v, want a refusal", err)
			}
			if diff := cmp.Diff(test.want, *got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

// An awaited event may come with the first reply, or only after others, and the wait goes on from where it was.
func TestAwaitGoesOnFromTheLastBatch(t *testing.T) {
	client, server := scripted(t,
		`200 {"next_batch":"one"}`,
		`200 {"next_batch":"two","rooms":{"join":{"!r:x":{"timeline":{"events":[{"event_id":"$a","type":"m"}]}}}}}`,
		`200 {"next_batch":"three","rooms":{"join":{"!r:x":{"timeline":{"events":[
			{"event_id":"$b","type":"m.room.message","content":{"body":"found"}}]}}}}}`,
	)
	event, err := client.Await(t.Context(), "!r:x", "$b")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := event.Body(), "found"; got != want {
		t.Errorf("got body %q, want %q", got, want)
	}
	for i, want := range []string{"timeout=0", "since=one&timeout=5000", "since=two&timeout=5000"} {
		if !strings.HasSuffix(server.asked[i], want) {
			t.Errorf("request %d: got %s, want it to end in %s", i, server.asked[i], want)
		}
	}
}

// When a wait fails, the error says what was there instead.
func TestAwaitSaysWhatItSaw(t *testing.T) {
	client, _ := scripted(t,
		`200 {"next_batch":"one","rooms":{"join":{"!r:x":{"timeline":{"events":[{"event_id":"$a","type":"m.room.name"}]}}}}}`,
		`403 {"errcode":"M_FORBIDDEN","error":"no"}`,
	)
	_, err := client.Await(t.Context(), "!r:x", "$b")
	if err == nil {
		t.Fatal("got an event, want an error")
	}
	for _, want := range []string{"await $b", "@alice:localhost", "m.room.name $a", "M_FORBIDDEN"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got error %q, want it to mention %q", err, want)
		}
	}
}

// A membership counts wherever /sync shows it: in the room, in what was left, in an invitation.
func TestAwaitMembership(t *testing.T) {
	const event = `{"event_id":"$m","type":"m.room.member","state_key":"@bob:y","content":{"membership":"%s"}}`
	for membership, reply := range map[string]string{
		"join":   `200 {"rooms":{"join":{"!r:x":{"state":{"events":[%s]}}}}}`,
		"leave":  `200 {"rooms":{"leave":{"!r:x":{"timeline":{"events":[%s]}}}}}`,
		"invite": `200 {"rooms":{"invite":{"!r:x":{"invite_state":{"events":[%s]}}}}}`,
	} {
		t.Run(membership, func(t *testing.T) {
			member := strings.ReplaceAll(event, "%s", membership)
			client, _ := scripted(t, strings.ReplaceAll(reply, "%s", member))
			got, err := client.AwaitMembership(t.Context(), "!r:x", "@bob:y", membership)
			if err != nil {
				t.Fatal(err)
			}
			if got.ID != "$m" {
				t.Errorf("got event %s, want $m", got.ID)
			}
		})
	}
}
