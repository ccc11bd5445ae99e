// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/dns"
)

// A reply of another type than JSON is handed out as it comes, signed for like any, and noted once it is closed.
func TestOpen(t *testing.T) {
	ca, log := newIssuer(t), &recorder{}
	p := newPeer(t, ca, reply(200, "bytes", "Content-Type", "image/png"), "s.example")
	client := newTestClient(t, ca, at("s.example", p.port), func(s *setup) { s.Trace = log })
	stream, err := client.Open(t.Context(), "s.example", Call{Method: "GET", Path: "/_matrix/m"})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(stream)
	if err != nil || string(body) != "bytes" || stream.Header.Get("Content-Type") != "image/png" {
		t.Errorf("%q %v %v", body, err, stream.Header)
	}
	if got := recorded[trace.TransportSent](log); len(got) != 0 {
		t.Errorf("noted before it was closed: %+v", got)
	}
	_, _ = stream.Close(), stream.Close()
	got := recorded[trace.TransportSent](log)
	if len(got) != 1 || got[0].Status != 200 || got[0].Received != 5 || got[0].Destination != "s.example" {
		t.Errorf("noted %+v, want one reply of 5 bytes", got)
	}
	if h := p.requests[0].Header; h.Get("Accept") != "*/*" || !strings.HasPrefix(h.Get("Authorization"), "X-Matrix ") {
		t.Errorf("request headers %v", h)
	}
}

func TestOpenFailures(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    Class
		status  int
		code    string
	}{
		{"refused", reply(404, `{"errcode":"M_UNRECOGNIZED","error":"?"}`), Class4xxContent, 404, "M_UNRECOGNIZED"},
		{"redirect", reply(307, "", "Location", "https://other.example/"), ClassNotJSON, 307, ""},
		{"endless refusal", forever(502, strings.Repeat("x", 1<<12)), Class5xx, 502, ""},
		{"too long", forever(200, strings.Repeat("x", 1<<12)), ClassNotJSON, 200, ""},
		{"broken off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "x")
		}, ClassDial, 0, ""},
		{"silent", func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, ClassTimeout, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ca := newIssuer(t)
			p := newPeer(t, ca, tt.handler, "s.example")
			client := newTestClient(t, ca, at("s.example", p.port), func(s *setup) { s.Limits.Silence = 200 * time.Millisecond })
			stream, err := client.Open(t.Context(), "s.example", Call{Method: "GET", Path: "/_matrix/m", MaxReply: 1 << 16})
			if err == nil {
				var n int64
				n, err = io.Copy(io.Discard, stream)
				if n > 1<<16 {
					t.Errorf("%d bytes were read, at most %d were allowed", n, 1<<16)
				}
				_ = stream.Close()
			}
			if got := failed(t, err); got.Class != tt.want || got.Status != tt.status || string(got.Code) != tt.code {
				t.Errorf("%+v, want %s %d %s", got, tt.want, tt.status, tt.code)
			}
		})
	}
}

// M-86: what a server points to is fetched over https only, at no address of our own network, over few redirects, and unsigned.
func TestFetch(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/file":
			fmt.Fprint(w, "bytes")
		case "/once":
			http.Redirect(w, r, "/file", http.StatusFound)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/plain":
			http.Redirect(w, r, "http://cdn.example/file", http.StatusFound)
		case "/inside":
			http.Redirect(w, r, "https://inside.example/file", http.StatusFound)
		case "/long":
			fmt.Fprint(w, strings.Repeat("x", 100))
		default:
			http.NotFound(w, r)
		}
	}, "cdn.example")
	names := &fakeDNS{hosts: map[string][]string{"cdn.example": {"127.0.0.1"}, "inside.example": {"10.0.0.1"}}, srv: map[string][]dns.Service{}}
	client := newTestClient(t, ca, names, func(s *setup) {
		s.net.AllowPrivate, s.net.AllowedRanges = false, prefixes("127.0.0.1/32")
	})
	base := fmt.Sprintf("https://cdn.example:%d", p.port)
	for _, tt := range []struct {
		address string
		want    Class
	}{
		{base + "/file", ""}, {base + "/once", ""}, {base + "/loop", ClassPolicy}, {base + "/plain", ClassPolicy}, {base + "/inside", ClassPolicy},
		{base + "/missing", ClassNotJSON}, {base + "/long", ClassNotJSON}, {"http://cdn.example/file", ClassPolicy},
		{"https://10.0.0.1/x", ClassPolicy}, {"https://inside.example/x", ClassPolicy}, {"https://user:word@cdn.example/file", ClassPolicy},
		{"/file", ClassPolicy}, {"file:///etc/passwd", ClassPolicy}, {"https://", ClassPolicy}, {"https://[::1", ClassPolicy}, {"", ClassPolicy},
	} {
		stream, err := client.Fetch(t.Context(), tt.address, 50, 0)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(stream)
			_ = stream.Close()
		}
		var failure *Failure
		switch {
		case tt.want == "" && (err != nil || string(body) != "bytes"):
			t.Errorf("%s: %q %v", tt.address, body, err)
		case tt.want != "" && (!errors.As(err, &failure) || failure.Class != tt.want):
			t.Errorf("%s: %v, want %s", tt.address, err, tt.want)
		}
	}
	for _, r := range p.requests {
		if r.Header.Get("Authorization") != "" || r.Header.Get("Referer") != "" {
			t.Errorf("%s came with %v", r.URL.Path, r.Header)
		}
	}
}
