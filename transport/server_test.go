// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/signing"
)

// echo answers with what the handler was given.
func echo(_ context.Context, r *Request) (Reply, error) {
	return JSON(map[string]any{"origin": r.Origin, "params": r.Params, "body": string(r.Body), "uri": r.URI, "query": r.Query})
}

const sendPattern = "/_matrix/federation/v1/send/:txnID"

func testRoutes() []Route {
	return []Route{
		{Method: "PUT", Pattern: sendPattern, Handle: echo},
		{Method: "POST", Pattern: "/open", Open: true, MaxBody: 64, Handle: echo},
		{Method: "GET", Pattern: "/_matrix/federation/v1/event/:eventID", Handle: echo},
		{Method: "GET", Pattern: "/_matrix/federation/v1/query/directory", Handle: echo},
		{Method: "GET", Pattern: "/_matrix/federation/v1/query/:queryType", Handle: echo},
		{Method: "GET", Pattern: "/panic", Open: true, Handle: func(context.Context, *Request) (Reply, error) { panic("boom") }},
		{Method: "GET", Pattern: "/secret", Open: true, Handle: func(context.Context, *Request) (Reply, error) {
			return Reply{}, errors.New("disk /dev/x is on fire")
		}},
		{Method: "GET", Pattern: "/refuse", Open: true, Handle: func(context.Context, *Request) (Reply, error) {
			return Reply{}, fmt.Errorf("wrapped: %w", &Error{
				Status: 400, Code: "M_INCOMPATIBLE_ROOM_VERSION", Message: "no", Extra: map[string]any{"room_version": "9"},
			})
		}},
		{Method: "GET", Pattern: "/slow", Open: true, Handle: func(context.Context, *Request) (Reply, error) {
			return Reply{}, &Error{Status: 429, Code: "M_LIMIT_EXCEEDED", Message: "x", RetryAfter: 1500 * time.Millisecond}
		}},
		{Method: "GET", Pattern: "/array", Open: true, Handle: func(context.Context, *Request) (Reply, error) {
			return Reply{Status: 202, Body: []byte(`[200,{}]`)}, nil
		}},
		{Method: "GET", Pattern: "/nothing", Open: true, Handle: func(context.Context, *Request) (Reply, error) { return Reply{}, nil }},
		{Method: "GET", Pattern: "/unencodable", Open: true, Handle: func(context.Context, *Request) (Reply, error) {
			return Reply{}, &Error{Code: "M_X", Message: "x", Extra: map[string]any{"f": func() {}}}
		}},
	}
}

func newTestServer(t testing.TB, change ...func(*ServerConfig)) (*Server, *recorder) {
	t.Helper()
	events := &recorder{}
	config := ServerConfig{
		ServerName: "self.example",
		Keys: &knownKeys{keys: map[string]ed25519.PublicKey{
			"origin.example ed25519:1": testKey(t, "ed25519:1", 1).Public(),
			"origin.example ed25519:2": testKey(t, "ed25519:2", 2).Public(),
			"third.example ed25519:1":  testKey(t, "ed25519:1", 3).Public(),
		}},
		Routes: testRoutes(), Version: "1.2.3", Trace: events,
	}
	for _, f := range change {
		f(&config)
	}
	s, err := NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	return s, events
}

// send is the URI of most requests below.
const send = "/_matrix/federation/v1/send/1"

// Every way in which a request can be wrong, each with its exact answer, on the wire; and after each the server serves on.
func TestRefusals(t *testing.T) {
	key := testKey(t, "ed25519:1", 1)
	signed := func(body string) string { return authorize(key, "PUT", send, "origin.example", "self.example", body) }
	put := func(authorization, body string) string {
		return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nContent-Length: %d\r\n\r\n%s", send, authorization, len(body), body)
	}
	get := func(path string, header ...string) string {
		return "GET " + path + " HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(header, "\r\n"), "\r\n")
	}
	forged := strings.Replace(signed(`{}`), `sig="`, `sig="AAAA`, 1)
	deep := strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000)
	for _, tt := range []struct {
		name, raw string
		status    int
		code      string
	}{
		{"X-02 good", put(signed(`{"a":1}`), `{"a":1}`), 200, ""},
		{"X-40 body in other form", put(signed(`{"a":"é","b":1}`), `{ "b" : 1,  "a":"\u00e9" }`), 200, ""},
		{"X-40 fraction of an old room", put(signed(`{"a":1.0}`), `{"a":1.0}`), 200, ""},
		{"X-02 no body", put(signed(""), ""), 400, "M_NOT_JSON"},
		{"X-02 not JSON", put(signed(`{}`), "hello"), 400, "M_NOT_JSON"},
		{"X-02 cut JSON", put(signed(`{}`), `{"a":`), 400, "M_NOT_JSON"},
		{"X-02 array", put(signed(`[]`), `[]`), 400, "M_BAD_JSON"},
		{"X-02 null", put(signed(`null`), `null`), 400, "M_BAD_JSON"},
		{"X-02 string", put(signed(`""`), `""`), 400, "M_BAD_JSON"},
		{"X-74 repeated key", put(signed(`{}`), `{"a":1,"a":2}`), 400, "M_BAD_JSON"},
		{"X-74 lone surrogate", put(signed(`{}`), `{"a":"\ud83d"}`), 400, "M_BAD_JSON"},
		{"X-74 not UTF-8", put(signed(`{}`), "{\"a\":\"\xff\"}"), 400, "M_NOT_JSON"},
		{"G-C6 nested", put(signed(`{}`), deep), 400, "M_NOT_JSON"},
		{"too many values", put(signed(`{}`), `{"a":[0`+strings.Repeat(",0", MaxBodyValues+1)+`]}`), 413, "M_TOO_LARGE"},
		{"X-46 unsigned", strings.Replace(put("", `{}`), "Authorization: \r\n", "", 1), 401, "M_UNAUTHORIZED"},
		{"X-46 other scheme", put("Bearer abc", `{}`), 401, "M_UNAUTHORIZED"},
		{"X-46 malformed header", put("X-Matrix origin=a", `{}`), 401, "M_UNAUTHORIZED"},
		{"X-46 signature over another body", put(signed(`{"a":1}`), `{"a":2}`), 401, "M_UNAUTHORIZED"},
		{"X-46 signature too long", put(forged, `{}`), 401, "M_UNAUTHORIZED"},
		{"X-46 another method", put(authorize(key, "POST", send, "origin.example", "self.example", `{}`), `{}`), 401, "M_UNAUTHORIZED"},
		{"X-46 another path", put(authorize(key, "PUT", send+"2", "origin.example", "self.example", `{}`), `{}`), 401, "M_UNAUTHORIZED"},
		{"X-46 key of another server", put(authorize(key, "PUT", send, "third.example", "self.example", `{}`), `{}`), 401, "M_UNAUTHORIZED"},
		{"X-46 unknown server", put(authorize(key, "PUT", send, "nobody.example", "self.example", `{}`), `{}`), 401, "M_UNAUTHORIZED"},
		{"X-42 G-H1 another destination", put(authorize(key, "PUT", send, "origin.example", "other.example", `{}`), `{}`), 401, "M_UNAUTHORIZED"},
		{"X-42 destination in another case", put(authorize(key, "PUT", send, "origin.example", "SELF.example", `{}`), `{}`), 401, "M_UNAUTHORIZED"},
		{"X-42 no destination", put(strings.Replace(signed(`{}`), `destination="self.example",`, "", 1), `{}`), 200, ""},
		{"X-43 G-H2 other spelling", put(strings.NewReplacer("X-Matrix ", "x-matrix   ", "origin=", "ORIGIN=", `"self.example",`, "\"self\\.example\"  ,\t").Replace(signed(`{}`)), `{}`), 200, ""},
		{"X-04 unknown path", get("/_matrix/federation/v1/nothing"), 404, "M_UNRECOGNIZED"},
		{"X-04 removed endpoint", get("/_matrix/federation/v1/query_auth/x/y"), 404, "M_UNRECOGNIZED"},
		{"X-04 wrong method", get(send), 405, "M_UNRECOGNIZED"},
		{"X-04 wrong method, literal path", strings.Replace(get("/_matrix/federation/v1/version"), "GET", "DELETE", 1), 405, "M_UNRECOGNIZED"},
		{"X-04 root", get("/"), 404, "M_UNRECOGNIZED"},
		{"X-04 dots", get("/_matrix/federation/v1/../v1/version"), 404, "M_UNRECOGNIZED"},
		{"X-04 no doubled slashes", get("//_matrix/federation/v1/version"), 404, "M_UNRECOGNIZED"},
		{"X-04 trailing slash elsewhere", get("/_matrix/federation/v1/version/"), 404, "M_UNRECOGNIZED"},
		{"X-04 empty parameter", get("/_matrix/federation/v1/event/"), 404, "M_UNRECOGNIZED"},
		{"X-04 asterisk", strings.Replace(get("*"), "GET", "OPTIONS", 1), 200, "-"}, // net/http answers this one itself
		{"X-62 version", get("/_matrix/federation/v1/version"), 200, ""},
		{"X-62 signing keys", get("/_matrix/key/v2/server"), 200, ""},
		{"X-62 open despite a bad header", get("/_matrix/key/v2/server", "Authorization: X-Matrix nonsense"), 200, ""},
		{"X-07 slash", get("/_matrix/key/v2/server/"), 200, ""},
		{"X-07 slash on query", "POST /_matrix/key/v2/query/ HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\n{\"server_keys\":{}}", 200, ""},
		{"X-04 removed key path", get("/_matrix/key/v2/server/ed25519:1"), 404, "M_UNRECOGNIZED"},
		{"G-C7 announced size", "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 65\r\n\r\n" + strings.Repeat(" ", 65), 413, "M_TOO_LARGE"},
		{"G-C7 huge announced size", "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000000000000000\r\n\r\n{}", 413, "M_TOO_LARGE"},
		{"G-C7 chunked", "POST /open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n" + strings.Repeat(" ", 65) + "\r\n0\r\n\r\n", 413, "M_TOO_LARGE"},
		{"G-C7 largest", "POST /open HTTP/1.1\r\nHost: x\r\nContent-Length: 64\r\n\r\n{}" + strings.Repeat(" ", 62), 200, ""},
		{"bad chunk", "POST /open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "M_NOT_JSON"},
		{"panic", get("/panic"), 500, "M_UNKNOWN"},
		{"error without details", get("/secret"), 500, "M_UNKNOWN"},
		{"X-05 error of a handler", get("/refuse"), 400, "M_INCOMPATIBLE_ROOM_VERSION"},
		{"X-06 429", get("/slow"), 429, "M_LIMIT_EXCEEDED"},
		{"error that cannot be encoded", get("/unencodable"), 500, "M_X"},
		{"GET with a body that is none", "GET /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx", 400, "M_NOT_JSON"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, events := newTestServer(t)
			ca := newIssuer(t)
			address := run(t, s, ca.config(t, "self.example"))
			status, header, body := exchangeRaw(t, ca, address, tt.raw)
			code := errcode(t, tt.code, status, header, body)
			if status != tt.status || code != tt.code {
				t.Errorf("got %d %s (%s), want %d %s", status, code, body, tt.status, tt.code)
			}
			if strings.Contains(body, "fire") || strings.Contains(body, "boom") {
				t.Errorf("the reply tells of our insides: %s", body)
			}
			if status, _, body := exchangeRaw(t, ca, address, put(signed(`{"n":1}`), `{"n":1}`)); status != 200 {
				t.Errorf("afterwards: %d %s", status, body)
			}
			if served := recorded[trace.TransportServed](events); tt.code != "-" && (len(served) == 0 || served[0].Status != tt.status || served[0].Code != tt.code) {
				t.Errorf("trace: %+v", served)
			}
			if panics := recorded[trace.TransportPanic](events); (tt.name == "panic") != (len(panics) == 1 && panics[0].Value == "boom" && panics[0].Stack != "") {
				t.Errorf("panics: %+v", panics)
			}
		})
	}
}

// errcode checks the form of a reply and takes its errcode.
func errcode(t *testing.T, want string, status int, header http.Header, body string) string {
	t.Helper()
	if want == "-" {
		return "-"
	}
	if got := header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	var object struct {
		Errcode string  `json:"errcode"`
		Error   *string `json:"error"`
	}
	if err := json.Unmarshal([]byte(body), &object); err != nil {
		t.Errorf("reply %q: %v", body, err)
	}
	if (status >= 400) != (object.Error != nil) {
		t.Errorf("status %d with reply %s", status, body)
	}
	return object.Errcode
}

// exchangeRaw writes bytes as they are and reads one reply.
func exchangeRaw(t *testing.T, ca *issuer, address, raw string) (int, http.Header, string) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: ca.pool, ServerName: "self.example"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go io.WriteString(conn, raw) // beside reading: the server may answer before it has read all
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(body)
}

// call lets the handler answer without a network.
func call(s *Server, method, uri, authorization, body string) *httptest.ResponseRecorder {
	return callWith(context.Background(), s, method, uri, authorization, body)
}

func callWith(ctx context.Context, s *Server, method, uri, authorization, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, method, uri, strings.NewReader(body))
	for line := range strings.SplitSeq(authorization, "\n") {
		if line != "" {
			r.Header.Add("Authorization", line)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// What the handler is given: the verified origin, unescaped parameters, the canonical body, the URI as sent.
func TestHandlerSeesTheRequest(t *testing.T) {
	s, events := newTestServer(t)
	key := testKey(t, "ed25519:1", 1)
	uri := "/_matrix/federation/v1/event/%24a%2Fb%2Bc+d%25?x=%2F&x=2"
	w := call(s, "GET", uri, authorize(key, "GET", uri, "origin.example", "self.example", ""), "")
	want := `{"body":"","origin":"origin.example","params":{"eventID":"$a/b+c+d%"},"query":{"x":["/","2"]},"uri":"` + uri + `"}`
	if got := w.Body.String(); w.Code != 200 || got != strings.ReplaceAll(want, "&", `\u0026`) {
		t.Errorf("got %d %s\nwant %s", w.Code, got, want)
	}
	served := recorded[trace.TransportServed](events)
	if len(served) != 1 || served[0].Origin != "origin.example" || served[0].Route != "/_matrix/federation/v1/event/:eventID" {
		t.Errorf("trace: %+v", served)
	}
	w = call(s, "PUT", send, authorize(key, "PUT", send, "origin.example", "self.example", `{"a":[],"b":1.50}`), "{\"b\":1.50,\n\"a\":[]}")
	if got := w.Body.String(); !strings.Contains(got, `"body":"{\"a\":[],\"b\":1.50}"`) {
		t.Errorf("got %s", got)
	}
}

// several headers, one per key: one good signature is enough, but they must be of one origin.
func TestSeveralHeaders(t *testing.T) {
	s, _ := newTestServer(t)
	sign := func(key signing.Key, origin, destination string) string {
		return authorize(key, "PUT", send, origin, destination, `{}`)
	}
	first, second := testKey(t, "ed25519:1", 1), testKey(t, "ed25519:2", 2)
	good := sign(first, "origin.example", "self.example")
	unknown := sign(testKey(t, "ed25519:9", 9), "origin.example", "self.example")
	impostor := sign(testKey(t, "ed25519:2", 9), "origin.example", "self.example")
	third := sign(testKey(t, "ed25519:1", 3), "third.example", "self.example")
	for _, tt := range []struct {
		name    string
		headers []string
		status  int
	}{
		{"two good", []string{good, sign(second, "origin.example", "self.example")}, 200},
		{"unknown key first", []string{unknown, good}, 200},
		{"bad signature first", []string{impostor, good}, 200},
		{"another scheme beside", []string{"Bearer x", good, "Basic y"}, 200},
		{"malformed beside", []string{"X-Matrix x", good}, 200},
		{"for another destination beside", []string{sign(first, "origin.example", "other.example"), good}, 200},
		{"both bad", []string{impostor, unknown}, 401},
		{"two origins", []string{good, third}, 401},
		{"too many", append(slices.Repeat([]string{unknown}, maxCredentials), good), 401},
	} {
		if w := call(s, "PUT", send, strings.Join(tt.headers, "\n"), `{}`); w.Code != tt.status {
			t.Errorf("%s: got %d %s, want %d", tt.name, w.Code, w.Body, tt.status)
		}
	}
}

// No key is looked up for a request that cannot be accepted anyway: looking up may mean asking the network.
func TestKeysAreAskedLast(t *testing.T) {
	known := &knownKeys{}
	s, _ := newTestServer(t, func(c *ServerConfig) { c.Keys = known })
	key := testKey(t, "ed25519:1", 1)
	good := authorize(key, "PUT", send, "origin.example", "self.example", `{}`)
	call(s, "PUT", send, "", `{}`)
	call(s, "PUT", send, authorize(key, "PUT", send, "origin.example", "other.example", `{}`), `{}`)
	call(s, "PUT", send, good, `[]`)
	call(s, "PUT", send, good, `nonsense`)
	call(s, "GET", "/health", good, "")
	if known.asked != 0 {
		t.Errorf("asked %d times", known.asked)
	}
	call(s, "PUT", send, good, `{}`)
	if known.asked != 1 {
		t.Errorf("asked %d times, want once", known.asked)
	}
}

func TestReplies(t *testing.T) {
	s, _ := newTestServer(t)
	for _, tt := range []struct {
		path   string
		status int
		body   string
		header map[string]string
	}{
		{"/_matrix/federation/v1/version", 200, `{"server":{"name":"Strata","version":"1.2.3"}}`, nil}, // E-02
		{"/_matrix/key/v2/server", 200, `{"server_name":"self.example"}`, nil},
		{"/health", 200, "OK", map[string]string{"Content-Type": "text/plain; charset=utf-8"}},
		{"/healthz", 200, "OK", nil},
		{"/readyz", 200, "OK", nil},
		{"/array", 202, `[200,{}]`, nil},
		{"/nothing", 200, `{}`, nil},
		{"/refuse", 400, `{"errcode":"M_INCOMPATIBLE_ROOM_VERSION","error":"no","room_version":"9"}`, nil},
		{"/slow", 429, `{"errcode":"M_LIMIT_EXCEEDED","error":"x","retry_after_ms":1500}`, map[string]string{"Retry-After": "2"}},
		{"/secret", 500, `{"errcode":"M_UNKNOWN","error":"internal error"}`, nil},
		{"/open", 405, `{"errcode":"M_UNRECOGNIZED","error":"method not allowed"}`, map[string]string{"Allow": "POST"}},
	} {
		w := call(s, "GET", tt.path, "", "")
		if w.Code != tt.status || w.Body.String() != tt.body {
			t.Errorf("%s: got %d %s, want %d %s", tt.path, w.Code, w.Body, tt.status, tt.body)
		}
		for name, want := range tt.header {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s %q, want %q", tt.path, name, got, want)
			}
		}
	}
}

// A reply that is written piece by piece may use the context of its handler until it is written.
func TestStreamHasContext(t *testing.T) {
	s, _ := newTestServer(t, func(c *ServerConfig) {
		c.Routes = []Route{{Method: "GET", Pattern: "/stream", Open: true, Handle: func(ctx context.Context, _ *Request) (Reply, error) {
			return Reply{Stream: func(w io.Writer) error {
				_, err := fmt.Fprintf(w, `{"ended":%t}`, ctx.Err() != nil)
				return err
			}}, nil
		}}}
	})
	if w := call(s, "GET", "/stream", "", ""); w.Body.String() != `{"ended":false}` {
		t.Errorf("got %s", w.Body)
	}
}

// Where there is no room, requests are sent away with a 429 at once, and the room comes back.
func TestAdmission(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	hold := Route{Method: "PUT", Pattern: "/hold", Handle: func(context.Context, *Request) (Reply, error) {
		entered <- struct{}{}
		<-leave
		return Reply{}, nil
	}}
	for _, tt := range []struct {
		name   string
		limits ServerLimits
		origin string
		status int
	}{
		{"requests", ServerLimits{Requests: 1}, "third.example", 429},
		{"memory", ServerLimits{Memory: 5}, "third.example", 429}, // a byte more than the body
		{"an origin's share of the requests", ServerLimits{Requests: 2, OriginRequests: 9}, "origin.example", 429},
		{"another origin's", ServerLimits{Requests: 2, OriginRequests: 9}, "third.example", 200},
		{"its share of the memory", ServerLimits{Memory: 8, OriginRequests: 9}, "origin.example", 429},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newTestServer(t, func(c *ServerConfig) { c.Limits, c.Routes = tt.limits, append(testRoutes(), hold) })
			first := make(chan int)
			go func() {
				first <- call(s, "PUT", "/hold", authorize(testKey(t, "ed25519:1", 1), "PUT", "/hold", "origin.example", "self.example", `{}`), `{}`).Code
			}()
			<-entered
			seed := map[string]byte{"origin.example": 1, "third.example": 3}[tt.origin]
			again := func() int {
				return call(s, "PUT", send, authorize(testKey(t, "ed25519:1", seed), "PUT", send, tt.origin, "self.example", `{}`), `{}`).Code
			}
			if got := again(); got != tt.status {
				t.Errorf("meanwhile: %d, want %d", got, tt.status)
			}
			leave <- struct{}{}
			if got := <-first; got != 200 {
				t.Errorf("first: %d", got)
			}
			if got := again(); got != 200 {
				t.Errorf("afterwards: %d", got)
			}
			if a := s.admission; len(a.lines)+len(a.unverified.held)+len(a.verified.held)+len(a.memory.held) != 0 {
				t.Errorf("left over: %+v", a)
			}
		})
	}
}

// The client and the server agree, over real TLS and HTTP/2, with ids that need escaping.
func TestClientToServer(t *testing.T) {
	s, _ := newTestServer(t)
	ca := newIssuer(t)
	address := run(t, s, ca.config(t, "self.example"))
	_, portText, _ := net.SplitHostPort(address)
	names := at("self.example")
	var port uint16
	fmt.Sscan(portText, &port)
	names.srv["_matrix-fed._tcp.self.example"] = []dns.Service{{Target: "target.example", Port: port}}
	client := newTestClient(t, ca, names)
	for _, id := range []string{"$a/b+c=", "$%2F", "$é ?&#", "!r:x.example", "$..", "$\\"} {
		answer, err := client.Do(t.Context(), "self.example", Call{Method: "GET", Path: Path("_matrix", "federation", "v1", "event", id)})
		if err != nil {
			t.Errorf("%q: %v", id, err)
			continue
		}
		var got struct{ Origin, Params any }
		if err := json.Unmarshal(answer.Body, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]any{"eventID": id}, got.Params); diff != "" || got.Origin != "origin.example" {
			t.Errorf("origin %v, params -want +got\n%s", got.Origin, diff)
		}
	}
	body := []byte(`{"pdus":[{"content":{"x":"<>&\u2028"}}]}`)
	if _, err := client.Do(t.Context(), "self.example", Call{Method: "PUT", Path: send, Body: body}); err != nil {
		t.Error(err)
	}
}

func echoNothing(context.Context, *Request) (Reply, error) { return Reply{}, nil }
