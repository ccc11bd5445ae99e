// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/dns/dnstest"
	"github.com/strata-matrix/strata/transport/ident"
)

// internet is a world of its own for one test: a real DNS server with a zone, and TLS servers at addresses and ports as the
// specification has them, 443 and 8448 too, each of which is in truth a port of the loopback interface.
type internet struct {
	t   testing.TB
	ca  *issuer
	dns *dnstest.Server

	mu       sync.Mutex
	places   map[netip.AddrPort]string // where sites listen
	dialed   []netip.AddrPort
	arrivals []arrival
}

// arrival is a request as it arrived.
type arrival struct{ Address, Host, SNI, Path string }

func newInternet(t testing.TB, zone string) *internet {
	t.Helper()
	server, err := dnstest.Start(zone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return &internet{t: t, ca: newIssuer(t), dns: server, places: map[netip.AddrPort]string{}}
}

// site puts a server at an address, with a certificate for names.
func (n *internet) site(address string, handler http.HandlerFunc, names ...string) {
	n.t.Helper()
	p := newPeer(n.t, n.ca, func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.arrivals = append(n.arrivals, arrival{address, r.Host, r.TLS.ServerName, r.URL.Path})
		n.mu.Unlock()
		handler(w, r)
	}, names...)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.places[netip.MustParseAddrPort(address)] = p.address()
}

// open connects to what is at an address of this world.
func (n *internet) open(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	n.mu.Lock()
	n.dialed = append(n.dialed, address)
	place, found := n.places[address]
	n.mu.Unlock()
	if !found {
		return nil, errors.New("connection refused")
	}
	return new(net.Dialer).DialContext(ctx, "tcp", place)
}

// network leads into this world.
func (n *internet) network(config NetworkConfig) *Network {
	n.t.Helper()
	config.DNS = dns.NewClient(dns.Config{Servers: []netip.AddrPort{n.dns.Addr()}, HostsFile: filepath.Join(n.t.TempDir(), "none")})
	config.Trust.Roots = n.ca.pool
	network, err := NewNetwork(config)
	if err != nil {
		n.t.Fatal(err)
	}
	network.dialer.open = n.open
	n.t.Cleanup(network.Close)
	return network
}

func (n *internet) client(config NetworkConfig) *Client {
	return NewClient(ClientConfig{ServerName: "origin.example", Key: testKey(n.t, "ed25519:1", 1), Network: n.network(config)})
}

// document answers with a well-known document.
func document(server string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"m.server":%q}`, server) }
}

// The cases of resolvematrix.dev, which the steps of SS "Resolving server names" are commonly tested with: what is connected to, the
// Host header, the certificate and SNI. A server at the address has a certificate for the demanded name only, and there is nothing at
// any other address.
func TestResolveMatrixCases(t *testing.T) {
	const (
		web = "203.0.113.1" // of well-known documents
		fed = "203.0.113.7" // of Matrix servers
	)
	for _, tt := range []struct {
		name, rule string
		server     string
		document   string // of server's host, "" for none
		zone       string // besides the addresses of hosts
		target     string // the host that has fed's address
		address    string
		host, cert string // cert is the SNI too, unless it is an address
	}{
		{"1", "X-20", "203.0.113.7", "", "", "none", fed + ":8448", "203.0.113.7", "203.0.113.7"},
		{"1 with port", "X-20", "203.0.113.7:7651", "", "", "none", fed + ":7651", "203.0.113.7:7651", "203.0.113.7"},
		{"2", "X-21", "2.s.example:7652", "wrong.example:1", "", "2.s.example", fed + ":7652", "2.s.example:7652", "2.s.example"},
		{"3a", "X-25", "3a.s.example", "203.0.113.7:7653", "", "none", fed + ":7653", "203.0.113.7:7653", "203.0.113.7"},
		{"3b", "X-26", "3b.s.example", "wk.3b.s.example:7753", "", "wk.3b.s.example", fed + ":7753", "wk.3b.s.example:7753", "wk.3b.s.example"},
		{"3c", "X-28", "3c.s.example", "wk.3c.s.example", "_matrix._tcp.wk.3c.s.example 300 SRV 10 5 7754 srv.wk.3c.s.example",
			"srv.wk.3c.s.example", fed + ":7754", "wk.3c.s.example", "wk.3c.s.example"},
		{"3c, _matrix-fed", "X-27", "3c1.s.example", "wk.3c1.s.example",
			"_matrix-fed._tcp.wk.3c1.s.example 300 SRV 10 5 7755 srv.wk.3c1.s.example\n_matrix._tcp.wk.3c1.s.example 300 SRV 0 5 1 wrong.example",
			"srv.wk.3c1.s.example", fed + ":7755", "wk.3c1.s.example", "wk.3c1.s.example"},
		{"3d", "X-29", "3d.s.example", "wk.3d.s.example", "", "wk.3d.s.example", fed + ":8448", "wk.3d.s.example", "wk.3d.s.example"},
		{"3d, alias", "X-29", "3d2.s.example", "wk.3d2.s.example", "wk.3d2.s.example 300 CNAME real.example", "real.example",
			fed + ":8448", "wk.3d2.s.example", "wk.3d2.s.example"},
		{"4", "X-30", "4.s.example", "", "_matrix._tcp.4.s.example 300 SRV 10 5 7855 srv.4.s.example", "srv.4.s.example",
			fed + ":7855", "4.s.example", "4.s.example"},
		{"4, _matrix-fed", "X-30", "41.s.example", "",
			"_matrix-fed._tcp.41.s.example 300 SRV 10 5 7856 srv.41.s.example\n_matrix._tcp.41.s.example 300 SRV 0 5 1 wrong.example",
			"srv.41.s.example", fed + ":7856", "41.s.example", "41.s.example"},
		{"5", "X-30", "5.s.example", "", "", "5.s.example", fed + ":8448", "5.s.example", "5.s.example"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			host, _ := ident.SplitServerName(ident.ServerName(tt.server))
			zone := fmt.Sprintf("%s\n%s 300 A %s\n", tt.zone, tt.target, fed)
			if host != tt.target {
				zone += fmt.Sprintf("%s 300 A %s\n", host, web)
			}
			n := newInternet(t, zone)
			if tt.document != "" {
				n.site(web+":443", document(tt.document), host)
			}
			n.site(tt.address, ok, tt.cert)
			client := n.client(NetworkConfig{AllowPrivate: true})
			if _, err := client.Do(t.Context(), ident.ServerName(tt.server), Call{Method: "GET", Path: "/_matrix/x"}); err != nil {
				t.Fatalf("%s: %v; asked %v, dialled %v", tt.rule, err, n.dns.Asked(), n.dialed)
			}
			want := arrival{tt.address, tt.host, tt.cert, "/_matrix/x"}
			if net.ParseIP(tt.cert) != nil {
				want.SNI = ""
			}
			if diff := cmp.Diff(want, n.arrivals[len(n.arrivals)-1]); diff != "" {
				t.Errorf("%s: -want +got\n%s", tt.rule, diff)
			}
			for _, question := range n.dns.Asked() { // what must not be asked is not
				if strings.Contains(question, "wrong.example") || tt.rule < "X-22" && strings.HasPrefix(question, "SRV") {
					t.Errorf("%s: asked for %s", tt.rule, question)
				}
			}
		})
	}
}

// addresses of both kinds and targets by priority, until one answers.
func TestEveryTargetIsTried(t *testing.T) {
	n := newInternet(t, `
_matrix-fed._tcp.s.example 300 SRV 10 0 1001 first.example
_matrix-fed._tcp.s.example 300 SRV 20 0 1002 second.example
first.example  300 AAAA 2001:db8::1
first.example  300 A    203.0.113.1
second.example 300 AAAA 2001:db8::2
second.example 300 A    203.0.113.2
`)
	n.site("203.0.113.2:1002", ok, "s.example")
	if _, err := n.client(NetworkConfig{AllowPrivate: true}).Do(t.Context(), "s.example", Call{Method: "GET", Path: "/x"}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, address := range n.dialed {
		got = append(got, address.String())
	}
	want := []string{"[2001:db8::1]:1001", "203.0.113.1:1001", "[2001:db8::2]:1002", "203.0.113.2:1002"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("dialled: -want +got\n%s", diff)
	}
}

// Hostile: a well-known host redirects into private networks, by address, by name, and by a name that has turned private since. None
// of it is connected to, and the resolution goes on.
func TestRedirectsIntoPrivateNetworks(t *testing.T) {
	for _, location := range []string{
		"https://127.0.0.1/x", "https://[::1]/x", "https://[::ffff:10.0.0.1]/x", "https://169.254.169.254/latest/meta-data",
		"https://inside.example/x", "https://localhost/x", "https://[64:ff9b::a00:1]/x", "http://public.example/x", "https://2130706433/x",
	} {
		n := newInternet(t, "s.example 300 A 1.2.3.4\ninside.example 300 A 10.0.0.1\npublic.example 300 A 1.2.3.5\n")
		n.site("1.2.3.4:443", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, location, http.StatusFound) }, "s.example")
		for _, inside := range []string{"127.0.0.1:443", "[::1]:443", "10.0.0.1:443", "169.254.169.254:443", "1.2.3.5:80", "[64:ff9b::a00:1]:443"} {
			n.site(inside, document("stolen.example:1"), "127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "inside.example", "localhost")
		}
		e := n.network(NetworkConfig{}).Examine(t.Context(), "s.example", false)
		if e.Err != nil || e.Places[0].Target.Step != "6" || e.Steps[0].Document.Problem == "" {
			t.Errorf("%s: %+v, %v, document %+v", location, e.Places, e.Err, e.Steps[0].Document)
		}
		if want := []netip.AddrPort{netip.MustParseAddrPort("1.2.3.4:443")}; !slices.Equal(n.dialed, want) {
			t.Errorf("%s: dialled %v", location, n.dialed)
		}
	}
}

// Hostile: the DNS says a public address first and a private one later, with a TTL of nothing. Flushed or not, the private one is not
// connected to.
func TestRebindingDNS(t *testing.T) {
	n := newInternet(t, "s.example 0 A 1.2.3.4\n")
	n.site("1.2.3.4:8448", ok, "s.example")
	n.site("127.0.0.1:8448", ok, "s.example")
	network := n.network(NetworkConfig{})
	client := NewClient(ClientConfig{ServerName: "origin.example", Key: testKey(t, "ed25519:1", 1), Network: network})
	call := Call{Method: "GET", Path: "/x"}
	if _, err := client.Do(t.Context(), "s.example:8448", call); err != nil {
		t.Fatal(err)
	}
	if err := n.dns.Set("s.example 0 A 127.0.0.1\n"); err != nil {
		t.Fatal(err)
	}
	if flushed := network.FlushRecords("s.example"); flushed != 2 { // A and AAAA
		t.Errorf("flushed %d", flushed)
	}
	network.Close()
	_, err := client.Do(t.Context(), "s.example:8448", call)
	if got := failed(t, err); got.Class != ClassPolicy || len(n.dialed) != 1 {
		t.Errorf("%v; dialled %v", err, n.dialed)
	}
}

// Hostile: endless and oversized documents, endless headers and redirect loops end, and the resolution goes on.
func TestHostileDocuments(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for name, handler := range map[string]http.HandlerFunc{
		"long": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"m.server":"a.example","x":"%s"}`, long)
		},
		"headers": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", long) },
		"loop":    func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) },
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			fmt.Fprint(w, `{`)
		},
	} {
		n := newInternet(t, "s.example 300 A 1.2.3.4\n")
		n.site("1.2.3.4:443", handler, "s.example")
		e := n.network(NetworkConfig{}).Examine(t.Context(), "s.example", false)
		if e.Err != nil || e.Places[0].Target.Step != "6" || e.Steps[0].Document.Problem == "" || len(n.dialed) > 6 {
			t.Errorf("%s: %+v, %v, document %+v, %d connections", name, e.Places, e.Err, e.Steps[0].Document, len(n.dialed))
		}
	}
}

// Examine tells what is connected to and what is not, and a visit what is there; a certificate that is not good is shown.
func TestExamineAndVisit(t *testing.T) {
	n := newInternet(t, "s.example 300 A 1.2.3.4\ns.example 300 A 1.2.3.5\ns.example 300 A 10.0.0.1\ns.example 300 A 1.2.3.6\n")
	n.site("1.2.3.4:8448", ok, "s.example")
	n.site("1.2.3.5:8448", ok, "other.example")
	network := n.network(NetworkConfig{})
	e := network.Examine(t.Context(), "s.example:8448", false)
	if e.Err != nil || len(e.Places) != 1 || len(e.Places[0].Addresses) != 3 || len(e.Places[0].Denied) != 1 || e.Places[0].Kept {
		t.Fatalf("places %+v, %v", e.Places, e.Err)
	}
	var got []string
	for _, addr := range e.Places[0].Addresses {
		v := network.Visit(t.Context(), e.Places[0].Target, addr, "/x")
		class := Class("")
		if v.Err != nil {
			class = v.Err.Class
		}
		got = append(got, fmt.Sprintf("%s %s, secured %v, %d replies", addr, class, v.TLS != nil, len(v.Replies)))
	}
	want := []string{
		"1.2.3.4:8448 , secured true, 1 replies", "1.2.3.5:8448 tls, secured true, 0 replies", "1.2.3.6:8448 dial, secured false, 0 replies",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
	if e := network.Examine(t.Context(), "s.example:8448", false); !e.Places[0].Kept {
		t.Error("the DNS was asked twice")
	}
	if e := network.Examine(t.Context(), "s.example:8448", true); e.Places[0].Kept {
		t.Error("the DNS was not asked anew")
	}
}

// The well-known document is asked for at each address of its host that may be connected to, and only there.
func TestDocumentByAddress(t *testing.T) {
	n := newInternet(t, "s.example 300 A 1.2.3.4\ns.example 300 AAAA 2600::5\ns.example 300 A 10.0.0.1\nw.example 300 A 1.2.3.9\n")
	n.site("1.2.3.4:443", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://w.example/m", http.StatusFound)
	}, "s.example")
	n.site("[2600::5]:443", document("six.example"), "s.example")
	n.site("10.0.0.1:443", document("inside.example"), "s.example")
	n.site("1.2.3.9:443", document("four.example"), "w.example")
	got := map[string]ident.ServerName{}
	for _, d := range n.network(NetworkConfig{}).DocumentByAddress(t.Context(), "s.example") {
		got[d.Addr.String()] = d.Server
	}
	if diff := cmp.Diff(map[string]ident.ServerName{"1.2.3.4": "four.example", "2600::5": "six.example"}, got); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}
