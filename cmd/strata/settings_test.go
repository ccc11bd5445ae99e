// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseDuration(t *testing.T) {
	for _, test := range []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		// Synapse's configuration manual, "Config Conventions".
		{"500ms", 500 * time.Millisecond, true},
		{"30s", 30 * time.Second, true},
		{"10m", 10 * time.Minute, true},
		{"2h", 2 * time.Hour, true},
		{"3d", 72 * time.Hour, true},
		{"1w", 168 * time.Hour, true},
		{"1y", 8760 * time.Hour, true},
		{"250", 250 * time.Millisecond, true},
		{"", 0, false}, {"s", 0, false}, {"-1s", 0, false}, {"1.5s", 0, false}, {"1h30m", 0, false}, {"300y", 0, false},
	} {
		got, err := parseDuration(test.in)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("parseDuration(%q) = %v, %v; want %v, ok %v", test.in, got, err, test.want, test.ok)
		}
	}
}

func TestDurationText(t *testing.T) {
	for want, d := range map[string]time.Duration{"1500ms": 1500 * time.Millisecond, "90s": 90 * time.Second, "1w": 168 * time.Hour, "2d": 48 * time.Hour} {
		if got, err := duration(d).MarshalText(); err != nil || string(got) != want {
			t.Errorf("%v is written %q, %v; want %q", d, got, err, want)
		}
	}
}

func TestParseMoment(t *testing.T) {
	now := time.UnixMilli(1_000_000_000)
	for _, test := range []struct {
		in   string
		want int64
		ok   bool
	}{
		{"", 0, true},
		{"10m", 1_000_000_000 - 600_000, true},
		{"100y", 1, true}, // before 1970: everything
		{"1970-01-01T00:00:02Z", 2000, true},
		{"1970-01-01T02:00:02+02:00", 2000, true},
		{"10", 0, false}, {"yesterday", 0, false}, {"-1h", 0, false},
	} {
		got, err := parseMoment(test.in, now)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("parseMoment(%q) = %d, %v; want %d, ok %v", test.in, got, err, test.want, test.ok)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"server_name", "data_dir", "listeners", "log_level"}
	for name, want := range map[string]string{
		"servername": "server_name", "listener": "listeners", "loglevel": "log_level", "x": "", "macaroon_secret_key": "",
		strings.Repeat("listeners", 100): "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("nearest to %.20q is %q, want %q", name, got, want)
		}
	}
}

// Relative paths of a file are relative to the file; absolute ones and those of flags stay.
func TestAnchor(t *testing.T) {
	s := settings{
		DataDir: "data", TLSCertificatePath: "/abs/tls.crt", SigningKeyPath: "../key",
		FederationCustomCAList: []string{"ca.crt"},
	}
	s.anchor("/etc/strata/strata.toml")
	want := settings{
		DataDir: "/etc/strata/data", TLSCertificatePath: "/abs/tls.crt", SigningKeyPath: "/etc/key",
		FederationCustomCAList: []string{"/etc/strata/ca.crt"},
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEnvironmentOverFile(t *testing.T) {
	s := defaultSettings()
	const file = "server_name = 'a.example'\n[[listeners]]\nport = 1\ntls = true\n[federation]\nclient_timeout = 1500\n"
	if found, err := parseSettings(file, &s); err != nil || len(found) > 0 {
		t.Fatal(found, err)
	}
	found, strays := readEnv(map[string]string{
		"STRATA_SERVER_NAME": "b.example", "STRATA_LISTENERS__0__PORT": "2", "STRATA_LISTENERS__1__TLS": "true",
		"STRATA_FEDERATION_CUSTOM_CA_LIST": "x.crt, y.crt,", "STRATA_ALLOW_PRIVATE_ADDRESSES": "1",
		"STRATA_FEDERATION__DESTINATION_RETRY_MULTIPLIER": "1.5", "STRATA_CONFIG": "ignored", "STRATA_STRAY": "x", "PATH": "y",
	}, &s)
	if len(found) > 0 {
		t.Error(found)
	}
	want := defaultSettings()
	want.ServerName, want.AllowPrivateAddresses = "b.example", true
	want.Listeners = []listener{{Port: 2, TLS: true}, {TLS: true}}
	want.FederationCustomCAList = []string{"x.crt", "y.crt"}
	want.Federation.ClientTimeout, want.Federation.DestinationRetryMultiplier = duration(1500*time.Millisecond), 1.5
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"STRATA_STRAY"}, strays); diff != "" {
		t.Errorf("strays (-want +got):\n%s", diff)
	}
}

func TestEnvironmentFaults(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"listeners.5":             {"STRATA_LISTENERS__5__PORT": "2"},
		"listeners[0].port":       {"STRATA_LISTENERS__0__PORT": "many"},
		"listeners":               {"STRATA_LISTENERS": "8448"},
		"acme":                    {"STRATA_ACME": "on"},
		"federation.x":            {"STRATA_FEDERATION__X": "1"},
		"server_name":             {"STRATA_SERVER_NAME__X": "1"},
		"STRATA_ACME__DOMAINS":    {"STRATA_ACME": "on", "STRATA_ACME__DOMAINS": "a"},
		"allow_private_addresses": {"STRATA_ALLOW_PRIVATE_ADDRESSES": "maybe"},
	} {
		s := defaultSettings()
		found, _ := readEnv(env, &s)
		if len(found) == 0 || found[0].Key != name {
			t.Errorf("%v: faults %v, want one of %s", env, found, name)
		}
	}
}

// FuzzParseSettings: no text makes the parser panic, and settings that are accepted can be validated.
func FuzzParseSettings(f *testing.F) {
	f.Add(`server_name = "example.org"`)
	f.Add("[[listeners]]\nport = 8448\ntls = true\nbind_addresses = ['::']\n[acme]\ndomains = ['a.example']")
	f.Add("listeners = [{port = 1}, 5]\nfederation = 7\nold_signing_keys = {a = {key = 'b'}, c = 1}")
	f.Add("['']")
	f.Add("federation.client_timeout = 1979-05-27T07:32:00Z\nfederation.destination_retry_multiplier = nan")
	f.Fuzz(func(t *testing.T, text string) {
		s := defaultSettings()
		found, err := parseSettings(text, &s)
		if err != nil {
			return
		}
		found = append(found, s.validate(false)...)
		for _, fault := range found {
			if fault.Key == "" || fault.Problem == "" || fault.Fix == "" {
				t.Errorf("fault without key, problem or fix: %+v", fault)
			}
		}
		s.addresses()
		s.certificateSource()
		s.anchor("/etc/strata.toml")
	})
}

// FuzzReadEnv: no environment makes the reader panic.
func FuzzReadEnv(f *testing.F) {
	f.Add("STRATA_LISTENERS__0__PORT", "8448", "STRATA_LISTENERS__1", "x")
	f.Add("STRATA_OLD_SIGNING_KEYS__a__key", "x", "STRATA_OLD_SIGNING_KEYS__a", "y")
	f.Add("STRATA___", "", "STRATA_", "")
	f.Fuzz(func(_ *testing.T, name1, value1, name2, value2 string) {
		s := defaultSettings()
		readEnv(map[string]string{name1: value1, name2: value2}, &s)
		s.validate(false)
	})
}

// FuzzParseMoment: what is accepted lies in the past of now or was written out.
func FuzzParseMoment(f *testing.F) {
	for _, seed := range []string{"10m", "2026-01-31T12:00:00Z", "", "9223372036854775807ms", "0s"} {
		f.Add(seed)
	}
	now := time.UnixMilli(1_700_000_000_000)
	f.Fuzz(func(t *testing.T, s string) {
		at, err := parseMoment(s, now)
		if err == nil && at > now.UnixMilli() && !strings.Contains(s, "T") && !strings.Contains(s, "t") {
			t.Errorf("parseMoment(%q) = %d, later than now", s, at)
		}
	})
}
