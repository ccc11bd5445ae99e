// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func route(method, pattern string) Route {
	return Route{Method: method, Pattern: pattern, Open: true, Handle: echo}
}

// Every endpoint of the server-server API in one router: E-01 to E-36 with their literal segments beside parameters.
var allEndpoints = strings.Fields(`
	GET:/_matrix/federation/v1/version GET:/_matrix/key/v2/server GET:/_matrix/key/v2/query/{serverName} POST:/_matrix/key/v2/query
	PUT:/_matrix/federation/v1/send/{txnId} GET:/_matrix/federation/v1/event_auth/{roomId}/{eventId}
	GET:/_matrix/federation/v1/backfill/{roomId} POST:/_matrix/federation/v1/get_missing_events/{roomId}
	GET:/_matrix/federation/v1/state/{roomId} GET:/_matrix/federation/v1/state_ids/{roomId} GET:/_matrix/federation/v1/event/{eventId}
	GET:/_matrix/federation/v1/timestamp_to_event/{roomId} GET:/_matrix/federation/v1/make_join/{roomId}/{userId}
	PUT:/_matrix/federation/v2/send_join/{roomId}/{eventId} GET:/_matrix/federation/v1/make_knock/{roomId}/{userId}
	PUT:/_matrix/federation/v1/send_knock/{roomId}/{eventId} GET:/_matrix/federation/v1/make_leave/{roomId}/{userId}
	PUT:/_matrix/federation/v2/send_leave/{roomId}/{eventId} PUT:/_matrix/federation/v1/invite/{roomId}/{eventId}
	PUT:/_matrix/federation/v2/invite/{roomId}/{eventId} PUT:/_matrix/federation/v1/exchange_third_party_invite/{roomId}
	PUT:/_matrix/federation/v1/3pid/onbind GET:/_matrix/federation/v1/publicRooms POST:/_matrix/federation/v1/publicRooms
	GET:/_matrix/federation/v1/hierarchy/{roomId} GET:/_matrix/federation/v1/query/{queryType} GET:/_matrix/federation/v1/query/directory
	GET:/_matrix/federation/v1/query/profile GET:/_matrix/federation/v1/openid/userinfo GET:/_matrix/federation/v1/user/devices/{userId}
	POST:/_matrix/federation/v1/user/keys/query POST:/_matrix/federation/v1/user/keys/claim
	GET:/_matrix/federation/v1/media/download/{mediaId} GET:/_matrix/federation/v1/media/thumbnail/{mediaId} POST:/_matrix/policy/v1/sign`)

func TestAllEndpointsTogether(t *testing.T) {
	var routes []Route
	for _, endpoint := range allEndpoints {
		method, path, _ := strings.Cut(endpoint, ":")
		routes = append(routes, route(method, strings.NewReplacer("{", ":", "}", "").Replace(path)))
	}
	var got match
	rt, err := newRouter(routes, func(_ http.ResponseWriter, _ *http.Request, m match) { got = m })
	if err != nil {
		t.Fatal(err)
	}
	for i, endpoint := range allEndpoints {
		method, path, _ := strings.Cut(endpoint, ":")
		rt.ServeHTTP(nil, httptest.NewRequest(method, path, nil))
		if got.route != &routes[i] {
			t.Errorf("%s: got %+v", endpoint, got)
		}
		for name, value := range got.params {
			if value != "{"+name+"}" {
				t.Errorf("%s: parameter %s is %q", endpoint, name, value)
			}
		}
	}
}

// httprouter panics on these; NewServer gives an error instead.
func TestConflictsAreErrors(t *testing.T) {
	for name, routes := range map[string][]Route{
		"twice literal":       {route("GET", "/a"), route("GET", "/a")},
		"twice parameter":     {route("GET", "/a/:x"), route("GET", "/a/:x")},
		"two names":           {route("GET", "/a/:x"), route("GET", "/a/:y/b")},
		"literal in the tree": {route("GET", "/a/:x"), route("GET", "/a/b/:y")},
		"no name":             {route("GET", "/a/:")},
		"two in a segment":    {route("GET", "/a/:x:y")},
		"catch-all":           {route("GET", "/a/*x")},
		"relative":            {route("GET", "a")},
		"empty":               {route("GET", "")},
		"no method":           {route("", "/a")},
		"lower case":          {route("get", "/a")},
		"no handler":          {{Method: "GET", Pattern: "/a"}},
		"of the server's own": {route("GET", "/_matrix/key/v2/server")},
	} {
		if s, err := NewServer(ServerConfig{ServerName: "self.example", Keys: &knownKeys{}, Routes: routes}); err == nil || s != nil {
			t.Errorf("%s: got %v, %v, want an error", name, s, err)
		}
	}
}

// the escaped path decides, so an escaped slash stays within its segment.
func TestRouterSeesTheEscapedPath(t *testing.T) {
	var got match
	rt, err := newRouter([]Route{route("GET", "/e/:id"), route("GET", "/e/:id/x"), route("GET", "/m/:a/:b"), route("POST", "/l")},
		func(_ http.ResponseWriter, _ *http.Request, m match) { got = m })
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		uri, pattern string
		params       map[string]string
	}{
		{"/e/$a%2Fb", "/e/:id", map[string]string{"id": "$a/b"}},
		{"/e/$a%2fb/x", "/e/:id/x", map[string]string{"id": "$a/b"}},
		{"/e/a+b%2Bc", "/e/:id", map[string]string{"id": "a+b+c"}},
		{"/e/%2F", "/e/:id", map[string]string{"id": "/"}},
		{"/e/%2e%2e", "/e/:id", map[string]string{"id": ".."}},
		{"/e/:id", "/e/:id", map[string]string{"id": ":id"}},
		{"/e/%FF", "/e/:id", map[string]string{"id": "\xff"}},
		{"/m/%21a:b/@c:d", "/m/:a/:b", map[string]string{"a": "!a:b", "b": "@c:d"}},
		{"/e/a/b", "", nil}, {"/e//x", "", nil}, {"/m//b", "", nil}, {"/e/", "", nil}, {"/e", "", nil}, {"/%65/x", "", nil}, {"/m/a", "", nil},
	} {
		rt.ServeHTTP(nil, httptest.NewRequest("GET", tt.uri, nil))
		pattern := ""
		if got.route != nil {
			pattern = got.route.Pattern
		} else if got.refusal.Status != 404 {
			t.Errorf("%s: %v", tt.uri, got.refusal)
		}
		if diff := cmp.Diff(tt.params, got.params); pattern != tt.pattern || diff != "" {
			t.Errorf("%s: got %q, want %q; params -want +got\n%s", tt.uri, pattern, tt.pattern, diff)
		}
	}
}

// Whatever the path and the header, the answer is JSON with a status of ours, and no handler runs for a peer that has not signed.
func FuzzRequest(f *testing.F) {
	key := testKey(f, "ed25519:1", 1)
	f.Add("PUT", send, authorize(key, "PUT", send, "origin.example", "self.example", `{}`), `{}`)
	f.Add("GET", "/_matrix/key/v2/server/", "", "")
	f.Add("GET", "/_matrix/federation/v1/event/%2F", "X-Matrix origin=a,key=\"ed25519:1\",sig=x", "{")
	f.Add("PUT", "/_matrix/federation/v1/send//", "x-matrix  ORIGIN=\"\\a\" ,,", `{"a":1,"a":2}`)
	f.Add("OPTIONS", "*", "", "")
	f.Fuzz(func(t *testing.T, method, uri, authorization, body string) {
		request, err := http.NewRequest(method, "https://self.example"+uri, strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		request.Header["Authorization"] = []string{authorization}
		var handled *Request
		routes := []Route{
			{Method: "PUT", Pattern: sendPattern, Handle: func(_ context.Context, r *Request) (Reply, error) {
				handled = r
				return Reply{}, nil
			}},
			route("GET", "/_matrix/federation/v1/event/:eventID"),
		}
		s, _ := newTestServer(t, func(c *ServerConfig) { c.Routes = routes })
		w := httptest.NewRecorder()
		s.ServeHTTP(w, request)
		if w.Header().Get("Content-Type") != "application/json" || !isJSON(w.Body.Bytes()) {
			t.Errorf("reply %d %q", w.Code, w.Body)
		}
		switch w.Code {
		case 200, 400, 401, 404, 405:
		default:
			t.Errorf("status %d", w.Code)
		}
		// There is one signature in this test, that of the seed.
		if handled != nil && (method != "PUT" || request.URL.RequestURI() != send || string(handled.Body) != "{}") {
			t.Errorf("accepted %s %s %s with %q", method, uri, body, authorization)
		}
	})
}
