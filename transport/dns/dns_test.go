// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/strata-matrix/strata/transport/dns/dnstest"
)

// serve runs a server with the zone, and a client of it that knows no hosts file.
func serve(t *testing.T, zone string) (*dnstest.Server, *Client) {
	t.Helper()
	server, err := dnstest.Start(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server, NewClient(Config{Servers: []netip.AddrPort{server.Addr()}, HostsFile: filepath.Join(t.TempDir(), "none")})
}

const zone = `
both.example      300 A     192.0.2.1
both.example      300 A     192.0.2.2
both.example      200 AAAA  2001:db8::1
alias.example     100 CNAME Middle.example
middle.example    300 CNAME both.example
loop.example      300 CNAME loop2.example
loop2.example     300 CNAME loop.example
text.example      300 CNAME missing.example
_m._tcp.s.example 300 SRV   10 60 8448 a.example
_m._tcp.s.example 300 SRV   20 0 443 B.example
_n._tcp.s.example 300 SRV   0 0 0 .
example           77  SOA
fail.example      0   FAIL
`

func TestAddresses(t *testing.T) {
	_, c := serve(t, zone)
	for _, tt := range []struct{ host, canonical, list string }{
		{"both.example", "both.example", "2001:db8::1 192.0.2.1 192.0.2.2"}, // RFC 8305 §4: in turn, IPv6 first
		{"BOTH.example.", "both.example", "2001:db8::1 192.0.2.1 192.0.2.2"},
		{"alias.example", "both.example", "2001:db8::1 192.0.2.1 192.0.2.2"},
		{"localhost", "localhost", "::1 127.0.0.1"}, // RFC 6761 §6.3
	} {
		got, err := c.Addresses(t.Context(), tt.host, false)
		if err != nil {
			t.Errorf("%s: %v", tt.host, err)
		}
		if list := strings.Trim(fmt.Sprint(got.List), "[]"); list != tt.list || got.Canonical != tt.canonical {
			t.Errorf("%s: %s as %s, want %s as %s", tt.host, list, got.Canonical, tt.list, tt.canonical)
		}
	}
	// The shortest TTL on the way counts.
	got, err := c.Addresses(t.Context(), "alias.example", false)
	if left := time.Until(got.Until); err != nil || left > 100*time.Second || left < 90*time.Second || !got.Kept {
		t.Errorf("good for %v, kept %v, want 100 s", left, got.Kept)
	}
	for _, host := range []string{"none.example", "loop.example", "text.example"} {
		if got, err := c.Addresses(t.Context(), host, false); !errors.Is(err, ErrNoAddress) {
			t.Errorf("%s: got %v, %v, want ErrNoAddress", host, got, err)
		}
	}
	if _, err := c.Addresses(t.Context(), "fail.example", false); err == nil || errors.Is(err, ErrNoAddress) {
		t.Errorf("a server that fails does not say that there is no address: %v", err)
	}
	if _, err := c.Addresses(t.Context(), strings.Repeat("a", 300), false); err == nil {
		t.Error("a name that does not fit was looked up")
	}
}

func TestServices(t *testing.T) {
	_, c := serve(t, zone)
	for name, want := range map[string][]Service{
		"_m._tcp.s.example": {{"a.example", 8448, 10, 60}, {"b.example", 443, 20, 0}},
		"_n._tcp.s.example": {{Target: ""}},
		"_o._tcp.s.example": nil,
	} {
		got, err := c.Services(t.Context(), name, false)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got.List); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
	if _, err := c.Services(t.Context(), "fail.example", false); err == nil {
		t.Error("a failure passes for an answer")
	}
}

// What was answered is kept, that there is nothing too (RFC 2308), until it is flushed; failures are not.
func TestAnswersAreKept(t *testing.T) {
	server, c := serve(t, zone)
	ask := func(want int) {
		t.Helper()
		for _, name := range []string{"_m._tcp.s.example", "_o._tcp.s.example"} {
			if _, err := c.Services(t.Context(), name, false); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(server.Asked()); got != want {
			t.Errorf("asked %d questions, want %d: %v", got, want, server.Asked())
		}
	}
	ask(2)
	ask(2)
	kept := c.Kept()
	if len(kept) != 2 || kept[0].Values[0] != "10 60 8448 a.example." || kept[1].Values != nil || kept[0].Type != "SRV" {
		t.Errorf("kept %+v", kept)
	}
	if left := time.Until(kept[1].Until); left > 77*time.Second || left < 70*time.Second {
		t.Errorf("nothing is good for %v, want 77 s as the zone says", left)
	}
	if n := c.Forget("_M._tcp.s.example", time.Now()); n != 1 {
		t.Errorf("flushed %d", n)
	}
	ask(3)
	c.Forget("_o._tcp.s.example", time.Now().Add(-time.Minute)) // learnt since: stays
	ask(3)
	c.Forget("_o._tcp.s.example", time.Now())
	ask(4)
	if n := c.Forget("", time.Now()); n != 2 {
		t.Errorf("flushed %d, want both", n)
	}
	if _, err := c.Services(t.Context(), "_m._tcp.s.example", true); err != nil || len(server.Asked()) != 5 {
		t.Errorf("%v, %d questions", err, len(server.Asked()))
	}
}

// An answer that does not fit into a packet comes over TCP, and no more of it is taken than any name needs.
func TestLargeAnswers(t *testing.T) {
	var zone strings.Builder
	for i := range 100 {
		fmt.Fprintf(&zone, "many.example 300 A 192.0.2.%d\n", i)
	}
	_, c := serve(t, zone.String())
	got, err := c.Addresses(t.Context(), "many.example", false)
	if err != nil || len(got.List) != maxRecords {
		t.Errorf("%d addresses, %v, want %d", len(got.List), err, maxRecords)
	}
}

// A server that is dead or refuses is passed over.
func TestServersInTurn(t *testing.T) {
	server, _ := serve(t, zone)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := netip.MustParseAddrPort(closed.LocalAddr().String())
	closed.Close()
	c := NewClient(Config{Servers: []netip.AddrPort{dead, server.Addr()}})
	if got, err := c.Addresses(t.Context(), "both.example", false); err != nil || len(got.List) != 3 {
		t.Errorf("got %v, %v", got, err)
	}
	c = NewClient(Config{Servers: []netip.AddrPort{dead}})
	if _, err := c.Addresses(t.Context(), "both.example", false); err == nil || !strings.Contains(err.Error(), dead.String()) {
		t.Errorf("error %v does not name the server", err)
	}
}

func TestFiles(t *testing.T) {
	conf := "; comment\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver x\noptions timeout:1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n"
	if got := fmt.Sprint(parseServers(conf)); got != "[192.0.2.1:53 [fe80::1%eth0]:53 192.0.2.2:53]" {
		t.Errorf("servers %s", got)
	}
	if got := fmt.Sprint(parseServers("")); got != "[127.0.0.1:53]" {
		t.Errorf("servers of an empty file %s", got)
	}
	path := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(path, []byte("192.0.2.7 One.example two # x\n::7 two\nbad line\n192.0.2.8\n192.0.2.9 localhost\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSystem(Config{HostsFile: path})
	for host, want := range map[string]string{"one.example": "[192.0.2.7]", "two": "[192.0.2.7 ::7]", "three": "[]", "localhost": "[192.0.2.9]"} {
		if got := fmt.Sprint(s.hosts(host)); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

// Packets that answer something else, as a forger's would, are no answers.
func TestStrayPackets(t *testing.T) {
	q := question{"a.example", dnsmessage.TypeA}
	good := reply(t, q, 7, nil)
	for name, tt := range map[string]struct {
		message []byte
		id      uint16
	}{
		"other id": {good, 8}, "other name": {reply(t, question{"b.example", dnsmessage.TypeA}, 7, nil), 7},
		"other type": {reply(t, question{"a.example", dnsmessage.TypeSRV}, 7, nil), 7}, "short": {good[:5], 7}, "empty": {nil, 7},
		"a question": {reply(t, q, 7, func(m *dnsmessage.Message) { m.Response = false }), 7},
	} {
		if _, err := q.read(tt.message, tt.id, time.Now()); !errors.Is(err, errStray) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := q.read(good, 7, time.Now()); err != nil {
		t.Errorf("good: %v", err)
	}
	cut := reply(t, q, 7, func(m *dnsmessage.Message) { m.Truncated = true })
	if _, err := q.read(cut, 7, time.Now()); !errors.Is(err, errTruncated) {
		t.Errorf("truncated: %v", err)
	}
}

// Times that a zone chooses are clamped.
func TestTimesAreClamped(t *testing.T) {
	q := question{"a.example", dnsmessage.TypeA}
	now := time.Now()
	for _, tt := range []struct {
		ttl  uint32
		want time.Duration
	}{{0, minFresh}, {60, time.Minute}, {1 << 31, maxFresh}} {
		message := reply(t, q, 1, func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("a.example."), Class: dnsmessage.ClassINET, TTL: tt.ttl},
				Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}},
			}}
		})
		a, err := q.read(message, 1, now)
		if err != nil || a.until.Sub(now) != tt.want {
			t.Errorf("TTL %d: good for %v, %v, want %v", tt.ttl, a.until.Sub(now), err, tt.want)
		}
	}
}

func reply(t testing.TB, q question, id uint16, change func(*dnsmessage.Message)) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, Response: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(q.name + "."), Type: q.kind, Class: dnsmessage.ClassINET}},
	}
	if change != nil {
		change(&m)
	}
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

// Whatever comes, reading ends with a bounded answer that is good for a bounded time.
func FuzzRead(f *testing.F) {
	q := question{"a.example", dnsmessage.TypeSRV}
	f.Add(reply(f, q, 1, nil))
	name := dnsmessage.MustNewName("a.example.")
	header := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET, TTL: 9}
	f.Add(reply(f, q, 1, func(m *dnsmessage.Message) {
		m.Answers = []dnsmessage.Resource{
			{Header: header, Body: &dnsmessage.CNAMEResource{CNAME: name}},
			{Header: header, Body: &dnsmessage.SRVResource{Priority: 1, Weight: 2, Port: 3, Target: name}},
		}
		m.Authorities = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.SOAResource{NS: name, MBox: name, MinTTL: 1 << 31}}}
	}))
	f.Add(reply(f, question{"a.example", dnsmessage.TypeA}, 1, func(m *dnsmessage.Message) {
		m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{}}}
	}))
	now := time.Now()
	f.Fuzz(func(t *testing.T, message []byte) {
		for _, kind := range kinds {
			a, err := question{"a.example", kind}.read(message, 1, now)
			if err != nil {
				continue
			}
			if n := len(a.addresses) + len(a.services); n > maxRecords || a.until.Before(now.Add(minFresh)) || a.until.After(now.Add(maxFresh)) {
				t.Errorf("%d records until %v", n, a.until)
			}
			if slices.ContainsFunc(a.addresses, func(addr netip.Addr) bool { return !addr.IsValid() }) {
				t.Errorf("addresses %v", a.addresses)
			}
		}
	})
}

// Files of this machine never bring down what reads them, and servers are always some, and few.
func FuzzFiles(f *testing.F) {
	f.Add("nameserver ::1\nnameserver 192.0.2.1\n")
	f.Add("192.0.2.1 a b # c\n::1\tlocalhost\n#\n")
	f.Fuzz(func(t *testing.T, text string) {
		if n := len(parseServers(text)); n < 1 || n > maxServers {
			t.Errorf("%d servers", n)
		}
		for name, list := range parseHosts(text) {
			if len(list) == 0 || strings.ContainsAny(name, " \t\n#") {
				t.Errorf("%q has %v", name, list)
			}
		}
	})
}
