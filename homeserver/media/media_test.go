// SPDX-License-Identifier: Apache-2.0

package media_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/media"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

const (
	alice, adam, bob = "@alice:a.example", "@adam:a.example", "@bob:b.example"
	root             = "@root:a.example" // an administrator
	upload, create   = "/_matrix/media/v3/upload", "/_matrix/media/v1/create"
	client, old      = "/_matrix/client/v1/media/", "/_matrix/media/v3/"
)

// world is servers that reach each other. A host without a handler is down.
type world struct {
	t *testing.T

	mu       sync.Mutex
	handlers map[string]http.Handler
	requests []string
}

// RoundTrip implements http.RoundTripper.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	handler := w.handlers[r.URL.Host]
	w.requests = append(w.requests, r.URL.Host+r.URL.EscapedPath())
	w.mu.Unlock()
	if handler == nil {
		return nil, errors.New("connection refused")
	}
	arriving := r.Clone(r.Context())
	arriving.RequestURI, arriving.RemoteAddr, arriving.Body = r.URL.RequestURI(), "192.0.2.1:1", http.NoBody
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, arriving)
	return recorder.Result(), r.Context().Err()
}

// downloads counts the requests for content that a host got.
func (w *world) downloads(host string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		if strings.HasPrefix(r, host+"/_matrix/federation/v1/media/download/") {
			n++
		}
	}
	return n
}

// site is one homeserver, as far as content goes.
type site struct {
	t       *testing.T
	server  *messaging.Server
	clients http.Handler
	run     func(context.Context) error
	dir     string
}

func (w *world) open(name, dir string, change ...func(*media.Config)) *site {
	w.t.Helper()
	key, err := signing.NewKey("ed25519:1", bytes.Repeat([]byte(name[:1]), 32))
	if err != nil {
		w.t.Fatal(err)
	}
	s := &site{t: w.t, dir: dir}
	var routes []api.Route
	s.server, err = messaging.Open(context.Background(), messaging.Config{
		ServerName: name, DataDir: dir, Key: key, RoundTripper: w, NoSync: true,
		Annex: persistence.Annex{Name: "hs", Steps: []string{media.Schema}},
		Core: func(server *messaging.Server) (messaging.Core, error) {
			cfg := media.Config{Self: server.Name(), Store: server.Store(), Remote: server, Dir: filepath.Join(dir, "media"), NoSync: true}
			for _, f := range change {
				f(&cfg)
			}
			repository, err := media.New(context.Background(), cfg)
			if err == nil {
				routes, s.run = repository.Routes(), repository.Run
			}
			return messaging.Core{Media: repository}, err
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.server.Close() }) // for tests that close it themselves
	if s.clients, err = api.NewHandler(api.Config{Routes: routes, Tokens: tokens{}}); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.handlers[name] = s.server.Handler()
	w.mu.Unlock()
	return s
}

// tokens are the names of users.
type tokens struct{}

func (tokens) Caller(_ context.Context, token string) (api.Caller, error) {
	return api.Caller{User: ident.UserID(token), Admin: token == root}, nil
}

func inBubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, &world{t: t, handlers: map[string]http.Handler{}}) })
}

// ask is a request of a client, "" for one without an access token.
func (s *site) ask(as, method, path, kind string, body io.Reader) *http.Response {
	request := httptest.NewRequestWithContext(s.t.Context(), method, path, body)
	if as != "" {
		request.Header.Set("Authorization", "Bearer "+as)
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	recorder := httptest.NewRecorder()
	s.clients.ServeHTTP(recorder, request)
	return recorder.Result()
}

// said is "status errcode", or the body of an answer that is no error.
func said(r *http.Response) string {
	body, _ := io.ReadAll(r.Body)
	if r.StatusCode == http.StatusOK {
		return string(body)
	}
	var refusal struct{ Errcode string }
	_ = json.Unmarshal(body, &refusal)
	return fmt.Sprintf("%d %s", r.StatusCode, refusal.Errcode)
}

func (s *site) get(as, path string) string { return said(s.ask(as, "GET", path, "", nil)) }

// uri is the id, as "server/id", of a reply with content_uri.
func (s *site) uri(r *http.Response) string {
	s.t.Helper()
	var reply struct {
		URI string `json:"content_uri"`
	}
	text := said(r)
	uri, ok := "", json.Unmarshal([]byte(text), &reply) == nil
	if ok {
		uri, ok = strings.CutPrefix(reply.URI, "mxc://")
	}
	if !ok {
		s.t.Fatalf("no content_uri in %s", text)
	}
	return uri
}

func (s *site) put(as, kind, name, content string) string {
	s.t.Helper()
	path := upload
	if name != "" {
		path += "?filename=" + name
	}
	return s.uri(s.ask(as, "POST", path, kind, strings.NewReader(content)))
}

// files counts what is on the disk, drafts included.
func (s *site) files(folder string) (n int) {
	s.t.Helper()
	err := filepath.WalkDir(filepath.Join(s.dir, "media", folder), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// What is uploaded is had again, with headers that leave a browser no choice.
func TestUploadAndDownload(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.open("a.example", t.TempDir(), func(c *media.Config) { c.MaxUpload = 1000 })
		for _, tt := range []struct{ kind, name, wantKind, wantDisposition string }{
			{"image/png", "a.png", "image/png", "inline; filename=a.png"},
			{"text/html", "x.html", "text/html", "attachment; filename=x.html"},
			{"text/plain; charset=utf-8", "", "text/plain; charset=utf-8", "inline"},
			{"image/svg+xml", "%C3%A4%22.svg", "image/svg+xml", "attachment; filename*=utf-8''%C3%A4%22.svg"},
			{"", "a%0D%0AX-Evil:1", "application/octet-stream", "attachment"},
			{"no type at all", "a%20b", "application/octet-stream", `attachment; filename="a b"`},
		} {
			id := a.put(alice, tt.kind, tt.name, "content of "+tt.kind)
			r := a.ask(adam, "GET", client+"download/"+id, "", nil)
			if got := said(r); got != "content of "+tt.kind {
				t.Errorf("%s: %s", tt.kind, got)
			}
			for header, want := range map[string]string{
				"Content-Type": tt.wantKind, "Content-Disposition": tt.wantDisposition, "X-Content-Type-Options": "nosniff",
				"Cross-Origin-Resource-Policy": "cross-origin", "X-Evil": "",
				"Content-Security-Policy": "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src 'unsafe-inline'; object-src 'self';",
			} {
				if got := r.Header.Get(header); got != want {
					t.Errorf("%q %q: %s: %q, want %q", tt.kind, tt.name, header, got, want)
				}
			}
		}
		id := a.put(alice, "image/png", "a.png", "x")
		if got := a.ask(adam, "GET", client+"download/"+id+"/b.png", "", nil).Header.Get("Content-Disposition"); got != "inline; filename=b.png" {
			t.Errorf("under a name of one's own: %s", got)
		}
		if got := a.get(alice, client+"config"); got != `{"m.upload.size":1000}` {
			t.Errorf("config: %s", got)
		}
		if got := a.files("own"); got != 7 { // six contents and x
			t.Errorf("%d files, want 7", got)
		}
		again := a.put(adam, "text/css", "", "x")
		if again == id || a.files("own") != 7 {
			t.Errorf("the same content once more: %s, %d files; want another id of the same file", again, a.files("own"))
		}
	})
}

// Every refusal is the one that the specification has for it.
func TestRefusals(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.open("a.example", t.TempDir(), func(c *media.Config) { c.MaxUpload = 10 })
		id := a.put(alice, "text/plain", "", "0123456789")
		for path, want := range map[string]string{
			client + "download/a.example/nothing": "404 M_NOT_FOUND", client + "download/a.example/..%2f..%2fetc": "404 M_NOT_FOUND",
			client + "download/a.example/" + strings.Repeat("a", 300): "404 M_NOT_FOUND", client + "download/no%20server/x": "404 M_NOT_FOUND",
			client + "download/..%2f..%2fetc/x": "404 M_NOT_FOUND", client + "download/down.example/x": "502 M_UNKNOWN",
			client + "download/down.example/x?allow_remote=false": "404 M_NOT_FOUND", client + "download/" + id + "?timeout_ms=x": "400 M_INVALID_PARAM",
			client + "thumbnail/" + id: "400 M_UNKNOWN", client + "thumbnail/" + id + "?width=0&height=1": "400 M_UNKNOWN",
			client + "thumbnail/" + id + "?width=1&height=1": "400 M_UNKNOWN", client + "thumbnail/a.example/no?width=1&height=1": "404 M_NOT_FOUND",
			client + "preview_url?url=https://a.example": "404 M_UNRECOGNIZED",
		} {
			if got := a.get(alice, path); got != want {
				t.Errorf("%s: %s, want %s", path, got, want)
			}
		}
		for _, path := range []string{client + "download/" + id, client + "config", old + "config", client + "thumbnail/" + id} {
			if got := a.get("", path); got != "401 M_MISSING_TOKEN" {
				t.Errorf("%s without a token: %s", path, got)
			}
		}
		if got := said(a.ask("", "POST", upload, "", strings.NewReader("x"))); got != "401 M_MISSING_TOKEN" {
			t.Errorf("upload without a token: %s", got)
		}
		if got := said(a.ask(alice, "POST", upload, "", strings.NewReader("01234567890"))); got != "413 M_TOO_LARGE" {
			t.Errorf("upload of 11 bytes: %s", got)
		}
		broken := io.MultiReader(strings.NewReader("x"), &failing{})
		if got := said(a.ask(alice, "POST", upload, "", broken)); got != "400 M_UNKNOWN" {
			t.Errorf("upload that broke off: %s", got)
		}
		if a.files("drafts") != 0 || a.files("own") != 1 {
			t.Errorf("%d drafts and %d files are left, want 0 and 1", a.files("drafts"), a.files("own"))
		}
	})
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

// Ids that are given out before there is content (Client-Server API, "POST create", "PUT upload").
func TestAsynchronousUpload(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.open("a.example", t.TempDir())
		b := w.open("b.example", t.TempDir())
		made := a.ask(alice, "POST", create, "", strings.NewReader("{}"))
		var reply struct {
			Expires int64 `json:"unused_expires_at"`
		}
		text := said(made)
		if err := json.Unmarshal([]byte(text), &reply); err != nil || reply.Expires != time.Now().Add(24*time.Hour).UnixMilli() {
			t.Errorf("create: %s %v", text, err)
		}
		made.Body = io.NopCloser(strings.NewReader(text))
		id := a.uri(made)
		fill := func(as, id string) string {
			return said(a.ask(as, "PUT", upload+"/"+id, "text/plain", strings.NewReader("later")))
		}
		if got := a.get(alice, client+"download/"+id+"?timeout_ms=10"); got != "504 M_NOT_YET_UPLOADED" {
			t.Errorf("before it is uploaded: %s", got)
		}
		got := make(chan string)
		for path, s := range map[string]*site{client + "download/" + id: b, client + "download/" + id + "?timeout_ms=19000": a} {
			go func() { got <- s.get(alice, path) }()
		}
		time.Sleep(15 * time.Second)
		for _, tt := range []struct{ as, id, want string }{
			{adam, id, "403 M_FORBIDDEN"}, {alice, "a.example/unknown", "404 M_NOT_FOUND"}, {alice, "b.example/x", "404 M_NOT_FOUND"},
			{alice, id, "{}"}, {alice, id, "409 M_CANNOT_OVERWRITE_MEDIA"},
		} {
			if got := fill(tt.as, tt.id); got != tt.want {
				t.Errorf("%s puts %s: %s, want %s", tt.as, tt.id, got, tt.want)
			}
		}
		for range 2 {
			if got := <-got; got != "later" {
				t.Errorf("who waited got %s", got)
			}
		}
		for i := range 21 {
			want := http.StatusOK
			if i == 20 {
				want = http.StatusTooManyRequests
			}
			if r := a.ask(alice, "POST", create, "", strings.NewReader("{}")); r.StatusCode != want {
				t.Errorf("id %d: %s", i, said(r))
			}
		}
		forgotten := a.uri(a.ask(adam, "POST", create, "", strings.NewReader("{}")))
		time.Sleep(25 * time.Hour)
		if got := fill(adam, forgotten); got != "404 M_NOT_FOUND" {
			t.Errorf("a day later: %s", got)
		}
		a.uri(a.ask(alice, "POST", create, "", strings.NewReader("{}"))) // those of yesterday do not count
	})
}

// picture is a PNG picture of two halves, red and blue.
func picture(t *testing.T, width, height int) string {
	t.Helper()
	canvas := image.NewRGBA(image.Rect(0, 0, width, height))
	for x := range width {
		for y := range height {
			canvas.SetRGBA(x, y, color.RGBA{uint8(255 * (1 - 2*x/width)), 0, uint8(255 * (2 * x / width)), 255})
		}
	}
	var file bytes.Buffer
	if err := png.Encode(&file, canvas); err != nil {
		t.Fatal(err)
	}
	return file.String()
}

// Content of another server is asked for once, of the server that has it, and then it is here: also when that one is gone, and after a
// restart.
func TestRemote(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, dir := w.open("a.example", t.TempDir()), t.TempDir()
		b := w.open("b.example", dir)
		id := a.put(alice, "image/png", "two.png", picture(t, 64, 32))
		whole, small := client+"download/"+id, client+"thumbnail/"+id+"?width=16&height=8"
		if got := b.get(bob, whole+"?allow_remote=false"); got != "404 M_NOT_FOUND" {
			t.Errorf("not from elsewhere: %s", got)
		}
		got := make(chan string)
		for range 5 {
			go func() { got <- b.get(bob, whole) }()
		}
		for range 5 {
			if got := <-got; got != picture(t, 64, 32) {
				t.Errorf("fetched %.40q", got)
			}
		}
		r := b.ask(bob, "GET", whole, "", nil)
		if r.Header.Get("Content-Type") != "image/png" || r.Header.Get("Content-Disposition") != "inline; filename=two.png" {
			t.Errorf("headers %v", r.Header)
		}
		for range 2 {
			decoded, err := png.Decode(strings.NewReader(b.get(bob, small)))
			if err != nil || decoded.Bounds() != image.Rect(0, 0, 16, 8) || decoded.At(0, 0) != (color.RGBA{255, 0, 0, 255}) ||
				decoded.At(15, 7) != (color.RGBA{0, 0, 255, 255}) {
				t.Fatalf("thumbnail: %v", err)
			}
		}
		if n := w.downloads("a.example"); n != 1 {
			t.Errorf("a.example was asked %d times, want once", n)
		}
		if n := b.files("cache"); n != 2 {
			t.Errorf("%d files in the cache, want picture and thumbnail", n)
		}
		for _, s := range []*site{a, b} {
			if err := s.server.Close(); err != nil {
				t.Fatal(err)
			}
		}
		b = w.open("b.example", dir)
		if got := b.get(bob, whole+"?allow_remote=false"); got != picture(t, 64, 32) {
			t.Errorf("after a restart: %.40q", got)
		}
	})
}

// What is larger than is fetched is refused with the client's error, and leaves nothing behind.
func TestRemoteTooLarge(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.open("a.example", t.TempDir())
		b := w.open("b.example", t.TempDir(), func(c *media.Config) { c.MaxRemote = 99 })
		for size, want := range map[int]string{99: strings.Repeat("x", 99), 100: "502 M_TOO_LARGE"} {
			id := a.put(alice, "", "", strings.Repeat("x", size))
			if got := b.get(bob, client+"download/"+id); got != want {
				t.Errorf("%d bytes: %.40s", size, got)
			}
		}
		if b.files("drafts") != 0 || b.files("cache") != 1 {
			t.Errorf("%d drafts, %d files", b.files("drafts"), b.files("cache"))
		}
	})
}

// The cache stays within its size. What was used last stays; what goes can be had again.
func TestCacheIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a := w.open("a.example", t.TempDir())
		b := w.open("b.example", t.TempDir(), func(c *media.Config) { c.CacheSize = 1000 })
		var ids []string
		for i := range 6 {
			ids = append(ids, a.put(alice, "", "", strings.Repeat(fmt.Sprint(i), 300)))
		}
		twin := a.put(alice, "", "", strings.Repeat("0", 300))
		for _, id := range append([]string{ids[0], twin}, ids[1], ids[0], ids[2]) { // the file of 0 has two names, of which one goes
			if got := b.get(bob, client+"download/"+id); len(got) != 300 {
				t.Fatalf("%s: %s", id, got)
			}
			time.Sleep(2 * time.Hour)
		}
		for id, want := range map[string]int{ids[0]: 300, ids[1]: 300, ids[2]: 300, twin: len("404 M_NOT_FOUND")} {
			if got := b.get(bob, client+"download/"+id+"?allow_remote=false"); len(got) != want {
				t.Errorf("%s: %s", id, got)
			}
		}
		for _, id := range ids[3:] {
			b.get(bob, client+"download/"+id)
		}
		if n := b.files("cache"); n != 3 {
			t.Errorf("%d files in a cache for three", n)
		}
		if got := b.get(bob, client+"download/"+ids[0]); len(got) != 300 {
			t.Errorf("what had gone: %s", got)
		}
	})
}

// The folder of the cache may be lost: what was in it is fetched and made again.
func TestCacheIsLost(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		a, dir := w.open("a.example", t.TempDir()), t.TempDir()
		b := w.open("b.example", dir)
		id := a.put(alice, "image/png", "", picture(t, 64, 32))
		whole, small := client+"download/"+id, client+"thumbnail/"+id+"?width=16&height=8"
		before := b.get(bob, small)
		if err := b.server.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, "media", "cache")); err != nil {
			t.Fatal(err)
		}
		b = w.open("b.example", dir)
		if got := b.get(bob, small); got != before {
			t.Errorf("thumbnail: %.40q", got)
		}
		if got := b.get(bob, whole); got != picture(t, 64, 32) {
			t.Errorf("picture: %.40q", got)
		}
		if w.downloads("a.example") != 2 || b.files("cache") != 2 {
			t.Errorf("asked %d times, %d files; want 2 and 2", w.downloads("a.example"), b.files("cache"))
		}
	})
}

// The deprecated endpoints are for everybody, as long as they are not frozen; what was stored while they are is not for them.
func TestFrozen(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		dir := t.TempDir()
		a := w.open("a.example", dir, func(c *media.Config) { c.Unfrozen = true })
		b := w.open("b.example", t.TempDir())
		before := a.put(alice, "image/png", "", picture(t, 8, 8))
		theirs := b.put(bob, "text/plain", "", "theirs")
		for path, want := range map[string]string{"download/" + before: picture(t, 8, 8), "download/" + theirs: "theirs"} {
			if got := a.get("", old+path); got != want {
				t.Errorf("%s before: %.40q", path, got)
			}
		}
		if err := a.server.Close(); err != nil {
			t.Fatal(err)
		}
		a = w.open("a.example", dir)
		after, theirLater := a.put(alice, "text/plain", "", "after"), b.put(bob, "text/plain", "", "later")
		for path, want := range map[string]string{
			"download/" + before: picture(t, 8, 8), "download/" + theirs: "theirs", "thumbnail/" + before + "?width=8&height=8": picture(t, 8, 8),
			"download/" + after: "404 M_NOT_FOUND", "download/" + theirLater: "404 M_NOT_FOUND",
		} {
			if got := a.get("", old+path); got != want {
				t.Errorf("%s after: %.40q", path, got)
			}
		}
		if got := a.get(alice, client+"download/"+after); got != "after" {
			t.Errorf("with a token: %s", got)
		}
		if n := w.downloads("b.example"); n != 1 {
			t.Errorf("b.example was asked %d times, want once: nobody fetches over a frozen endpoint", n)
		}
	})
}
