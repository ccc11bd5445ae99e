// SPDX-License-Identifier: Apache-2.0

package adminapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const token = "0123456789abcdef"

// peers is a network that answers, for those whose name does not begin with "down", once up is said.
type peers struct{ up atomic.Bool }

func (p *peers) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Host, "down") && !p.up.Load() {
		return nil, errors.New("nobody there")
	}
	answer := httptest.NewRecorder()
	answer.WriteString(`{"pdus":{}}`)
	answer.Header().Set("Content-Type", "application/json")
	return answer.Result(), nil
}

// bench is a server with its API, after something was queued for each of the servers. It runs in a bubble.
type bench struct {
	t      *testing.T
	peers  *peers
	server *messaging.Server
	api    http.Handler
}

func newBench(t *testing.T, servers ...ident.ServerName) *bench {
	t.Helper()
	b := &bench{t: t, peers: &peers{}}
	var err error
	b.server, err = messaging.Open(t.Context(), messaging.Config{ServerName: "one.example", DataDir: t.TempDir(), NoSync: true, RoundTripper: b.peers})
	if err != nil {
		t.Fatal(err)
	}
	err = b.server.Store().Update(t.Context(), func(tx *persistence.Tx) error {
		return b.server.Outbox().EnqueueEDU(tx, []byte(`{"content":{},"edu_type":"m.direct_to_device"}`), servers)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.api, err = NewHandler(Config{
		ServerName: "one.example", Version: "v1", Token: token, Store: b.server.Store(), Outbox: b.server.Outbox(),
	})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // the first attempts are over
	return b
}

// ask gives status and body.
func (b *bench) ask(method, path string) (int, map[string]any) {
	b.t.Helper()
	r := httptest.NewRequest(method, "/_synapse/admin/v1/federation/destinations"+path, strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	b.api.ServeHTTP(answer, r)
	var body map[string]any
	if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil {
		b.t.Fatalf("%s %s: %v in %s", method, path, err, answer.Body)
	}
	return answer.Code, body
}

// names are the destinations of an answer, in its order.
func names(body map[string]any) (list []string) {
	for _, d := range body["destinations"].([]any) {
		list = append(list, d.(map[string]any)["destination"].(string))
	}
	return list
}

// The members are those of Synapse's documentation, "Federation API": List of destinations, Destination Details API.
func TestDestinations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now().UnixMilli()
		b := newBench(t, "good.example", "down.example", "better.example", "down2.example")
		defer b.server.Close()
		status, body := b.ask("GET", "?order_by=failure_ts&dir=b")
		if status != 200 || body["total"] != 4.0 || body["next_token"] != nil {
			t.Fatalf("%d %v", status, body)
		}
		got := names(body)
		slices.Sort(got[:2]) // they began to fail at the same time, or nearly
		if diff := cmp.Diff([]string{"down.example", "down2.example", "better.example", "good.example"}, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		_, down := b.ask("GET", "/down.example")
		if ts := down["failure_ts"].(float64); ts < float64(begun) || down["retry_last_ts"].(float64) < ts || down["retry_interval"].(float64) <= 0 ||
			down["last_successful_stream_ordering"] != nil {
			t.Errorf("one that fails: %v", down)
		}
		_, good := b.ask("GET", "/good.example")
		if good["failure_ts"] != nil || good["retry_last_ts"] != 0.0 || good["retry_interval"] != 0.0 || good["last_successful_stream_ordering"].(float64) < 1 {
			t.Errorf("one that works: %v", good)
		}
		for _, key := range []string{"destination", "retry_last_ts", "retry_interval", "failure_ts", "last_successful_stream_ordering"} {
			if _, there := good[key]; !there {
				t.Errorf("no %s", key)
			}
		}
	})
}

func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		servers := []ident.ServerName{"x.other"}
		for i := range 7 {
			servers = append(servers, ident.ServerName(fmt.Sprintf("s%d.example", i)))
		}
		b := newBench(t, servers...)
		defer b.server.Close()
		var got []string
		query := "?limit=3&destination=EXAMPLE&dir=b"
		for from := "0"; ; {
			_, body := b.ask("GET", query+"&from="+from)
			got = append(got, names(body)...)
			if body["total"] != 7.0 {
				t.Fatalf("total %v", body["total"])
			}
			next, more := body["next_token"].(string)
			if !more {
				break
			}
			from = next
		}
		want := []string{"s6.example", "s5.example", "s4.example", "s3.example", "s2.example", "s1.example", "s0.example"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if _, body := b.ask("GET", "?from=99999999"); len(names(body)) != 0 {
			t.Errorf("beyond the end: %v", body)
		}
		for _, bad := range []string{"?from=-1", "?limit=x", "?limit=99999999999999", "?dir=up", "?order_by=name"} {
			if status, body := b.ask("GET", bad); status != 400 || body["errcode"] != "M_INVALID_PARAM" {
				t.Errorf("%s: %d %v", bad, status, body)
			}
		}
		for _, unknown := range []string{"/nobody.example", "/nobody.example/rooms", "/a%20b"} {
			if status, body := b.ask("GET", unknown); status != 404 || body["errcode"] != "M_NOT_FOUND" {
				t.Errorf("%s: %d %v", unknown, status, body)
			}
		}
		if status, body := b.ask("GET", "/s1.example/rooms"); status != 200 || body["total"] != 0.0 || len(body["rooms"].([]any)) != 0 {
			t.Errorf("rooms: %d %v", status, body)
		}
	})
}

// A reset brings the next try about at once; there is nothing to reset of one that works.
func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "down.example")
		defer b.server.Close()
		b.peers.up.Store(true)
		if status, body := b.ask("POST", "/down.example/reset_connection"); status != 200 || len(body) != 0 {
			t.Fatalf("%d %v", status, body)
		}
		time.Sleep(time.Second)
		if _, body := b.ask("GET", "/down.example"); body["failure_ts"] != nil || body["last_successful_stream_ordering"] == nil {
			t.Errorf("a second after the reset: %v", body)
		}
		if status, body := b.ask("POST", "/down.example/reset_connection"); status != 400 || body["errcode"] != "M_UNKNOWN" {
			t.Errorf("nothing to reset: %d %v", status, body)
		}
	})
}

// Without the token there is nothing to see, and nothing to find out about it.
func TestToken(t *testing.T) {
	api, err := NewHandler(Config{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	for authorization, code := range map[string]string{
		"": "M_MISSING_TOKEN", "Bearer ": "M_MISSING_TOKEN", "Basic " + token: "M_MISSING_TOKEN",
		"Bearer " + token[1:]: "M_UNKNOWN_TOKEN", "Bearer " + token + "0": "M_UNKNOWN_TOKEN",
	} {
		for _, path := range []string{destinations, destinations + "/a", destinations + "/a/rooms", "/_matrix/client/v3/account/whoami"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Header.Set("Authorization", authorization)
			answer := httptest.NewRecorder()
			api.ServeHTTP(answer, r)
			if answer.Code != 401 || !strings.Contains(answer.Body.String(), code) {
				t.Errorf("%q %s: %d %s", authorization, path, answer.Code, answer.Body)
			}
		}
	}
	for path, want := range map[string]int{destinations + "?access_token=" + token[1:]: 401, "/_matrix/client/v3/account/whoami?access_token=" + token: 200, "/x": 404, "/_synapse/admin/v1/server_version": 200} {
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code != want || answer.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Body)
		}
	}
	if _, err := NewHandler(Config{Token: "short"}); err == nil {
		t.Error("a token that can be guessed was taken")
	}
	preflight := httptest.NewRecorder()
	api.ServeHTTP(preflight, httptest.NewRequest("OPTIONS", destinations, nil))
	if preflight.Code != 204 || !strings.Contains(preflight.Header().Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("preflight: %d %v", preflight.Code, preflight.Header())
	}
}
