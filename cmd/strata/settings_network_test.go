// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport"
)

func TestParseRange(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "10.1.2.3/8": "10.0.0.0/8", "192.0.2.7": "192.0.2.7/32", "fe80::/10": "fe80::/10", "::1": "::1/128",
		"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:192.0.2.7": "192.0.2.7/32", // judged as the IPv4 addresses that they are
		"10.0.0.0-10.0.0.9": "", "example.org": "", "": "", "10.0.0.0/33": "",
	} {
		got, err := parseRange(text)
		if want == "" && err == nil || want != "" && got.String() != want {
			t.Errorf("%q: %s, %v, want %q", text, got, err, want)
		}
	}
}

func TestParseDNSServer(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.53": "192.0.2.53:53", "192.0.2.53:5353": "192.0.2.53:5353", "::1": "[::1]:53", "[::1]": "[::1]:53", "[::1]:5": "[::1]:5",
		"localhost": "", "192.0.2.53:0": "", "": "",
	} {
		got, err := parseDNSServer(text)
		if want == "" && err == nil || want != "" && got.String() != want {
			t.Errorf("%q: %s, %v, want %q", text, got, err, want)
		}
	}
}

// The settings that come from tuwunel count in seconds where no unit is given.
func TestSeconds(t *testing.T) {
	for text, want := range map[string]time.Duration{"8": 8 * time.Second, "8s": 8 * time.Second, "500ms": 500 * time.Millisecond, "1m": time.Minute} {
		var got seconds
		if err := got.UnmarshalText([]byte(text)); err != nil || time.Duration(got) != want {
			t.Errorf("%q: %v, %v, want %v", text, time.Duration(got), err, want)
		}
	}
	for _, text := range []string{"", "s", "soon", "-1"} {
		if err := new(seconds).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a duration", text)
		}
	}
}

func TestNetworkSettings(t *testing.T) {
	s := defaultSettings()
	const file = `
server_name = "a.example"
ip_range_blacklist = ["10.0.0.0/8"]
ip_range_whitelist = ["10.0.0.7"]
dns_servers = ["127.0.0.1:5353"]
federation_domain_whitelist = []
forbidden_remote_server_names = ['bad\.example$']
federation_verify_certificates = false
federation_certificate_verification_whitelist = ["*.onion"]
federation_client_minimum_tls_version = "1.3"
federation_timeout = 40
well_known_timeout = "3s"
federation_loopback = true
`
	if found, err := parseSettings(file, &s); err != nil || len(found) > 0 {
		t.Fatal(found, err)
	}
	found := faults{}
	s.checkNetwork(&found)
	if len(found) > 0 {
		t.Fatal(found)
	}
	p := plan{}
	if err := p.federate(s); err != nil {
		t.Fatal(err)
	}
	n := p.config.Network
	if diff := cmp.Diff([]string{"10.0.0.0/8", "10.0.0.7/32"}, []string{n.DeniedRanges[0].String(), n.AllowedRanges[0].String()}); diff != "" {
		t.Errorf("ranges: -want +got\n%s", diff)
	}
	if !n.Trust.Unverified || n.Trust.UnverifiedNames[0] != "*.onion" || n.Trust.MinVersion != 0x0304 || n.Trust.Roots != nil {
		t.Errorf("trust %+v", n.Trust)
	}
	if p.config.ClientLimits.Silence != 40*time.Second || n.WellKnownTimeout != 3*time.Second || !p.config.Loopback {
		t.Errorf("silence %v, well-known %v, loopback %v", p.config.ClientLimits.Silence, n.WellKnownTimeout, p.config.Loopback)
	}
	if err := p.config.Servers.Check("b.example"); !errors.Is(err, transport.ErrNotFederated) { // an empty list is none, not all
		t.Errorf("b.example: %v", err)
	}
	p = plan{}
	if err := p.federate(defaultSettings()); err != nil || p.config.Network.DeniedRanges != nil || p.config.Servers.Check("b.example") != nil {
		t.Errorf("default: %v, %v", err, p.config.Network.DeniedRanges)
	}
}

func TestNetworkFaults(t *testing.T) {
	s := defaultSettings()
	s.IPRangeBlacklist, s.IPRangeWhitelist, s.DNSServers = []string{"x"}, []string{"y"}, []string{"z"}
	s.FederationDomainWhitelist, s.ForbiddenRemoteServerNames = []string{"a b"}, []string{"("}
	s.FederationClientMinimumTLSVersion, s.FederationTimeout, s.WellKnownTimeout = "1.1", 0, 0
	found := faults{}
	s.checkNetwork(&found)
	var keys []string
	for _, f := range found {
		keys = append(keys, f.Key)
	}
	slices.Sort(keys)
	want := []string{
		"dns_servers[0]", "federation_client_minimum_tls_version", "federation_domain_whitelist[0]", "federation_timeout",
		"forbidden_remote_server_names[0]", "ip_range_blacklist[0]", "ip_range_whitelist[0]", "well_known_timeout",
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// The file is its owner's alone, and grows from run to run.
func TestKeyLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.log")
	for range 2 {
		w := &world{env: map[string]string{"SSLKEYLOGFILE": path}, out: newOutput(t.Output(), t.Output(), false)}
		log, err := openKeyLog(w)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Write([]byte("line\n")); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() != 10 {
		t.Errorf("%v, %v", info, err)
	}
	if log, err := openKeyLog(&world{}); log != nil || err != nil {
		t.Errorf("without the variable: %v, %v", log, err)
	}
}
