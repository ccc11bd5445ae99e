// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
)

// wholeParts is what the specification shows as an answer (Server-Server API, "Content Repository"), with boundary B.
const wholeParts = "--B\r\nContent-Type: application/json\r\n\r\n{}\r\n--B\r\nContent-Type: text/plain\r\n\r\nThis media is plain text.\r\n--B--"

func readParts(contentType, body string, limit int64) (string, error) {
	parts, err := readMediaParts(contentType, iotest.OneByteReader(strings.NewReader(body)), limit)
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(parts)
	return string(content), err
}

// M-82: exactly two parts; M-86: and not without bounds.
func TestMediaParts(t *testing.T) {
	const two, json, kind = "multipart/mixed; boundary=B", "--B\r\nContent-Type: application/json\r\n\r\n", "\r\n--B\r\nContent-Type: text/plain\r\n\r\n"
	large := strings.Repeat("x", maxPartsHead)
	for _, tt := range []struct {
		name, kind, body string
		want             string // "" for an error
	}{
		{"as in the specification", two, wholeParts, "This media is plain text."},
		{"with line ends around", `Multipart/Mixed; boundary="B"`, "\r\n" + wholeParts + "\r\n\r\n", "This media is plain text."},
		{"bare line feeds", two, "--B\n\n{}\n--B\n\nx\n--B--\n", "x"},
		{"boundary in the content", two, json + "{}" + kind + "a--B\r\n --B--\r\n--B--", "a--B\r\n --B--"},
		{"metadata of a later version", two, json + `{"a":[1]}` + kind + "x\r\n--B--", "x"},
		{"transfer encoding", two, json + "{}\r\n--B\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=41\r\n--B--", "=41"},
		{"JSON", "application/json", wholeParts, ""},
		{"form data", "multipart/form-data; boundary=B", wholeParts, ""},
		{"no boundary", "multipart/mixed", wholeParts, ""},
		{"long boundary", "multipart/mixed; boundary=" + strings.Repeat("B", 71), strings.ReplaceAll(wholeParts, "B", strings.Repeat("B", 71)), ""},
		{"other boundary", "multipart/mixed; boundary=C", wholeParts, ""},
		{"empty", two, "", ""},
		{"one part", two, json + "{}\r\n--B--", ""},
		{"three parts", two, json + "{}" + kind + "x" + kind + "y\r\n--B--", ""},
		{"cut in the content", two, wholeParts[:len(wholeParts)-10], ""},
		{"cut in the last boundary", two, wholeParts[:len(wholeParts)-2], ""},
		{"metadata is no object", two, json + "[]" + kind + "x\r\n--B--", ""},
		{"metadata is no JSON", two, json + "x" + kind + "x\r\n--B--", ""},
		{"header without end", two, "--B\r\nA: " + large + large, ""},
		{"headers without end", two, "--B\r\n" + strings.Repeat("A: b\r\n", maxPartsHead/3), ""},
		{"large metadata", two, json + `{"a":"` + large + `"}` + kind + "x\r\n--B--", ""},
		{"large preamble", two, large + "\r\n" + wholeParts, ""},
		{"large header of the content", two, json + "{}\r\n--B\r\nA: " + large + "\r\n\r\nx\r\n--B--", ""},
		{"too long", two, json + "{}" + kind + large + large + strings.Repeat("x", 100) + "\r\n--B--", ""},
	} {
		got, err := readParts(tt.kind, tt.body, 100)
		if (err == nil) != (tt.want != "") || err == nil && got != tt.want {
			t.Errorf("%s: %.80q %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

// What we write is read again, whatever the content; what breaks off is not taken for whole.
func FuzzMediaRoundTrip(f *testing.F) {
	f.Add([]byte("x"), "image/png", `inline; filename="a.png"`, 0)
	f.Add([]byte("\r\n--B--\r\n"), "a\r\nLocation: https://10.0.0.1/", "\x00", 3)
	f.Fuzz(func(t *testing.T, content []byte, kind, disposition string, short int) {
		broken := errors.New("broken")
		var source io.Reader = bytes.NewReader(content)
		if short > 0 {
			source = io.MultiReader(source, iotest.ErrReader(broken))
		}
		reply := mediaReply(&MediaContent{ReadCloser: io.NopCloser(source), Type: kind, Disposition: disposition, Size: -1})
		var written bytes.Buffer
		if err := reply.Stream(&written); errors.Is(err, broken) != (short > 0) {
			t.Fatalf("Stream: %v", err)
		}
		parts, err := readMediaParts(reply.Type, &written, int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		if parts.header().Get("Location") != "" {
			t.Error("a header was smuggled in")
		}
		got, err := io.ReadAll(parts)
		if short > 0 && err == nil {
			t.Error("content that broke off was taken for whole")
		}
		if short <= 0 && (err != nil || !bytes.Equal(got, content)) {
			t.Errorf("%q %v, want %q", got, err, content)
		}
	})
}

func FuzzMediaParts(f *testing.F) {
	f.Add("multipart/mixed; boundary=B", wholeParts)
	f.Add("multipart/mixed; boundary=B", "--B\r\n\r\n{}\r\n--B\r\nLocation: https://x/\r\n\r\n\r\n--B--")
	f.Fuzz(func(t *testing.T, kind, body string) {
		const limit = 1000
		parts, err := readMediaParts(kind, strings.NewReader(body), limit)
		if err != nil {
			return
		}
		if n, _ := io.Copy(io.Discard, parts); n > limit+maxPartsHead+4096 {
			t.Errorf("%d bytes of content, %d are allowed", n, limit)
		}
	})
}

// bounded ends with an error exactly where there is one byte too many, and says so again.
func TestBounded(t *testing.T) {
	for _, tt := range []struct {
		have, limit, want int
		err               error
	}{{0, 0, 0, nil}, {1, 0, 0, ErrMediaTooLarge}, {5, 5, 5, nil}, {6, 5, 5, ErrMediaTooLarge}, {600, 5, 5, ErrMediaTooLarge}} {
		b := &bounded{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", tt.have))), left: int64(tt.limit)}
		got, err := io.ReadAll(b)
		if len(got) != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%d bytes of at most %d: %d %v, want %d %v", tt.have, tt.limit, len(got), err, tt.want, tt.err)
		}
		if _, again := b.Read(make([]byte, 1)); tt.err != nil && !errors.Is(again, tt.err) {
			t.Errorf("read again: %v", again)
		}
	}
}

func TestMediaQueries(t *testing.T) {
	for _, tt := range []struct{ query, want string }{
		{"width=32&height=96&method=crop", "{32 96 true false}"}, {"width=1&height=1&animated=true", "{1 1 false true}"},
		{"width=99999999999999999999&height=70000&method=scale&animated=false", "{65536 65536 false false}"},
		{"width=32", ""}, {"width=0&height=1", ""}, {"width=-1&height=1", ""}, {"width=a&height=1", ""}, {"width=1.5&height=1", ""},
		{"width=-99999999999999999999&height=1", ""}, {"width=1&height=1&method=stretch", ""},
	} {
		got, err := ParseThumbnail(values(t, tt.query))
		if (err != nil) != (tt.want == "") || err == nil && fmt.Sprint(got) != tt.want {
			t.Errorf("%s: %v %v, want %s", tt.query, got, err, tt.want)
		}
	}
	for _, tt := range []struct{ query, want string }{
		{"", "20s"}, {"timeout_ms=0", "0s"}, {"timeout_ms=1500", "1.5s"}, {"timeout_ms=99999999999999999999", "30s"},
		{"timeout_ms=-1", ""}, {"timeout_ms=x", ""},
	} {
		got, err := ParseMediaWait(values(t, tt.query), 30e9)
		if (err != nil) != (tt.want == "") || err == nil && got.String() != tt.want {
			t.Errorf("%q: %v %v, want %s", tt.query, got, err, tt.want)
		}
	}
}

func values(t *testing.T, query string) url.Values {
	t.Helper()
	parsed, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
