// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// What a proxy has added at the end counts, and nothing that a client may have sent before it.
func TestBehindProxy(t *testing.T) {
	for name, c := range map[string]struct {
		headers []string
		want    string
	}{
		"none":             {nil, "192.0.2.9:5"},
		"one":              {[]string{"198.51.100.1"}, "198.51.100.1:0"},
		"made up before":   {[]string{"203.0.113.7, 198.51.100.1"}, "198.51.100.1:0"},
		"in two headers":   {[]string{"203.0.113.7", "198.51.100.1"}, "198.51.100.1:0"},
		"IPv6":             {[]string{"2001:db8::1"}, "[2001:db8::1]:0"},
		"IPv6 in brackets": {[]string{"[2001:db8::1]"}, "[2001:db8::1]:0"},
		"mapped":           {[]string{"::ffff:198.51.100.1"}, "198.51.100.1:0"},
		"nonsense":         {[]string{"198.51.100.1, unknown"}, "192.0.2.9:5"},
		"nothing":          {[]string{""}, "192.0.2.9:5"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			handler := behindProxy(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
			r := httptest.NewRequest("GET", "/", http.NoBody)
			r.RemoteAddr = "192.0.2.9:5"
			r.Header["X-Forwarded-For"] = c.headers
			handler.ServeHTTP(httptest.NewRecorder(), r)
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// FuzzLastForwarded: no header makes it panic, and what is accepted is an address.
func FuzzLastForwarded(f *testing.F) {
	f.Add("a, 198.51.100.1")
	f.Add("[::1%eth0]")
	f.Fuzz(func(t *testing.T, header string) {
		if client, ok := lastForwarded([]string{header}); ok && !client.IsValid() {
			t.Errorf("%q: %v", header, client)
		}
	})
}
