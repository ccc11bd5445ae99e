// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// shelf is a repository with a few things in it. What is asked for is noted.
type shelf struct {
	mu    sync.Mutex
	asked []string
}

func (s *shelf) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, fmt.Sprintf(format, args...))
}

func (s *shelf) Content(_ context.Context, id ident.MediaID, wait time.Duration) (*messaging.MediaContent, error) {
	s.note("%s %v", id, wait)
	content := &messaging.MediaContent{ReadCloser: io.NopCloser(strings.NewReader("bytes")), Type: "image/png", Size: 5}
	switch id {
	case "named":
		content.Disposition = `inline; filename=a.png`
	case "hostile":
		content.Type, content.Disposition = "text/html\r\nLocation: https://10.0.0.1/", "inline\nX: y"
	case "short":
		content.Size = 6
	case "later":
		time.Sleep(wait)
		return nil, fmt.Errorf("%s: %w", id, messaging.ErrNotYetUploaded)
	case "large":
		return nil, messaging.ErrMediaTooLarge
	case "busy":
		return nil, messaging.ErrMediaBusy
	case "broken":
		return nil, errors.New("disk on fire")
	case "plain":
	default:
		return nil, messaging.ErrNoMedia
	}
	return content, nil
}

func (s *shelf) Thumbnail(_ context.Context, id ident.MediaID, want messaging.Thumbnail, _ time.Duration) (*messaging.MediaContent, error) {
	s.note("%s %+v", id, want)
	if id == "text" {
		return nil, messaging.ErrNoThumbnail
	}
	return &messaging.MediaContent{ReadCloser: io.NopCloser(strings.NewReader("small")), Type: "image/jpeg", Size: 5}, nil
}

func withShelf(s *shelf) func(*messaging.Config) {
	return func(c *messaging.Config) { c.Core = made(messaging.Core{Media: s}) }
}

// raw is the reply to a signed GET with its boundary written as B, or "status errcode".
func (p *peer) raw(t *testing.T, dest, path string, query map[string][]string) string {
	t.Helper()
	stream, err := p.client.Open(t.Context(), ident.ServerName(dest), transport.Call{Method: "GET", Path: path, Query: query})
	if err != nil {
		return refusal(err)
	}
	defer stream.Close()
	body := must[[]byte](t)(io.ReadAll(stream))
	kind, params, err := mime.ParseMediaType(stream.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" || params["boundary"] == "" {
		t.Errorf("Content-Type %q", stream.Header.Get("Content-Type"))
	}
	return strings.ReplaceAll(string(body), params["boundary"], "B")
}

// M-80, M-82, M-84, E-34, E-35: the answers are those of the Server-Server API, "Content Repository".
func TestMediaServed(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		own := &shelf{}
		n.open("a.example", "", withShelf(own))
		n.open("b.example", "")
		x := n.peer("x.example")
		const download, thumbnail = "/_matrix/federation/v1/media/download/", "/_matrix/federation/v1/media/thumbnail/"
		const head, tail = "--B\r\nContent-Type: application/json\r\n\r\n{}\r\n--B\r\n", "\r\n--B--\r\n"
		size := map[string][]string{"width": {"32"}, "height": {"96"}, "method": {"crop"}}
		for _, tt := range []struct {
			path  string
			query map[string][]string
			want  string
			asked string
		}{
			{download + "plain", nil, head + "Content-Type: image/png\r\n\r\nbytes" + tail, "plain 20s"},
			{download + "named", nil, head + "Content-Type: image/png\r\nContent-Disposition: inline; filename=a.png\r\n\r\nbytes" + tail, "named 20s"},
			{download + "hostile", nil, head + "Content-Type: application/octet-stream\r\n\r\nbytes" + tail, "hostile 20s"},
			{download + "short", nil, head + "Content-Type: image/png\r\n\r\nbytes", "short 20s"},
			{download + "later", map[string][]string{"timeout_ms": {"99999999"}}, "504 M_NOT_YET_UPLOADED", "later 20s"},
			{download + "later", map[string][]string{"timeout_ms": {"500"}}, "504 M_NOT_YET_UPLOADED", "later 500ms"},
			{download + "later", map[string][]string{"timeout_ms": {"-1"}}, "400 M_INVALID_PARAM", ""},
			{download + "nothing", nil, "404 M_NOT_FOUND", "nothing 20s"},
			{download + "large", nil, "413 M_TOO_LARGE", "large 20s"},
			{download + "busy", nil, "429 M_LIMIT_EXCEEDED", "busy 20s"},
			{download + "broken", nil, "500 M_UNKNOWN", "broken 20s"},
			{download + "%2E%2E%2Fetc", nil, "404 M_NOT_FOUND", ""},
			{download + strings.Repeat("a", 256), nil, "404 M_NOT_FOUND", ""},
			{thumbnail + "plain", size, head + "Content-Type: image/jpeg\r\n\r\nsmall" + tail, "plain {Width:32 Height:96 Crop:true Animated:false}"},
			{thumbnail + "text", size, "400 M_UNKNOWN", "text {Width:32 Height:96 Crop:true Animated:false}"},
			{thumbnail + "plain", nil, "400 M_UNKNOWN", ""},
		} {
			own.asked = nil
			if diff := cmp.Diff(tt.want, x.raw(t, "a.example", tt.path, tt.query)); diff != "" {
				t.Errorf("%s %v: -want +got\n%s", tt.path, tt.query, diff)
			}
			if got := strings.Join(own.asked, "; "); got != tt.asked {
				t.Errorf("%s: the repository was asked for %q, want %q", tt.path, got, tt.asked)
			}
		}
		if got := x.raw(t, "b.example", download+"plain", nil); got != "404 M_UNRECOGNIZED" {
			t.Errorf("without a repository: %s", got)
		}
	})
}

// What waits for uploads leaves room for the other requests of its server.
func TestMediaWaitsLeaveRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		own := &shelf{}
		n.open("a.example", "", withShelf(own))
		x := n.peer("x.example")
		begun := time.Now()
		took := make(chan time.Duration)
		const asks = 4 // as many as are worked on of one origin at one time
		for range asks {
			go func() {
				_ = x.raw(t, "a.example", "/_matrix/federation/v1/media/download/later", nil)
				took <- time.Since(begun).Round(time.Second)
			}()
			time.Sleep(time.Millisecond)
		}
		var got []time.Duration
		for range asks {
			got = append(got, <-took)
		}
		if diff := cmp.Diff([]time.Duration{0, 0, 20 * time.Second, 20 * time.Second}, got); diff != "" {
			t.Errorf("four requests for what is not there yet took: -want +got\n%s", diff)
		}
	})
}

// fetched is what a download came to: "type disposition bytes", or the error's sentinel.
func fetched(content *messaging.MediaContent, err error) string {
	var body []byte
	if err == nil {
		defer content.Close()
		if body, err = io.ReadAll(content); err == nil {
			return fmt.Sprintf("%s|%s|%s", content.Type, content.Disposition, body)
		}
	}
	for _, known := range []error{messaging.ErrNoMedia, messaging.ErrNotYetUploaded, messaging.ErrMediaTooLarge, messaging.ErrNoThumbnail, ident.ErrInvalid} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "another error"
}

// M-81: the way that was before is gone only where a server says that it does not know the new one.
func TestMediaAsked(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, x := n.open("a.example", ""), n.peer("x.example")
		n.open("b.example", "", withShelf(&shelf{}))
		part := func(header, content string) string {
			return "--B\r\nContent-Type: application/json\r\n\r\n{}\r\n--B\r\n" + header + "\r\n\r\n" + content + "\r\n--B--\r\n"
		}
		x.mux.HandleFunc("GET /_matrix/federation/v1/media/download/{id}", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "multipart/mixed; boundary=B")
			switch id := r.PathValue("id"); id {
			case "parts":
				fmt.Fprint(w, part("Content-Type: text/plain", "0123456789"))
			case "far", "farfar", "inside", "cleartext":
				where := map[string]string{"far": "https://cdn.example/f", "farfar": "https://cdn.example/r", "inside": "https://x.example/loop", "cleartext": "http://cdn.example/f"}
				fmt.Fprint(w, part("Content-Disposition: inline; filename=f\r\nLocation: "+where[id], ""))
			case "cut":
				fmt.Fprint(w, strings.TrimSuffix(part("", "abc"), "\r\n--B--\r\n"))
			case "json":
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, "{}")
			default:
				refuseAs(w, id)
			}
		})
		x.mux.HandleFunc("GET /_matrix/federation/v1/media/thumbnail/{id}", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "animated=false&height=2&method=crop&timeout_ms=0&width=1" {
				t.Errorf("thumbnail asked for with %s", r.URL.RawQuery)
			}
			refuseAs(w, "400-M_UNKNOWN")
		})
		x.mux.HandleFunc("GET /_matrix/media/v3/download/x.example/{id}", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("allow_remote") != "false" || r.Header.Get("Authorization") != "" {
				t.Errorf("the old way was asked with %s and %q", r.URL.RawQuery, r.Header.Get("Authorization"))
			}
			w.Header().Set("Content-Type", "image/gif")
			fmt.Fprint(w, "old")
		})
		x.mux.HandleFunc("GET /loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
		cdn := http.NewServeMux()
		cdn.HandleFunc("GET /f", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/css")
			fmt.Fprint(w, "far")
		})
		cdn.HandleFunc("GET /r", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://cdn.example/f", http.StatusTemporaryRedirect)
		})
		n.put("cdn.example", cdn)
		for id, want := range map[string]string{
			"parts": "text/plain||0123456789", "far": "text/css|inline; filename=f|far", "farfar": "text/css|inline; filename=f|far",
			"inside": "another error", "cleartext": "another error", "cut": "another error", "json": "another error",
			"404-M_UNRECOGNIZED": "image/gif||old", "404-M_NOT_FOUND": "no such content", "404-": "another error", "405-M_UNRECOGNIZED": "another error",
			"504-M_NOT_YET_UPLOADED": "the content has not been uploaded yet", "502-M_TOO_LARGE": "the content is too large",
			"401-M_UNAUTHORIZED": "another error", "500-M_UNRECOGNIZED": "another error", "../etc": "invalid identifier", "": "invalid identifier",
		} {
			if got := fetched(a.DownloadMedia(t.Context(), "x.example", ident.MediaID(id), messaging.MediaOptions{})); got != want {
				t.Errorf("%s: %s, want %s", id, got, want)
			}
		}
		for limit, want := range map[int64]string{10: "text/plain||0123456789", 9: "the content is too large"} {
			if got := fetched(a.DownloadMedia(t.Context(), "x.example", "parts", messaging.MediaOptions{MaxSize: limit})); got != want {
				t.Errorf("at most %d bytes: %s, want %s", limit, got, want)
			}
		}
		for id, want := range map[string]string{"far": "the content is too large", "404-M_UNRECOGNIZED": "the content is too large"} {
			if got := fetched(a.DownloadMedia(t.Context(), "x.example", ident.MediaID(id), messaging.MediaOptions{MaxSize: 2})); got != want {
				t.Errorf("%s of at most 2 bytes: %s, want %s", id, got, want)
			}
		}
		small := messaging.Thumbnail{Width: 1, Height: 2, Crop: true}
		if got := fetched(a.DownloadThumbnail(t.Context(), "x.example", "text", small, messaging.MediaOptions{})); got != "no thumbnail can be made of the content" {
			t.Errorf("thumbnail: %s", got)
		}
		if got := fetched(a.DownloadThumbnail(t.Context(), "b.example", "plain", small, messaging.MediaOptions{})); got != "image/jpeg||small" {
			t.Errorf("thumbnail of another Strata: %s", got)
		}
		if got := fetched(a.DownloadMedia(t.Context(), "b.example", "named", messaging.MediaOptions{})); got != "image/png|inline; filename=a.png|bytes" {
			t.Errorf("content of another Strata: %s", got)
		}
	})
}

// refuseAs answers with "status-errcode".
func refuseAs(w http.ResponseWriter, what string) {
	var status int
	var code string
	_, _ = fmt.Sscanf(what, "%d-%s", &status, &code)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(max(status, 400))
	if code != "" {
		fmt.Fprintf(w, `{"errcode":%q,"error":"so said"}`, code)
	}
}
