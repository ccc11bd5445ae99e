// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/ident"
)

// What goes wrong before there is a reply: its class, how far it came, and whether the server looks gone for good.
func TestConnectionClasses(t *testing.T) {
	ca := newIssuer(t)
	good := newPeer(t, ca, ok, "s.example")
	otherName := newPeer(t, ca, ok, "other.example")
	stranger := newPeer(t, newIssuer(t), ok, "s.example")
	closed, closedPort := listen(t)
	closed.Close()
	private := func(c *setup) { c.net.AllowPrivate = false }
	for _, tt := range []struct {
		name   string
		dest   string
		dns    *fakeDNS
		change func(*setup)
		want   Class
		phase  Phase
		gone   bool
	}{
		{"no such host", "s.example", &fakeDNS{}, nil, ClassDNS, PhaseConnect, true},
		{"DNS down", "s.example:1", &fakeDNS{fail: errors.New("server misbehaving")}, nil, ClassDNS, PhaseConnect, false},
		{"DNS slow", "s.example:1", &fakeDNS{fail: context.DeadlineExceeded}, nil, ClassDNS, PhaseConnect, false},
		{"no service", "s.example", &fakeDNS{srv: map[string][]dns.Service{"_matrix-fed._tcp.s.example": {{Target: ""}}}}, nil, ClassSRV, PhaseResolve, true},
		{"refused", "s.example", at("s.example", closedPort), nil, ClassDial, PhaseConnect, false},
		{"certificate for another name", "s.example", at("s.example", otherName.port), nil, ClassTLS, PhaseConnect, false},
		{"certificate of a stranger", "s.example", at("s.example", stranger.port), nil, ClassTLS, PhaseConnect, false},
		{"no TLS", "s.example", at("s.example", plainPort(t)), nil, ClassTLS, PhaseConnect, false},
		{"SRV target is private", "s.example", at("s.example", good.port), private, ClassPolicy, PhaseConnect, false},
		{"IP literal is private", good.address(), &fakeDNS{}, private, ClassPolicy, PhaseConnect, false},
		{"host is private", fmt.Sprintf("s.example:%d", good.port), at("s.example"), private, ClassPolicy, PhaseConnect, false},
		{"invalid name", "s example", &fakeDNS{}, nil, ClassPolicy, PhaseResolve, false},
		{"no such port", "s.example:0", &fakeDNS{}, nil, ClassPolicy, PhaseResolve, false},
		{"ourselves", "origin.example", &fakeDNS{}, nil, ClassPolicy, PhaseResolve, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events := &recorder{}
			client := newTestClient(t, ca, tt.dns, func(c *setup) {
				c.Trace = events
				if tt.change != nil {
					tt.change(c)
				}
			})
			_, err := client.Do(t.Context(), ident.ServerName(tt.dest), Call{Method: "GET", Path: "/_matrix/x"})
			if got := failed(t, err); got.Class != tt.want || got.Err == nil {
				t.Errorf("got %v, want class %s", err, tt.want)
			} else if got.Phase != tt.phase || got.Gone() != tt.gone {
				t.Errorf("got phase %q, gone: %t, want %q, %t", got.Phase, got.Gone(), tt.phase, tt.gone)
			}
			if sent := recorded[trace.TransportSent](events); len(sent) != 1 || sent[0].Class != string(tt.want) || sent[0].Error == "" {
				t.Errorf("trace: %+v", sent)
			}
		})
	}
	for _, p := range []*peer{good, otherName, stranger} {
		if len(p.requests) != 0 {
			t.Errorf("%d requests were sent (X-35)", len(p.requests))
		}
	}
}

// plainPort is a server that answers TLS with plain HTTP.
func plainPort(t *testing.T) uint16 {
	server := httptest.NewServer(http.HandlerFunc(ok))
	t.Cleanup(server.Close)
	return netip.MustParseAddrPort(server.Listener.Addr().String()).Port()
}

// an IP literal shows a certificate for the address and gets no SNI; X-21: an explicit port.
func TestServerNamesWithoutDiscovery(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, ok, "127.0.0.1", "s.example")
	client := newTestClient(t, ca, at("s.example"))
	for _, tt := range []struct{ name, sni string }{{p.address(), ""}, {fmt.Sprintf("s.example:%d", p.port), "s.example"}} {
		if _, err := client.Do(t.Context(), ident.ServerName(tt.name), Call{Method: "GET", Path: "/x"}); err != nil {
			t.Fatal(err)
		}
		if got := p.requests[len(p.requests)-1]; got.Host != tt.name || got.TLS.ServerName != tt.sni {
			t.Errorf("Host %q, SNI %q, want %q, %q", got.Host, got.TLS.ServerName, tt.name, tt.sni)
		}
	}
}

// G-H6: requests to one server share a connection, also at one time.
func TestConnectionIsShared(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, ok, "s.example")
	client := newTestClient(t, ca, at("s.example", p.port))
	call := Call{Method: "GET", Path: "/x"}
	if _, err := client.Do(t.Context(), "s.example", call); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := client.Do(t.Context(), "s.example", call); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if p.connected() != 1 {
		t.Errorf("%d connections, want 1", p.connected())
	}
}

// Two servers behind one address do not share a connection: each has shown its own certificate only.
func TestConnectionsAreNotMixed(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, ok, "a.example") // b.example is not in its certificate
	names := at("a.example", p.port)
	names.srv["_matrix-fed._tcp.b.example"] = names.srv["_matrix-fed._tcp.a.example"]
	names.hosts["b.example"] = names.hosts["a.example"]
	client := newTestClient(t, ca, names)
	call := Call{Method: "GET", Path: "/x"}
	if _, err := client.Do(t.Context(), "a.example", call); err != nil {
		t.Fatal(err)
	}
	_, err := client.Do(t.Context(), "b.example", call)
	if got := failed(t, err); got.Class != ClassTLS {
		t.Errorf("got %v, want a TLS failure", err)
	}
	// Nor does a name share with the same name on another port.
	_, err = client.Do(t.Context(), "a.example:443", call)
	if err == nil || len(p.requests) != 1 {
		t.Errorf("a.example:443 was reached on the connection of a.example")
	}
}

// G-H8: addresses of IPv6 in DNS answers, and the first address being dead.
func TestAddressesAreTriedInTurn(t *testing.T) {
	for _, host := range []string{"[::1]:0", "127.0.0.2:0"} {
		listener, err := net.Listen("tcp", host)
		if err != nil {
			t.Logf("%s is not available here: %v", host, err)
			continue
		}
		defer listener.Close()
		addr := netip.MustParseAddrPort(listener.Addr().String())
		d := &dialer{open: openTCP, hosts: &fakeDNS{hosts: map[string][]string{"h.example": {"127.0.0.1", addr.Addr().String()}}}}
		conn, err := d.dial(t.Context(), "tcp", fmt.Sprintf("h.example:%d", addr.Port()))
		if err != nil {
			t.Errorf("dial: %v", err)
			continue
		}
		if got := conn.RemoteAddr().String(); got != addr.String() {
			t.Errorf("connected to %s, want %s", got, addr)
		}
		conn.Close()
	}
}

// A silent address delays the next by 250 ms only (RFC 8305), and late connections are closed.
func TestRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		late, lateEnd := net.Pipe()
		silent, quick := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		winner, _ := net.Pipe()
		conn, _, err := race(t.Context(), []netip.Addr{silent, quick}, func(_ context.Context, addr netip.Addr) (net.Conn, error) {
			if addr == quick {
				return winner, nil
			}
			time.Sleep(time.Minute)
			return late, nil
		})
		if conn != winner || err != nil || time.Since(begun) != attemptDelay {
			t.Errorf("got %v, %v after %v", conn, err, time.Since(begun))
		}
		time.Sleep(time.Hour)
		if _, err := lateEnd.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the late connection is not closed: %v", err)
		}
	})
}

// Who has no time left tries no further address, though the next one's turn comes at that very moment; one that fails gives its turn to
// the next without waiting for anything.
func TestRaceEndsInTime(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")}
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), attemptDelay)
			defer cancel()
			var mu sync.Mutex
			var tried []netip.Addr
			_, _, err := race(ctx, addrs, func(ctx context.Context, addr netip.Addr) (net.Conn, error) {
				mu.Lock()
				tried = append(tried, addr)
				mu.Unlock()
				if addr == addrs[0] {
					return nil, errors.New("refused")
				}
				<-ctx.Done()
				return nil, ctx.Err()
			})
			synctest.Wait()
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != attemptDelay {
				t.Errorf("%v after %v", err, time.Since(begun))
			}
			if len(tried) != 2 || tried[1] != addrs[1] {
				t.Errorf("tried %v, want the first, which failed, and the second", tried)
			}
		})
	}
}

// G-H4: the well-known request passes through the same guard.
func TestWellKnownIsGuarded(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, ok, "s.example")
	for _, allow := range []bool{false, true} {
		d := &dialer{open: openTCP, hosts: at("s.example"), tls: Trust{Roots: ca.pool}.config()}
		if !allow {
			d.ranges.denied = DefaultDenied
		}
		pool := newWebTransport(d)
		request, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("https://s.example:%d/.well-known/matrix/server", p.port), nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := pool.RoundTrip(request)
		if allow {
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		} else if !errors.Is(err, errRange) {
			t.Errorf("got %v, want %v", err, errRange)
		}
	}
	if len(p.requests) != 1 {
		t.Errorf("%d requests, want the allowed one", len(p.requests))
	}
}

// The blocks are those of the IANA registries; the addresses are chosen by hand at their edges.
func TestDefaultRanges(t *testing.T) {
	for _, tt := range []struct {
		want  bool
		addrs string
	}{
		{true, "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.0.1 172.32.0.1 192.167.1.1 223.255.255.255"},
		{true, "2606:4700::1111 2a01:4f8::1 2400:cb00::1 64:ff9b::8.8.8.8 2002:808:808::1 ::ffff:8.8.8.8 ::ffff:0:8.8.8.8"},
		{false, "0.0.0.0 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1 172.31.255.255 192.168.1.1 192.0.0.1"},
		{false, "198.18.0.1 198.19.255.255 192.0.2.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255"},
		{false, ":: ::1 fc00::1 fd12::1 fe80::1 fe80::1%eth0 ff02::1 2001:db8::1 2001::1 100::1 fec0::1 ::127.0.0.1"},
		{false, "::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254 2002:7f00:1::1 2002:a9fe:a9fe::1 64:ff9b:1::1 ::ffff:0:10.0.0.1 64:ff9b::7f00:1"},
	} {
		for text := range strings.FieldsSeq(tt.addrs) {
			if got := (ranges{denied: DefaultDenied}).permit(netip.MustParseAddr(text)); got != tt.want {
				t.Errorf("permit(%s) = %v", text, got)
			}
		}
	}
	if (ranges{}).permit(netip.Addr{}) {
		t.Error("no address is permitted")
	}
}

// A peer whose DNS mixes public and private addresses gets only the public ones dialled, and never more than the cap.
func TestLookupFilters(t *testing.T) {
	many := []string{"127.0.0.1", "8.8.8.8", "::ffff:10.1.1.1", "::ffff:8.8.4.4"}
	for i := range 20 {
		many = append(many, fmt.Sprintf("1.1.1.%d", i))
	}
	d := &dialer{open: openTCP, hosts: &fakeDNS{hosts: map[string][]string{"h.example": many, "none.example": {}}}, ranges: ranges{denied: DefaultDenied}}
	_, got, err := d.lookup(t.Context(), "h.example:1", false)
	if err != nil || len(got) != maxAddresses || got[0].String() != "8.8.8.8" || got[1].String() != "8.8.4.4" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, _, err := d.lookup(t.Context(), "none.example:1", false); classOf(t.Context(), err) != ClassDNS {
		t.Errorf("no addresses: %v", err)
	}
}

// hangingDNS never answers.
type hangingDNS struct{}

func (hangingDNS) Addresses(ctx context.Context, _ string, _ bool) (dns.Addresses, error) {
	<-ctx.Done()
	return dns.Addresses{}, ctx.Err()
}

// net/http lets a dial go on when its request has ended. Targets that hang, of which a peer's DNS may name many, must not make
// that last: the dial holds one of the places for connections to its server.
func TestDialOfManyTargetsThatHangEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets := make([]discovery.Target, 16)
		for i := range targets {
			targets[i].Address = fmt.Sprintf("t%d.example:8448", i)
		}
		d := &dialer{open: openTCP, hosts: hangingDNS{}}
		begun := time.Now()
		conn, err := d.dialTargets(context.Background(), targets)
		if took := time.Since(begun); conn != nil || err == nil || took > time.Minute {
			t.Errorf("dial ended after %v with %v, %v", took, conn, err)
		}
	})
}
