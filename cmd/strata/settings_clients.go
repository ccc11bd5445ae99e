// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"net/url"
	"os"
	"strings"

	"github.com/strata-matrix/strata/homeserver"
	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// clientRate is how often clients may do something, as Synapse writes it.
type clientRate struct {
	PerSecond  float64 `toml:"per_second" json:"per_second"`
	BurstCount int64   `toml:"burst_count" json:"burst_count"`
}

func (r clientRate) rate() accounts.Rate {
	return accounts.Rate{PerSecond: r.PerSecond, Burst: int(r.BurstCount)}
}

// defaultClientRate is that of accounts.
func defaultClientRate() clientRate {
	rate := accounts.DefaultRate()
	return clientRate{PerSecond: rate.PerSecond, BurstCount: int64(rate.Burst)}
}

// passwordHashing is what one password costs.
type passwordHashing struct {
	Memory int64 `toml:"memory" json:"memory"` // KiB
	Passes int64 `toml:"passes" json:"passes"`
}

func defaultPasswordHashing() passwordHashing {
	cost := accounts.DefaultCost()
	return passwordHashing{Memory: int64(cost.Memory), Passes: int64(cost.Passes)}
}

// presence is who is there, as Synapse writes it.
type presence struct {
	Enabled bool `toml:"enabled" json:"enabled"`
}

// resourceClient is what clients ask.
const resourceClient = "client"

// isForClients tells whether a listener is for clients.
func (l listener) isForClients() bool { return l.offers(resourceClient) }

// clientListeners are those for clients: with one, this is a homeserver.
func (s *settings) clientListeners() (list []listener) {
	for _, l := range s.Listeners {
		if l.isForClients() {
			list = append(list, l)
		}
	}
	return list
}

// Bounds of the settings for clients.
const (
	minSecret    = 8           // characters
	maxPerSecond = 1e6         // more than any machine does
	maxHashing   = 1024 * 1024 // KiB: a gigabyte for one password
	maxPasses    = 64
)

// checkClients finds what is wrong with what clients are offered.
func (s *settings) checkClients(found *faults) {
	for i, l := range s.Listeners {
		key := fmt.Sprintf("listeners[%d]", i)
		if l.isForClients() && l.isLocal() {
			found.add(key+".resources", "has what clients ask beside what is for operators", "give operators a listener of their own, at an address that others do not reach")
		}
		if l.XForwarded && !l.isForClients() {
			found.add(key+".x_forwarded", "is true, and no clients come in there", "remove it: other servers say who they are by their signatures")
		}
		if l.isForClients() && l.TLS && !s.speaksTLS() {
			found.add(key+".tls", "is true, and other servers find none", "let both speak TLS, which share the certificate, or a proxy in front of both")
		}
	}
	if s.PublicBaseURL != "" {
		if base, err := url.Parse(s.PublicBaseURL); err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" {
			found.add("public_baseurl", fmt.Sprintf("%q is no URL of a server", s.PublicBaseURL), `write where clients reach this server, such as "https://matrix.example.org/"`)
		}
	}
	if _, port := ident.SplitServerName(ident.ServerName(s.ServerName)); s.ServeServerWellKnown && port != "" {
		found.add("serve_server_wellknown", fmt.Sprintf("is true, and nobody asks %s, which names its port", s.ServerName), "remove it")
	}
	for _, r := range []struct {
		key  string
		rate clientRate
	}{{"rc_login", s.RCLogin}, {"rc_registration", s.RCRegistration}} {
		if p := r.rate.PerSecond; !(p > 0 && p <= maxPerSecond) || r.rate.BurstCount < 1 || r.rate.BurstCount > math.MaxInt32 {
			found.add(r.key, fmt.Sprintf("is %v per second and %d at once", p, r.rate.BurstCount), "write numbers above 0; client_rate_limits = false for no limit")
		}
	}
	if h := s.PasswordHashing; h.Memory < int64(accounts.CheapCost().Memory) || h.Memory > maxHashing || h.Passes < 1 || h.Passes > maxPasses {
		found.add("password_hashing", fmt.Sprintf("is %d KiB in %d passes", h.Memory, h.Passes), "leave it out; for tests write memory = 8 and passes = 1")
	}
	if _, known := event.VersionOf(s.DefaultRoomVersion); !known {
		found.add("default_room_version", fmt.Sprintf("%q is no room version", s.DefaultRoomVersion), fmt.Sprintf("write %q, or another from \"1\" to \"12\"", messaging.DefaultRoomVersion))
	}
	if _, err := s.registrationSecret(); err != nil {
		found.add("registration_shared_secret", err.Error(), "write a secret that nobody guesses, or name a file with one in its first line as registration_shared_secret_path")
	}
}

// registrationSecret is what lets its bearer make users, "" for none.
func (s *settings) registrationSecret() (string, error) {
	secret := s.RegistrationSharedSecret
	if s.RegistrationSharedSecretPath != "" {
		if secret != "" {
			return "", fmt.Errorf("and registration_shared_secret_path are both given")
		}
		text, err := os.ReadFile(s.RegistrationSharedSecretPath)
		if err != nil {
			return "", err
		}
		line, _, _ := strings.Cut(string(text), "\n")
		if secret = strings.TrimSpace(line); secret == "" {
			return "", fmt.Errorf("%s is empty", s.RegistrationSharedSecretPath)
		}
	}
	if secret != "" && len(secret) < minSecret {
		return "", fmt.Errorf("has %d characters, of %d at least", len(secret), minSecret)
	}
	return secret, nil
}

// homeserver is what settings without faults make of a server with clients; its Messaging is left to others.
func (s *settings) homeserver() (cfg homeserver.Config, err error) {
	cfg.PublicBaseURL = s.PublicBaseURL
	if s.ServeServerWellKnown {
		cfg.Delegate = ident.ServerName(s.ServerName + ":443")
	}
	cfg.PasswordCost = accounts.Cost{Memory: uint32(s.PasswordHashing.Memory), Passes: uint32(s.PasswordHashing.Passes)}
	cfg.Media = s.media()
	cfg.Accounts.Registration = s.EnableRegistration
	cfg.NoPresence = !s.Presence.Enabled
	cfg.DefaultRoomVersion = s.DefaultRoomVersion
	if s.ClientRateLimits {
		cfg.Accounts.Logins, cfg.Accounts.Registrations = s.RCLogin.rate(), s.RCRegistration.rate()
	}
	cfg.Accounts.SharedSecret, err = s.registrationSecret()
	return cfg, err
}
