// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/ident"
)

// web is a fake Internet of well-known documents. Hosts that it does not know refuse the connection.
type web struct {
	mu    sync.Mutex
	pages map[string]page // by URL
	asked []string
}

type page struct {
	status int // 0 is 200
	header http.Header
	body   string
	wait   time.Duration
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.asked = append(w.asked, r.URL.String())
	p, found := w.pages[r.URL.String()]
	w.mu.Unlock()
	if !found {
		return nil, errors.New("connection refused")
	}
	if p.wait > 0 { // the race detector does not survive many timers of a bubble that are due already
		select {
		case <-time.After(p.wait):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if p.status == 0 {
		p.status = http.StatusOK
	}
	if p.header == nil {
		p.header = http.Header{}
	}
	return &http.Response{StatusCode: p.status, Header: p.header, Body: io.NopCloser(strings.NewReader(p.body)), Request: r}, nil
}

func (w *web) requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked)
}

func (w *web) set(url string, p page) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pages[url] = p
}

// zone is a fake DNS of SRV records, by name.
type zone struct {
	records map[string][]dns.Service
	fail    map[string]error
	asked   []string
	forgot  []string
}

func (z *zone) Services(_ context.Context, name string, _ bool) (dns.Services, error) {
	z.asked = append(z.asked, name)
	return dns.Services{Name: name, List: z.records[name]}, z.fail[name]
}

func (z *zone) Forget(name string, _ time.Time) int {
	z.forgot = append(z.forgot, name)
	return 1
}

func wellKnownURL(host string) string { return "https://" + host + "/.well-known/matrix/server" }

func newTestResolver(w *web, z *zone) *Resolver {
	return NewResolver(Config{Transport: w, DNS: z, UserAgent: "test"})
}

// The steps of SS "Resolving server names", each with what the text says about address, Host and certificate.
func TestResolve(t *testing.T) {
	documents := &web{pages: map[string]page{
		wellKnownURL("ip.example"):     {body: `{"m.server":"203.0.113.9"}`},
		wellKnownURL("ipport.example"): {body: `{"m.server":"203.0.113.9:443"}`},
		wellKnownURL("ip6.example"):    {body: `{"m.server":"[2001:db8::9]"}`},
		wellKnownURL("port.example"):   {body: `{"m.server":"matrix.port.example:443"}`},
		wellKnownURL("fed.example"):    {body: `{"m.server":"d.fed.example"}`},
		wellKnownURL("legacy.example"): {body: `{"m.server":"d.legacy.example"}`},
		wellKnownURL("plain.example"):  {body: `{"m.server":"d.plain.example"}`},
		// The delegated name has a document of its own, which must not be asked for.
		wellKnownURL("d.plain.example"): {body: `{"m.server":"wrong.example:1"}`},
		wellKnownURL("gone.example"):    {status: 404, body: `{"m.server":"wrong.example:1"}`},
		wellKnownURL("moved.example"):   {status: 302, header: http.Header{"Location": {"https://elsewhere.example/m"}}},
		"https://elsewhere.example/m":   {body: `{"m.server":"matrix.moved.example:8450"}`},
	}}
	names := &zone{records: map[string][]dns.Service{
		"_matrix-fed._tcp.d.fed.example": {{Target: "srv.example", Port: 1001}},
		"_matrix._tcp.d.fed.example":     {{Target: "wrong.example", Port: 1}},
		"_matrix._tcp.d.legacy.example":  {{Target: "srv.example", Port: 1002}},
		"_matrix-fed._tcp.srv4.example":  {{Target: "srv.example", Port: 1003}},
		"_matrix._tcp.srv4.example":      {{Target: "wrong.example", Port: 1}},
		"_matrix._tcp.srv5.example":      {{Target: "srv.example", Port: 1004}},
		// A name with an explicit port asks for no SRV.
		"_matrix-fed._tcp.explicit.example":    {{Target: "wrong.example", Port: 1}},
		"_matrix-fed._tcp.matrix.port.example": {{Target: "wrong.example", Port: 1}},
	}}
	for _, tt := range []struct {
		rule, name string
		want       Target
	}{
		{"X-20", "1.2.3.4", Target{Address: "1.2.3.4:8448", Host: "1.2.3.4", TLSName: "1.2.3.4", Step: "1"}},
		{"X-20", "1.2.3.4:99", Target{Address: "1.2.3.4:99", Host: "1.2.3.4:99", TLSName: "1.2.3.4", Step: "1"}},
		{"X-20", "[2001:db8::1]", Target{Address: "[2001:db8::1]:8448", Host: "[2001:db8::1]", TLSName: "2001:db8::1", Step: "1"}},
		{"X-20", "[2001:db8::1]:99", Target{Address: "[2001:db8::1]:99", Host: "[2001:db8::1]:99", TLSName: "2001:db8::1", Step: "1"}},
		{"X-21", "explicit.example:80", Target{Address: "explicit.example:80", Host: "explicit.example:80", TLSName: "explicit.example", Step: "2"}},
		{"X-25", "ip.example", Target{Address: "203.0.113.9:8448", Host: "203.0.113.9", TLSName: "203.0.113.9", Step: "3.1"}},
		{"X-25", "ipport.example", Target{Address: "203.0.113.9:443", Host: "203.0.113.9:443", TLSName: "203.0.113.9", Step: "3.1"}},
		{"X-25", "ip6.example", Target{Address: "[2001:db8::9]:8448", Host: "[2001:db8::9]", TLSName: "2001:db8::9", Step: "3.1"}},
		{"X-26", "port.example", Target{Address: "matrix.port.example:443", Host: "matrix.port.example:443", TLSName: "matrix.port.example", Step: "3.2"}},
		{"X-27", "fed.example", Target{Address: "srv.example:1001", Host: "d.fed.example", TLSName: "d.fed.example", Step: "3.3", Direct: true}},
		{"X-28", "legacy.example", Target{Address: "srv.example:1002", Host: "d.legacy.example", TLSName: "d.legacy.example", Step: "3.4", Direct: true}},
		{"X-29", "plain.example", Target{Address: "d.plain.example:8448", Host: "d.plain.example", TLSName: "d.plain.example", Step: "3.5"}},
		{"X-30", "srv4.example", Target{Address: "srv.example:1003", Host: "srv4.example", TLSName: "srv4.example", Step: "4", Direct: true}},
		{"X-30", "srv5.example", Target{Address: "srv.example:1004", Host: "srv5.example", TLSName: "srv5.example", Step: "5", Direct: true}},
		{"X-30", "nothing.example", Target{Address: "nothing.example:8448", Host: "nothing.example", TLSName: "nothing.example", Step: "6"}},
		{"X-23", "gone.example", Target{Address: "gone.example:8448", Host: "gone.example", TLSName: "gone.example", Step: "6"}},
		{"X-22", "moved.example", Target{Address: "matrix.moved.example:8450", Host: "matrix.moved.example:8450", TLSName: "matrix.moved.example", Step: "3.2"}},
	} {
		got, err := newTestResolver(documents, names).Resolve(t.Context(), ident.ServerName(tt.name))
		if err != nil {
			t.Errorf("%s: Resolve(%s): %v", tt.rule, tt.name, err)
		}
		if diff := cmp.Diff([]Target{tt.want}, got); diff != "" {
			t.Errorf("%s: Resolve(%s): -want +got\n%s", tt.rule, tt.name, diff)
		}
	}
	for _, host := range []string{"d.plain.example", "explicit.example", "1.2.3.4"} {
		for _, url := range documents.asked {
			if url == wellKnownURL(host) {
				t.Errorf("asked for %s", url)
			}
		}
	}
}

// X-23, G-H5: whatever is wrong with the document, the resolution goes on with step 4.
func TestUnusableWellKnownFallsThrough(t *testing.T) {
	for name, p := range map[string]page{
		"no JSON":          {body: "<html>"},
		"empty":            {},
		"array":            {body: `["m.server"]`},
		"null":             {body: `null`},
		"missing":          {body: `{}`},
		"other case":       {body: `{"M.SERVER":"a.example:1"}`},
		"number":           {body: `{"m.server":1}`},
		"null member":      {body: `{"m.server":null}`},
		"no name":          {body: `{"m.server":""}`},
		"bad name":         {body: `{"m.server":"https://a.example"}`},
		"no such port":     {body: `{"m.server":"a.example:70000"}`},
		"port zero":        {body: `{"m.server":"a.example:0"}`},
		"too long":         {body: `{"m.server":"a.example:1","x":"` + strings.Repeat("x", maxWellKnown) + `"}`},
		"created":          {status: 201, body: `{"m.server":"a.example:1"}`},
		"server error":     {status: 500, body: `{"m.server":"a.example:1"}`},
		"redirect to http": {status: 301, header: http.Header{"Location": {"http://s.example/"}}},
		"redirect loop":    {status: 301, header: http.Header{"Location": {wellKnownURL("s.example")}}},
		"redirect nowhere": {status: 301},
	} {
		documents := &web{pages: map[string]page{
			wellKnownURL("s.example"): p, "http://s.example/": {body: `{"m.server":"a.example:1"}`},
		}}
		names := &zone{records: map[string][]dns.Service{"_matrix-fed._tcp.s.example": {{Target: "srv.example", Port: 7}}}}
		got, err := newTestResolver(documents, names).Resolve(t.Context(), "s.example")
		if err != nil || len(got) != 1 || got[0].Step != "4" || got[0].Address != "srv.example:7" || got[0].Host != "s.example" {
			t.Errorf("%s: got %+v, %v, want step 4", name, got, err)
		}
		if n := documents.requests(); n > maxRedirects+1 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}

// A valid document counts whatever its Content-Type.
func TestContentTypeIsIgnored(t *testing.T) {
	documents := &web{pages: map[string]page{
		wellKnownURL("s.example"): {body: ` {"m.server":"a.example:1","x":{}} `, header: http.Header{"Content-Type": {"text/html"}}},
	}}
	got, err := newTestResolver(documents, &zone{}).Resolve(t.Context(), "s.example")
	if err != nil || got[0].Address != "a.example:1" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestResolveErrors(t *testing.T) {
	broken := errors.New("server misbehaving")
	names := &zone{
		records: map[string][]dns.Service{
			"_matrix-fed._tcp.none.example": {{Target: "", Port: 0}},
		},
		fail: map[string]error{
			"_matrix-fed._tcp.broken.example": broken,
		},
	}
	r := newTestResolver(&web{}, names)
	for _, tt := range []struct {
		name string
		want error
	}{
		{"", ErrInvalidName}, {"a b", ErrInvalidName}, {"a.example:0", ErrInvalidName}, {"a.example:65536", ErrInvalidName},
		{"none.example", ErrNoService},
		{"broken.example", broken},     // the DNS being down does not mean step 6
	} {
		if got, err := r.Resolve(t.Context(), ident.ServerName(tt.name)); !errors.Is(err, tt.want) || got != nil {
			t.Errorf("Resolve(%q) = %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newTestResolver(&web{}, names).Resolve(ended, "x.example"); !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
}

// X-24, G-H3: the life of answers, told by when the resolver asks again.
func TestWellKnownIsKept(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name   string
		page   page
		header http.Header
		want   time.Duration
	}{
		{name: "default", page: page{}, want: day},
		{name: "max-age", header: http.Header{"Cache-Control": {"public, Max-Age=7200"}}, want: 2 * time.Hour},
		{name: "max-age less age", header: http.Header{"Cache-Control": {"max-age=7200"}, "Age": {"3600"}}, want: time.Hour},
		{name: "cap", header: http.Header{"Cache-Control": {"max-age=99999999"}}, want: 2 * day},
		{name: "beyond 64 bits", header: http.Header{"Cache-Control": {"max-age=99999999999999999999999"}}, want: 2 * day},
		{name: "floor", header: http.Header{"Cache-Control": {"max-age=0"}}, want: 5 * time.Minute},
		{name: "no-store", header: http.Header{"Cache-Control": {"max-age=7200", "no-store"}}, want: 5 * time.Minute},
		{name: "nonsense", header: http.Header{"Cache-Control": {"max-age=-1, ,=,x"}}, want: day},
		// A synctest bubble begins at 2000-01-01 00:00 UTC.
		{name: "expires", header: http.Header{"Expires": {"Sat, 01 Jan 2000 03:00:00 GMT"}}, want: 3 * time.Hour},
		{name: "max-age before expires", header: http.Header{
			"Expires": {"Sat, 01 Jan 2000 03:00:00 GMT"}, "Cache-Control": {"max-age=3600"},
		}, want: time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				documents := &web{pages: map[string]page{
					wellKnownURL("s.example"): {body: `{"m.server":"a.example:1"}`, header: tt.header},
				}}
				r := newTestResolver(documents, &zone{})
				ask := func(want int) {
					t.Helper()
					if got, err := r.Resolve(t.Context(), "s.example"); err != nil || got[0].Address != "a.example:1" {
						t.Fatalf("got %v, %v", got, err)
					}
					if got := documents.requests(); got != want {
						t.Fatalf("after %v: %d requests, want %d", time.Since(bubbleStart), got, want)
					}
				}
				ask(1)
				time.Sleep(tt.want - time.Second)
				ask(1)
				time.Sleep(time.Second)
				ask(2)
			})
		})
	}
}

var bubbleStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// errors are kept too, with exponential back-off up to an hour.
func TestFailuresBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents := &web{pages: map[string]page{}}
		r := newTestResolver(documents, &zone{})
		var got []time.Duration
		last := time.Now()
		for n := 0; len(got) < 8; time.Sleep(time.Minute) {
			if _, err := r.Resolve(t.Context(), "s.example"); err != nil {
				t.Fatal(err)
			}
			if documents.requests() != n {
				n = documents.requests()
				got = append(got, time.Since(last))
				last = time.Now()
			}
		}
		want := []time.Duration{0, 2, 4, 8, 16, 32, 60, 60}
		for i := range want {
			want[i] *= time.Minute
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("waits: -want +got\n%s", diff)
		}
	})
}

// A delegation outlives an outage of its host, but not beyond the 48 hours of X-24; a definite answer ends it at once.
func TestDelegationOutlivesOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		url := wellKnownURL("s.example")
		valid := page{body: `{"m.server":"a.example:1"}`}
		documents := &web{pages: map[string]page{url: valid}}
		r := newTestResolver(documents, &zone{})
		step := func(want string) {
			t.Helper()
			got, err := r.Resolve(t.Context(), "s.example")
			if err != nil || got[0].Step != want {
				t.Fatalf("after %v: got %v, %v, want step %s", time.Since(bubbleStart), got, err, want)
			}
		}
		step("3.2")
		documents.set(url, page{status: 503})
		for range 24 {
			time.Sleep(time.Hour)
			step("3.2")
		}
		time.Sleep(24*time.Hour - time.Second)
		step("3.2")
		time.Sleep(time.Second)
		step("6")

		documents.set(url, valid)
		time.Sleep(time.Hour)
		step("3.2")
		documents.set(url, page{status: 404})
		time.Sleep(24 * time.Hour)
		step("6")
	})
}

// All who wait for one answer share one request, and one of them giving up does not take it from the others.
func TestLookupsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents := &web{pages: map[string]page{
			wellKnownURL("s.example"): {body: `{"m.server":"a.example:1"}`, wait: 3 * time.Second},
		}}
		r := newTestResolver(documents, &zone{})
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := r.Resolve(impatient, "s.example"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("impatient: %v", err)
			}
		})
		synctest.Wait()
		for range 20 {
			wg.Go(func() {
				if got, err := r.Resolve(t.Context(), "s.example"); err != nil || got[0].Address != "a.example:1" {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
		wg.Wait()
		if documents.requests() != 1 {
			t.Errorf("%d requests, want 1", documents.requests())
		}
	})
}

// A well-known host that never answers delays step 4 by the timeout, no more.
func TestSilentWellKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		documents := &web{pages: map[string]page{wellKnownURL("s.example"): {wait: time.Hour}}}
		got, err := newTestResolver(documents, &zone{}).Resolve(t.Context(), "s.example")
		if err != nil || got[0].Step != "6" || time.Since(bubbleStart) > defaultWellKnownTimeout {
			t.Errorf("got %v, %v after %v", got, err, time.Since(bubbleStart))
		}
	})
}

// What is forgotten is asked for again, and so are the records of the DNS that led there.
func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := &zone{}
		documents := &web{pages: map[string]page{wellKnownURL("s.example"): {body: `{"m.server":"d.example:7"}`}}}
		r := newTestResolver(documents, names)
		resolve := func(address string, asked int) {
			t.Helper()
			got, err := r.Resolve(t.Context(), "s.example")
			if err != nil || got[0].Address != address || documents.requests() != asked {
				t.Fatalf("got %v, %v, %d documents; want %s, %d", got, err, documents.requests(), address, asked)
			}
		}
		resolve("d.example:7", 1)
		documents.set(wellKnownURL("s.example"), page{body: `{"m.server":"e.example:8"}`})
		r.Forget("s.example") // too young
		resolve("d.example:7", 1)
		time.Sleep(forgetAfter + time.Second)
		names.forgot = nil
		r.Forget("s.example")
		want := []string{
			"s.example", "_matrix-fed._tcp.s.example", "_matrix._tcp.s.example",
			"d.example", "_matrix-fed._tcp.d.example", "_matrix._tcp.d.example",
		}
		if diff := cmp.Diff(want, names.forgot); diff != "" {
			t.Errorf("forgotten in the DNS: -want +got\n%s", diff)
		}
		resolve("e.example:8", 2)
	})
}

// Answers are kept by what was asked, not by server: SRV records that are kept do not outlive a well-known document that came since.
func TestDocumentGoesBeforeKeptRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := &zone{records: map[string][]dns.Service{"_matrix-fed._tcp.s.example": {{Target: "old.example", Port: 7}}}}
		documents := &web{pages: map[string]page{}}
		r := newTestResolver(documents, names)
		if got, err := r.Resolve(t.Context(), "s.example"); err != nil || got[0].Step != "4" {
			t.Fatalf("got %v, %v", got, err)
		}
		documents.set(wellKnownURL("s.example"), page{body: `{"m.server":"d.example"}`})
		time.Sleep(firstErrorWait)
		if got, err := r.Resolve(t.Context(), "s.example"); err != nil || got[0].Step != "3.5" || got[0].Host != "d.example" {
			t.Fatalf("got %v, %v", got, err)
		}
	})
}

// An operator who mended a document does not wait for the back-off of its failures.
func TestFlush(t *testing.T) {
	documents := &web{pages: map[string]page{}}
	r := newTestResolver(documents, &zone{})
	for _, name := range []ident.ServerName{"s.example", "t.example"} {
		if _, err := r.Resolve(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	known := r.Documents()
	if len(known) != 2 || known[0].Host != "s.example" || known[0].Failures != 1 || known[0].Problem == "" {
		t.Errorf("known: %+v", known)
	}
	if n := r.FlushDocuments("s.example:8448"); n != 1 {
		t.Errorf("flushed %d", n)
	}
	documents.set(wellKnownURL("s.example"), page{body: `{"m.server":"d.example:7"}`})
	if got, err := r.Resolve(t.Context(), "s.example"); err != nil || got[0].Step != "3.2" {
		t.Errorf("got %v, %v", got, err)
	}
	if n := r.FlushDocuments(""); n != 2 {
		t.Errorf("flushed %d, want all", n)
	}
}

// Examine tells each question, and asks anew when told to.
func TestExamine(t *testing.T) {
	names := &zone{records: map[string][]dns.Service{"_matrix._tcp.d.example": {{Target: "srv.example", Port: 7}}}}
	documents := &web{pages: map[string]page{
		wellKnownURL("s.example"): {body: `{"m.server":"d.example"}`, header: http.Header{"Content-Type": {"application/json"}}},
	}}
	r := newTestResolver(documents, names)
	for i, fresh := range []bool{false, false, true} {
		targets, steps, err := r.Examine(t.Context(), "s.example", fresh)
		if err != nil || len(steps) != 3 || targets[0].Step != "3.4" {
			t.Fatalf("got %v, %v, %v", targets, steps, err)
		}
		d := steps[0].Document
		if d == nil || d.Server != "d.example" || d.Status != 200 || d.ContentType != "application/json" || d.Bytes != 24 || steps[0].Kept != (i == 1) {
			t.Errorf("document: %+v, kept %v", d, steps[0].Kept)
		}
		if steps[1].Service != "_matrix-fed._tcp.d.example" || steps[2].Service != "_matrix._tcp.d.example" || len(steps[2].Services.List) != 1 {
			t.Errorf("services: %+v", steps[1:])
		}
	}
	if documents.requests() != 2 {
		t.Errorf("%d requests, want 2", documents.requests())
	}
}

func TestTraceTellsOfDocuments(t *testing.T) {
	var got []trace.TransportWellKnown
	r := NewResolver(Config{
		Transport: &web{pages: map[string]page{wellKnownURL("s.example"): {status: 500}}},
		DNS:       &zone{},
		Trace:     trace.SinkFunc(func(e trace.Event) { got = append(got, e.(trace.TransportWellKnown)) }),
	})
	targets, err := r.Resolve(t.Context(), "s.example")
	if err != nil || targets[0].WellKnown != "status 500" {
		t.Errorf("got %+v, %v", targets, err)
	}
	if len(got) != 1 || got[0].Host != "s.example" || got[0].Note != "status 500" || got[0].Delegated != "" {
		t.Errorf("trace: %+v", got)
	}
}
