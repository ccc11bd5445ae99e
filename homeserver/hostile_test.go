// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/trace"
)

// TestHostileRequests sends nonsense of every kind to every route there is. Each is to be answered with an error of the specification's
// form, or to do what it says; none with an internal error, and none may take the server down.
func TestHostileRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // waiting costs nothing here
		h := openHostile(t)
		random := rand.New(rand.NewPCG(1, 2)) // the same in each run
		for i, route := range h.routes {
			if testing.Short() && i%shortShare != 0 {
				continue
			}
			h.enter() // what was done to the user and the room of before does not hinder this one
			h.refused(route, "no token", h.request(route, usual, ""), "", !route.Open, http.StatusUnauthorized, "M_MISSING_TOKEN")
			h.refused(route, "a bad token", h.request(route, usual, ""), "bad", !route.Open, http.StatusUnauthorized, "M_UNKNOWN_TOKEN")
			h.refused(route, "a token in the query", h.request(route, usual, "access_token="+h.token), "", !route.Open, http.StatusUnauthorized, "M_MISSING_TOKEN")
			for _, body := range []string{"{", `{"a":}`, `{"a":1}x`, "\x00", "\xff", "<html>"} {
				h.refused(route, "body "+body, h.withBody(route, body), h.token, readsJSON(route), http.StatusBadRequest, "M_NOT_JSON")
			}
			for _, body := range []string{"[1]", `"text"`, "1", "null", "true"} {
				h.refused(route, "body "+body, h.withBody(route, body), h.token, readsJSON(route), http.StatusBadRequest, "M_BAD_JSON")
			}
			huge := `{"a":"` + strings.Repeat("x", int(max(route.MaxBody, api.DefaultMaxBody))) + `"}`
			h.refused(route, "a huge body", h.withBody(route, huge), h.token, readsJSON(route), http.StatusRequestEntityTooLarge, "M_TOO_LARGE")
			for _, value := range mistyped {
				h.survives(route, "every member "+value, h.withBody(route, everyMember(func() string { return value })))
			}
			for range tries {
				body := h.mixed(random)
				h.survives(route, fmt.Sprintf("body %.300s", body), h.withBody(route, body))
			}
			for _, value := range hostileParts {
				h.survives(route, "path with "+value, h.request(route, value, ""))
			}
			for _, value := range hostileQueries {
				h.survives(route, "query with "+value, h.request(route, usual, everyQuery(value)))
			}
		}
	})
}

const (
	// tries is how many bodies of a mixture each route is sent.
	tries = 20
	// shortShare of the routes is tried in a short run, under the race detector.
	shortShare = 8
)

// mixed is a body in which each member is any of what is mistyped, or well-formed.
func (h *hostile) mixed(random *rand.Rand) string {
	wellFormed := []string{
		fmt.Sprintf("%q", h.user), fmt.Sprintf("%q", h.room), fmt.Sprintf("%q", h.event), "true", "1", `"x"`, "{}", "[]", `["@user:b.example"]`,
		fmt.Sprintf(`{%q:{}}`, h.user), fmt.Sprintf(`{%q:["D"]}`, h.user),
	}
	return everyMember(func() string {
		switch n := random.IntN(10); {
		case n < 4:
			return "null" // as good as left out
		case n < 8:
			return wellFormed[random.IntN(len(wellFormed))]
		}
		return mistyped[random.IntN(len(mistyped))]
	})
}

// readsJSON tells whether the door reads the body of a route: that of a GET means nothing.
func readsJSON(route api.Route) bool { return !route.Raw && route.Method != http.MethodGet }

// hostile is a homeserver with all of its routes.
type hostile struct {
	t      *testing.T
	server *Server
	routes []api.Route

	token, user, room, event string // a user, and an event of theirs in a room of theirs
}

func openHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{t: t}
	cfg := Config{
		Messaging: messaging.Config{
			ServerName: "a.example", DataDir: t.TempDir(), NoSync: true, Trace: trace.SinkFunc(h.emit), RoundTripper: nobody{},
		},
		Accounts:      accounts.Policy{Registration: true, SharedSecret: "sesame"},
		PasswordCost:  accounts.CheapCost(),
		PublicBaseURL: "https://a.example",
	}
	server, err := Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	made, err := assemble(t.Context(), cfg, server.Federation()) // the same routes once more, to be looked at
	if err != nil {
		t.Fatal(err)
	}
	h.server, h.routes = server, made.routes
	return h
}

// nobody is a network without other servers.
type nobody struct{}

func (nobody) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

// emit reports what clients are not told.
func (h *hostile) emit(e trace.Event) {
	if failed, ok := e.(trace.ClientFailed); ok {
		h.t.Errorf("%s %s: %s", failed.Method, failed.Route, failed.Error)
	}
}

// enter registers a user of any name, who makes a room, says something there, and says more about it.
func (h *hostile) enter() {
	h.t.Helper()
	made := h.must("POST", "register", `{"password":"p","auth":{"type":"m.login.dummy"}}`)
	h.token, h.user = made["access_token"], made["user_id"]
	h.room = h.must("POST", "createRoom", `{"preset":"public_chat"}`)["room_id"]
	h.event = h.must("PUT", "rooms/"+h.room+"/send/m.room.message/1", `{"msgtype":"m.text","body":"hello"}`)["event_id"]
	for _, kind := range []string{"m.thread", "m.replace", "m.reference", "m.annotation"} {
		content := fmt.Sprintf(`{"msgtype":"m.text","body":"x","m.new_content":{},"m.relates_to":{"rel_type":%q,"event_id":%q}}`, kind, h.event)
		h.must("PUT", "rooms/"+h.room+"/send/m.room.message/"+kind, content)
	}
}

// must sends a request that succeeds, and gives the answer's members.
func (h *hostile) must(method, path, body string) (members map[string]string) {
	h.t.Helper()
	w := h.do(httptest.NewRequest(method, "/_matrix/client/v3/"+path, strings.NewReader(body)), h.token)
	if err := json.Unmarshal(w.Body.Bytes(), &members); err != nil || w.Code != http.StatusOK {
		h.t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	return members
}

// usual stands for parts of a path that are well-formed.
const usual = ""

// usually is a well-formed part of a path, by the beginning of its name.
func (h *hostile) usually(name string) string {
	for _, known := range []struct{ name, value string }{
		{"roomalias", "#alias:a.example"}, {"room", h.room}, {"alias", "#alias:a.example"}, {"user", h.user}, {"event", h.event},
		{"server", "b.example"}, {"type", "org.example.type"}, {"txn", "txn"},
	} {
		if strings.HasPrefix(name, known.name) {
			return known.value
		}
	}
	return "x"
}

var partPattern = regexp.MustCompile(`\{([A-Za-z]*)(\.\.\.|\$)?\}`)

// request is one to a route, each part of its path being value.
func (h *hostile) request(route api.Route, value, query string) *http.Request {
	path := partPattern.ReplaceAllStringFunc(route.Pattern, func(part string) string {
		name := strings.ToLower(partPattern.FindStringSubmatch(part)[1])
		if name == "" {
			return ""
		}
		if value != usual {
			return url.PathEscape(value)
		}
		return url.PathEscape(h.usually(name))
	})
	return httptest.NewRequest(route.Method, path+"?"+query, http.NoBody)
}

func (h *hostile) withBody(route api.Route, body string) *http.Request {
	r := h.request(route, usual, "")
	return httptest.NewRequest(r.Method, r.URL.String(), strings.NewReader(body))
}

func (h *hostile) do(r *http.Request, token string) *httptest.ResponseRecorder {
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.server.Handler().ServeHTTP(w, r)
	return w
}

// refused sends a request that has to end with this error, if it is one for this route.
func (h *hostile) refused(route api.Route, what string, r *http.Request, token string, applies bool, status int, code string) {
	h.t.Helper()
	if !applies {
		return
	}
	w := h.do(r, token)
	if got := codeOf(w); w.Code != status || got != code {
		h.t.Errorf("%s %s, %s: %d %.200s; want %d %s", route.Method, route.Pattern, what, w.Code, w.Body, status, code)
	}
}

// survives sends a request that may end with success, or with an error that says what is wrong with it. 502 and 504 are said of other
// servers.
func (h *hostile) survives(route api.Route, what string, r *http.Request) {
	h.t.Helper()
	w := h.do(r, h.token)
	failed := w.Code >= http.StatusInternalServerError && w.Code != http.StatusBadGateway && w.Code != http.StatusGatewayTimeout
	if failed || w.Code >= http.StatusBadRequest && codeOf(w) == "" && !bytes.Contains(w.Body.Bytes(), []byte(`"flows"`)) {
		h.t.Errorf("%s %s, %s: %d %.200s", route.Method, route.Pattern, what, w.Code, w.Body)
	}
	if w := h.do(httptest.NewRequest("GET", "/_matrix/client/v3/account/whoami", http.NoBody), h.token); w.Code != http.StatusOK {
		h.enter() // it was what logs out
	}
}

func codeOf(w *httptest.ResponseRecorder) string {
	var answer struct {
		Code string `json:"errcode"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &answer) // one that is not JSON has no code
	return answer.Code
}

// mistyped is what stands where something else is wanted.
var mistyped = []string{
	"null", "true", "0", "-1", "1.5", "1e300", "123456789012345678901234567890", `""`, `"x"`, `"\u0000"`, `"\ud800"`, "[]", "[null]", "[[[1]]]", `["x"]`,
	"{}", `{"x":null}`, `{"x":{"y":["z"]}}`, `{"":1}`, `{"@u:a.example":{"D":{}}}`, `{"@u:a.example":["D"]}`, `{"m.room.x":-5}`,
	`"` + strings.Repeat("x", 4000) + `"`, strings.Repeat("[", 2000) + strings.Repeat("]", 2000),
}

// everyMember is an object with each member that some request has.
func everyMember(value func() string) string {
	members := make([]string, 0, 128)
	for name := range strings.FieldsSeq(requestMembers) {
		members = append(members, fmt.Sprintf("%q:%s", name, value()))
	}
	return "{" + strings.Join(members, ",") + "}"
}

// requestMembers are those of the requests of the Client-Server API.
const requestMembers = `
	type username password device_id initial_device_display_name inhibit_login refresh_token identifier user medium address
	new_password logout_devices devices display_name displayname avatar_url erase nonce mac admin user_type
	name topic visibility preset room_version creation_content initial_state power_level_content_override invite invite_3pid is_direct
	room_alias_name room_id room_ids user_id reason third_party_signed servers additional_creators new_version event_id
	filter limit since include_all_networks third_party_instance_id generic_search_term search_term search_categories
	typing timeout presence status_msg m.fully_read m.read m.read.private thread_id membership body msgtype content state_key
	messages device_keys one_time_keys fallback_keys algorithms keys signatures master_key self_signing_key user_signing_key token
	account_data room event_fields event_format order enabled actions conditions pattern
	algorithm auth_data version rooms sessions first_message_index forwarded_count is_verified session_data
	app_id app_display_name device_display_name profile_tag lang kind data pushkey append
	m.relates_to m.new_content rel_type
	recurse from to dir score tags aliases alias ephemeral timeline state lists room_subscriptions conn_id pos`

// hostileParts stand in a path.
var hostileParts = []string{
	"\x00", "%", "%2F", "..", ".", " ", "\n", "\xff", "💥", "!", "!:", "@:", "#a:b:c:d", "$", "-1", "null", "undefined", "'; DROP TABLE hs_users; --",
	strings.Repeat("a", 300), "!" + strings.Repeat("r", 5000) + ":a.example", "@other:b.example", "!r:b.example", "#r:b.example", "../../etc/passwd",
	"!room:a.example:port", "@USER:A.EXAMPLE", "m.push_rules", "m.room.create",
}

// hostileQueries are values of queries.
var hostileQueries = []string{
	"", "-1", "0", "1", "9223372036854775807", "9223372036854775808", "1e9", "x", "\x00", "\xff", "{", "{}", "[]", "null", "true", "f", "b", "s_1", "!r:a.example",
	"@u:b.example", "1_2_3", strings.Repeat("9", 100), strings.Repeat("x", 5000), "online", "https://b.example/", "scale", "highlight", "..",
}

// everyQuery is a query in which each parameter that some request has is value.
func everyQuery(value string) string {
	query := url.Values{}
	for name := range strings.FieldsSeq(queryNames) {
		query.Set(name, value)
	}
	return query.Encode()
}

const queryNames = `
	since filter full_state set_presence timeout use_state_after from to dir limit at membership not_membership ts event_id format
	server_name via kind username user_id field width height method animated allow_remote allow_redirect timeout_ms url filename
	max_depth suggested_only recurse include search_term before after only version include_all_networks room_id pos access_token_x`
