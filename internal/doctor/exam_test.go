// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// patient is a server as the steps see it, all of it good to begin with; each case makes one thing bad.
type patient struct {
	examination transport.Examination
	documents   []transport.AddressedDocument
	visits      map[string]transport.Visit
	answer      transport.Raw // to the signed request
	answerErr   error
	told        []*keys.Document
}

func (p *patient) Examine(context.Context, ident.ServerName, bool) transport.Examination {
	return p.examination
}

func (p *patient) DocumentByAddress(context.Context, string) []transport.AddressedDocument {
	return p.documents
}

func (p *patient) Visit(_ context.Context, _ discovery.Target, addr netip.AddrPort, _ ...string) transport.Visit {
	return p.visits[addr.Addr().String()]
}

func (p *patient) Raw(context.Context, ident.ServerName, transport.Call) (transport.Raw, error) {
	return p.answer, p.answerErr
}

func (p *patient) Hear(context.Context, ident.ServerName, ident.ServerName) ([]*keys.Document, error) {
	return p.told, nil
}

const (
	v4, v6 = "198.51.100.9", "2001:db8::9"
	name   = ident.ServerName("example.org")
)

func testKey(t *testing.T, id ident.KeyID) signing.Key {
	t.Helper()
	key, err := signing.NewKey(id, []byte(fmt.Sprintf("%-32s", id)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ownKeys(t *testing.T, server ident.ServerName, validity time.Duration, key signing.Key) *keys.Own {
	t.Helper()
	own, err := keys.NewOwn(keys.OwnConfig{Server: server, Plan: keys.Plan{Keys: []keys.PlannedKey{{Key: key}}}, Validity: validity})
	if err != nil {
		t.Fatal(err)
	}
	return own
}

func healthy(t *testing.T) *patient {
	target := discovery.Target{Address: "example.org:8448", Host: "example.org", TLSName: "example.org", Step: "6"}
	p := &patient{visits: map[string]transport.Visit{}, answer: transport.Raw{Status: 404, Body: []byte(`{"errcode":"M_NOT_FOUND"}`)}}
	p.examination = transport.Examination{
		Steps: []discovery.Step{
			{Document: &discovery.Document{Host: "example.org", URL: "https://example.org/.well-known/matrix/server", Status: 404}},
			{Service: "_matrix-fed._tcp.example.org"}, {Service: "_matrix._tcp.example.org"},
		},
		Places: []transport.Place{{Target: target, Canonical: "example.org", Addresses: []netip.AddrPort{
			netip.AddrPortFrom(netip.MustParseAddr(v6), 8448), netip.AddrPortFrom(netip.MustParseAddr(v4), 8448),
		}}},
	}
	for _, addr := range []string{v4, v6} {
		p.visits[addr] = p.visit(t, time.Now(), ownKeys(t, name, 0, testKey(t, "ed25519:a")).Published(time.Now()))
	}
	return p
}

// visit is a good one, with a clock and a key document of one's choice.
func (p *patient) visit(_ *testing.T, clock time.Time, document []byte) transport.Visit {
	header := http.Header{"Date": {clock.UTC().Format(http.TimeFormat)}}
	return transport.Visit{
		TLS: &tls.ConnectionState{Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{{
			Issuer: pkix.Name{CommonName: "An Authority"}, DNSNames: []string{"example.org"}, NotAfter: time.Now().Add(60 * 24 * time.Hour),
		}}},
		Replies: []transport.Raw{
			{Status: 200, Header: header, Body: []byte(`{"server":{"name":"ExampleServer","version":"1.2"}}`)},
			{Status: 200, Header: header, Body: document},
		},
	}
}

// Every code but those of our own server, which TestPrecede makes.
func TestFindings(t *testing.T) {
	cases := []struct {
		spoil func(*testing.T, *patient)
		want  string // the codes
	}{
		{func(*testing.T, *patient) {}, ""},
		{func(_ *testing.T, p *patient) {
			*p.examination.Steps[0].Document = discovery.Document{Server: "fed.example.org:443", Status: 200, ContentType: "application/json; charset=utf-8"}
		}, ""},
		{func(_ *testing.T, p *patient) {
			*p.examination.Steps[0].Document = discovery.Document{Server: "fed.example.org:443", Status: 200, ContentType: "text/plain"}
		}, "W202"},
		{func(_ *testing.T, p *patient) {
			*p.examination.Steps[0].Document = discovery.Document{Status: 200, Note: "not a JSON object"}
		}, "W201"},
		{func(_ *testing.T, p *patient) {
			p.examination.Steps[1].Err, p.examination.Err, p.examination.Places = errors.New("SERVFAIL"), errors.New("SERVFAIL"), nil
		}, "E301"},
		{func(_ *testing.T, p *patient) {
			p.examination.Steps[1].Services = dns.Services{List: []dns.Service{{}}}
			p.examination.Err, p.examination.Places = fmt.Errorf("x: %w", discovery.ErrNoService), nil
		}, "E302"},
		{func(_ *testing.T, p *patient) {
			p.examination.Steps[2].Services = dns.Services{List: []dns.Service{{Target: "host.example", Port: 8448}}}
		}, "W303"},
		{func(_ *testing.T, p *patient) {
			p.examination.Places[0] = transport.Place{Err: fmt.Errorf("host %w", dns.ErrNoAddress)}
		}, "E401"},
		{func(_ *testing.T, p *patient) { p.examination.Places[0] = transport.Place{Err: errors.New("SERVFAIL")} }, "E404"},
		{func(_ *testing.T, p *patient) {
			p.examination.Places[0].Denied = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}, "W405"},
		{func(_ *testing.T, p *patient) {
			*p.examination.Steps[0].Document = discovery.Document{Server: "fed.example.org:443", Failures: 1, Problem: "refused"}
		}, "W203"},
		{func(_ *testing.T, p *patient) {
			p.documents = []transport.AddressedDocument{
				{Addr: netip.MustParseAddr(v4), Document: discovery.Document{Server: "fed.example.org"}},
				{Addr: netip.MustParseAddr(v6), Document: discovery.Document{Problem: "refused"}},
			}
		}, "W204"},
		{func(_ *testing.T, p *patient) {
			p.documents = []transport.AddressedDocument{{Document: discovery.Document{Problem: "refused"}}, {Document: discovery.Document{Status: 404}}}
		}, ""},
		{func(_ *testing.T, p *patient) {
			p.examination = transport.Examination{Err: fmt.Errorf("%w: port 0", discovery.ErrInvalidName)}
		}, "E101"},
		{func(_ *testing.T, p *patient) {
			p.examination.Places[0] = transport.Place{Denied: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
		}, "E402"},
		{func(_ *testing.T, p *patient) {
			p.examination.Places[0].Target.Direct = true
			p.examination.Places[0].Addresses, p.examination.Places[0].Err = nil, errors.New("is an alias")
		}, "E403"},
		{func(_ *testing.T, p *patient) {
			for addr := range p.visits {
				p.visits[addr] = transport.Visit{Err: &transport.Failure{Class: transport.ClassDial}}
			}
		}, "E501"},
		{func(_ *testing.T, p *patient) {
			p.visits[v6] = transport.Visit{Err: &transport.Failure{Class: transport.ClassTimeout}}
		}, "W502"},
		{func(_ *testing.T, p *patient) {
			for addr, v := range p.visits {
				v.Certificate, v.Err, v.Replies = x509.UnknownAuthorityError{}, &transport.Failure{Class: transport.ClassTLS}, nil
				p.visits[addr] = v
			}
		}, "E503"},
		{func(_ *testing.T, p *patient) {
			p.visits[v4].TLS.PeerCertificates[0].NotAfter = time.Now().Add(13 * 24 * time.Hour)
		}, "W504"},
		{func(_ *testing.T, p *patient) {
			for addr := range p.visits {
				p.visits[addr] = transport.Visit{Err: &transport.Failure{Class: transport.ClassTLS}}
			}
		}, "E505"},
		{func(_ *testing.T, p *patient) {
			v := p.visits[v4]
			v.Certificate, v.Unverified = x509.UnknownAuthorityError{}, true
			p.visits[v4] = v
		}, "W506"},
		{func(_ *testing.T, p *patient) {
			for _, v := range p.visits {
				v.Replies[0].Body = []byte("<html>")
			}
		}, "E601"},
		{func(_ *testing.T, p *patient) {
			for _, v := range p.visits {
				v.Replies[1].Status = 404
			}
		}, "E701 E701"},
		{func(t *testing.T, p *patient) {
			for addr := range p.visits {
				p.visits[addr] = p.visit(t, time.Now(), ownKeys(t, "other.example", 0, testKey(t, "ed25519:a")).Published(time.Now()))
			}
		}, "E702"},
		{func(t *testing.T, p *patient) {
			old := time.Now().Add(-25 * time.Hour)
			for addr := range p.visits {
				p.visits[addr] = p.visit(t, time.Now(), ownKeys(t, name, 0, testKey(t, "ed25519:a")).Published(old))
			}
		}, "E703"},
		{func(t *testing.T, p *patient) {
			old := time.Now().Add(-23*time.Hour - time.Minute)
			for addr := range p.visits {
				p.visits[addr] = p.visit(t, time.Now(), ownKeys(t, name, 0, testKey(t, "ed25519:a")).Published(old))
			}
		}, "W704"},
		{func(t *testing.T, p *patient) {
			p.told = []*keys.Document{{Current: map[ident.KeyID]ed25519.PublicKey{"ed25519:a": testKey(t, "ed25519:b").Public()}}}
		}, "W705"},
		{func(t *testing.T, p *patient) {
			for addr := range p.visits {
				other, err := signing.NewKey("ed25519:a", make([]byte, 32))
				if err != nil {
					t.Fatal(err)
				}
				p.visits[addr] = p.visit(t, time.Now(), ownKeys(t, name, 0, other).Published(time.Now()))
			}
		}, "E706"},
		{func(_ *testing.T, p *patient) {
			p.answer = transport.Raw{Status: 401, Body: []byte(`{"errcode":"M_UNAUTHORIZED","error":"no key"}`)}
		}, "E801"},
		{func(_ *testing.T, p *patient) { p.answer = transport.Raw{Status: 502, Body: []byte("<html>")} }, "W802"},
		{func(_ *testing.T, p *patient) { p.answerErr = errors.New("broken off") }, "W802"},
		{func(_ *testing.T, p *patient) {
			p.answer = transport.Raw{Status: 403, Body: []byte(`{"errcode":"M_FORBIDDEN"}`)}
		}, ""},
		{func(t *testing.T, p *patient) {
			for addr, v := range p.visits {
				p.visits[addr] = p.visit(t, time.Now().Add(6*time.Minute), v.Replies[1].Body)
			}
		}, "E901"},
		{func(t *testing.T, p *patient) {
			for addr, v := range p.visits {
				p.visits[addr] = p.visit(t, time.Now().Add(-20*time.Second), v.Replies[1].Body)
			}
		}, "W902"},
	}
	made := map[string]bool{"E101": true}
	for _, tt := range cases {
		synctest.Test(t, func(t *testing.T) {
			p := healthy(t)
			tt.spoil(t, p)
			seen := map[string]string{"ed25519:a": signing.EncodeBase64(testKey(t, "ed25519:a").Public())}
			report := Run(t.Context(), Config{
				Server: string(name), Network: p, Client: p, Ring: p, Notary: []ident.ServerName{"notary.example"}, Seen: seen,
			})
			got := codesOf(report)
			if tt.want != strings.Join(got, " ") {
				t.Errorf("got %v, want %q\n%+v", got, tt.want, report.Findings)
			}
			if report.FederationOK == slices.ContainsFunc(got, func(c string) bool { return c[0] == 'E' }) {
				t.Errorf("%v: FederationOK is %v", got, report.FederationOK)
			}
			for i, s := range report.Steps {
				if s.N != i+1 || (s.Status == Failed) != slices.ContainsFunc(s.Codes, func(c string) bool { return c[0] == 'E' }) {
					t.Errorf("step %+v", s)
				}
			}
			for _, code := range got {
				made[code] = true
			}
		})
	}
	if report := Run(t.Context(), Config{Server: "no name", Network: healthy(t)}); !cmp.Equal(codesOf(report), []string{"E101"}) || report.Error == "" {
		t.Errorf("%+v", report)
	}
	report := Resolve(t.Context(), Config{Server: string(name), Network: healthy(t), Policy: transport.ErrNotFederated}, false)
	if !cmp.Equal(codesOf(report), []string{"E102"}) || len(report.Steps) != 4 || len(report.Targets) != 1 || len(report.ConnectionReports) != 0 {
		t.Errorf("%+v", report)
	}
	made["E102"] = true
	for _, c := range Codes() {
		if !made[c.Code] && c.Code[1:3] != "00" {
			t.Errorf("no case makes %s", c.Code)
		}
	}
}

func codesOf(r Report) (codes []string) {
	for _, f := range r.Findings {
		codes = append(codes, f.Code)
	}
	return codes
}

// What is known of our own server comes first, and counts.
func TestPrecede(t *testing.T) {
	key := testKey(t, "ed25519:b")
	p := healthy(t)
	report := Run(t.Context(), Config{Server: string(name), Network: p, Own: ownKeys(t, name, 0, key)})
	if got := codesOf(report); !cmp.Equal(got, []string{"E005"}) {
		t.Fatalf("another server answers under our name: %v", got)
	}
	now := time.Now()
	for _, tt := range []struct {
		own  Own
		want []string
	}{
		{Own{Running: "socket"}, nil},
		{Own{Faults: []string{"a", "b"}}, []string{"E001", "E001", "E004"}},
		{Own{KeyErr: errors.New("gone"), Running: "s"}, []string{"E002"}},
		{Own{CertErr: errors.New("gone"), Running: "s"}, []string{"E003"}},
		{Own{Certificate: &x509.Certificate{NotAfter: now.Add(-1)}, Running: "s"}, []string{"E003"}},
		{Own{Certificate: &x509.Certificate{NotAfter: now.Add(time.Hour)}, Running: "s"}, []string{"W006"}},
	} {
		report := Run(t.Context(), Config{Server: string(name), Network: healthy(t), Own: ownKeys(t, name, 0, testKey(t, "ed25519:a"))})
		report.Precede(tt.own, now)
		if got := codesOf(report); !cmp.Equal(got, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.own, got, tt.want)
		}
		if report.Steps[0].ID != "configuration" || report.Steps[len(report.Steps)-1].N != len(report.Steps) {
			t.Errorf("steps %+v", report.Steps)
		}
	}
}

// docs/doctor.md and the table say the same.
func TestCodesAreDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "doctor.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, line := range regexp.MustCompile(`(?m)^\| ([EW]\d{3}) \|.*$`).FindAllStringSubmatch(string(text), -1) {
		documented[line[1]] = line[0]
	}
	for _, c := range Codes() {
		spec := c.Spec
		if spec == "" {
			spec = "–"
		}
		want := fmt.Sprintf("| %s | %s | %s | %s |", c.Code, spec, c.Text, c.Fix)
		if documented[c.Code] != want {
			t.Errorf("docs/doctor.md has\n%s\nwant\n%s", documented[c.Code], want)
		}
		delete(documented, c.Code)
	}
	for code := range documented {
		t.Errorf("docs/doctor.md has %s, which does not exist", code)
	}
}

// what is wrong with a document is told apart.
func TestExamineKeys(t *testing.T) {
	now := time.Now()
	good := ownKeys(t, name, 0, testKey(t, "ed25519:a")).Published(now)
	for _, tt := range []struct {
		document string
		want     string
	}{
		{string(good), ""},
		{strings.Replace(string(good), `"valid_until_ts":`, `"x":1,"valid_until_ts":`, 1), "E702"},
		{`{"server_name":"example.org","valid_until_ts":99999999999999,"verify_keys":{}}`, "E702"},
		{"[]", "E702"},
	} {
		r := ExamineKeys(name, []byte(tt.document), now)
		var got []string
		for _, f := range r.Findings {
			got = append(got, f.Code)
		}
		if strings.Join(got, " ") != tt.want || r.Good != (tt.want == "") {
			t.Errorf("%.80s: %+v", tt.document, r)
		}
	}
}
