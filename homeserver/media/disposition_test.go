// SPDX-License-Identifier: Apache-2.0

package media

import (
	"mime"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDisposition(t *testing.T) {
	for _, tt := range []struct{ kind, name, want string }{
		{"image/png", "", "inline"}, {"IMAGE/PNG; q=1", "a", "inline; filename=a"}, {"image/svg+xml", "", "attachment"},
		{"application/pdf", "a b.pdf", `attachment; filename="a b.pdf"`}, {"text/html", `"`, `attachment; filename="\""`},
		{"text/javascript", "", "attachment"}, {"application/xhtml+xml", "", "attachment"}, {"", "é", "attachment; filename*=utf-8''%C3%A9"},
	} {
		if got := disposition(tt.kind, tt.name); got != tt.want {
			t.Errorf("%q of type %q: %s, want %s", tt.name, tt.kind, got, tt.want)
		}
	}
	for given, want := range map[string]string{
		"inline; filename=a.png": "a.png", "attachment; filename*=utf-8''%C3%A9": "é", `inline; filename="a/../b"`: "a/../b",
		"inline": "", "": "", ";;": "", "inline; filename*=utf-8''%0a": "", "inline; filename=" + strings.Repeat("a", 300): "",
	} {
		if got := nameIn(given); got != want {
			t.Errorf("name in %.50q: %q, want %q", given, got, want)
		}
	}
}

// Whatever a server or a client calls a file, what we say of it is one header that is read as it was meant.
func FuzzDisposition(f *testing.F) {
	f.Add("image/png", `inline; filename="a.png"`)
	f.Add("text/html\r\nX: y", "attachment; filename*=utf-8''%E2%82%AC%0d")
	f.Fuzz(func(t *testing.T, kind, given string) {
		kept, name := mediaType(kind), nameIn(given)
		said := disposition(kept, name)
		if strings.ContainsAny(kept+said, "\r\n\x00") || len(kept) > maxType || len(name) > maxName || !utf8.ValidString(name) {
			t.Fatalf("%q %q", kept, said)
		}
		_, params, err := mime.ParseMediaType(said)
		if err != nil || params["filename"] != name {
			t.Fatalf("%q is read as %q, %v; want %q", said, params["filename"], err, name)
		}
	})
}
