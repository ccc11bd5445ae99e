// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ed25519"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// logLevels are the values of log_level.
var logLevels = []string{"debug", "info", "warn", "error"}

// validate finds everything that is wrong with the settings, without looking at any file. certified: there is a certificate
// already, of which the settings need not know.
func (s *settings) validate(certified bool) (found faults) {
	s.checkName(&found)
	s.checkListeners(&found)
	s.checkLocal(&found)
	s.checkTLS(&found, certified)
	s.checkFederation(&found)
	s.checkNetwork(&found)
	s.checkLimits(&found)
	s.checkClients(&found)
	s.checkMedia(&found)
	if s.DataDir == "" {
		found.add("data_dir", "is empty", "name a directory; it will hold the database and the signing key")
	}
	for _, id := range sortedKeys(s.OldSigningKeys) {
		if _, err := s.OldSigningKeys[id].parse(id); err != nil {
			found.add("old_signing_keys."+fmt.Sprintf("%q", id), err.Error(), "see the entry old_verify_keys of the server's published keys")
		}
	}
	if d := time.Duration(s.KeyRefreshInterval); d < keys.MinValidity || d > keys.MaxValidity {
		found.add("key_refresh_interval", fmt.Sprintf("is %s", d), fmt.Sprintf("write a span from %s to %s: others believe no key longer", keys.MinValidity, keys.MaxValidity))
	}
	for i, notary := range s.TrustedKeyServers {
		if _, err := notary.parse(); err != nil {
			found.add(fmt.Sprintf("trusted_key_servers[%d]", i), err.Error(), `write server_name = "matrix.org", and in verify_keys nothing but its own public keys`)
		}
	}
	if d := time.Duration(s.FederationKeysTimeout); d <= 0 || d > maxKeysTimeout {
		found.add("federation_keys_timeout", fmt.Sprintf("is %s", d), fmt.Sprintf("write a span up to %s: requests of others wait for it", maxKeysTimeout))
	}
	if !slices.Contains(logLevels, s.LogLevel) {
		found.add("log_level", fmt.Sprintf("is %q", s.LogLevel), "write one of "+strings.Join(logLevels, ", "))
	}
	return found
}

func (s *settings) checkName(found *faults) {
	const fix = `write the name that your user ids end with, such as "example.org"; it can never change`
	_, err := ident.ParseServerName(s.ServerName)
	switch {
	case s.ServerName == "":
		found.add("server_name", "is missing", fix)
	case err != nil:
		found.add("server_name", err.Error(), fix)
	case s.ServerName != strings.ToLower(s.ServerName):
		found.add("server_name", fmt.Sprintf("%q has capitals", s.ServerName), "write it in lower case: names are compared byte for byte")
	}
}

func (s *settings) checkListeners(found *faults) {
	for i, l := range s.Listeners {
		key := fmt.Sprintf("listeners[%d]", i)
		if l.Port < 1 || l.Port > 65535 {
			found.add(key+".port", fmt.Sprintf("is %d", l.Port), fmt.Sprintf("write a number from 1 to 65535; servers are sought at %d", federationPort))
		}
		for n, address := range l.BindAddresses {
			if _, err := netip.ParseAddr(strings.Trim(address, "[]")); err != nil && address != "localhost" && address != "" {
				found.add(fmt.Sprintf("%s.bind_addresses[%d]", key, n), fmt.Sprintf("%q is not an IP address", address),
					`write an address of this machine, or leave bind_addresses out for all`)
			}
		}
		if l.isForPeers() && !l.isForClients() && l.TLS != s.peersAlone()[0].TLS {
			found.add(key+".tls", "differs from the first listener's", "let all listeners for servers alone speak TLS, or none and a proxy in front of them")
		}
	}
}

func (s *settings) checkTLS(found *faults, certified bool) {
	speaksTLS := s.speaksTLS()
	hasFiles := s.TLSCertificatePath != "" || s.TLSPrivateKeyPath != ""
	hasACME := len(s.ACME.Domains) > 0
	switch {
	case s.TLSCertificatePath != "" && s.TLSPrivateKeyPath == "":
		found.add("tls_private_key_path", "is missing", "name the PEM file of the certificate's key")
	case s.TLSCertificatePath == "" && s.TLSPrivateKeyPath != "":
		found.add("tls_certificate_path", "is missing", "name the PEM file of the certificate and its chain")
	case hasFiles && hasACME:
		found.add("acme.domains", "and tls_certificate_path are both given", "keep one: files, or certificates by ACME")
	case speaksTLS && !hasFiles && !hasACME && !certified:
		found.add("tls_certificate_path", "is missing, and a listener speaks TLS",
			"name certificate and key, or set acme.domains, or tls = false behind a proxy that has a certificate; to try things out, strata serve --dev")
	}
	if s.ACME.HTTPPort < 0 || s.ACME.HTTPPort > 65535 {
		found.add("acme.http_port", fmt.Sprintf("is %d", s.ACME.HTTPPort), fmt.Sprintf("write %d, or 0 for none", httpPort))
	}
	if hasACME && s.ACME.HTTPPort == 0 && !slices.ContainsFunc(s.peerListeners(), func(l listener) bool { return l.Port == httpsPort }) {
		found.add("acme.http_port", "is 0 and no listener is on 443", "the authority asks at port 80 or 443 and nowhere else: open one")
	}
	for i, domain := range s.ACME.Domains {
		name, err := ident.ParseServerName(domain)
		host, port := ident.SplitServerName(name)
		if err != nil || port != "" || net.ParseIP(host) != nil {
			found.add(fmt.Sprintf("acme.domains[%d]", i), fmt.Sprintf("%q is not a DNS name", domain), "write the name that other servers connect to, without port")
		}
	}
}

func (s *settings) checkFederation(found *faults) {
	f := s.Federation
	positive := func(key string, d duration) {
		if d <= 0 {
			found.add("federation."+key, "is 0", `write a span such as "60s"`)
		}
	}
	positive("client_timeout", f.ClientTimeout)
	positive("destination_min_retry_interval", f.DestinationMinRetryInterval)
	positive("destination_max_retry_interval", f.DestinationMaxRetryInterval)
	if f.DestinationMaxRetryInterval < f.DestinationMinRetryInterval {
		found.add("federation.destination_max_retry_interval", "is shorter than destination_min_retry_interval", "exchange them, or lengthen it")
	}
	if !(f.DestinationRetryMultiplier >= 1 && f.DestinationRetryMultiplier <= 100) { // also what is no number
		found.add("federation.destination_retry_multiplier", fmt.Sprintf("is %v", f.DestinationRetryMultiplier), "write a number from 1 to 100")
	}
}

// parse reads a retired key.
func (k oldKey) parse(id string) (keys.OldKey, error) {
	parsed, err := ident.ParseKeyID(id)
	if err != nil {
		return keys.OldKey{}, err
	}
	public, err := signing.DecodeBase64(k.Key)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return keys.OldKey{}, fmt.Errorf("has no public key of %d bytes in base64", ed25519.PublicKeySize)
	}
	if k.ExpiredTS <= 0 || k.ExpiredTS > time.Now().Add(24*time.Hour).UnixMilli() {
		return keys.OldKey{}, fmt.Errorf("expired_ts %d is not a time in the past, in milliseconds", k.ExpiredTS)
	}
	return keys.OldKey{ID: parsed, Public: public, ExpiredAt: k.ExpiredTS}, nil
}

// maxKeysTimeout is less than the minute that other servers wait for our answer.
const maxKeysTimeout = 30 * time.Second

// parse reads a notary that is believed.
func (t trustedKeyServer) parse() (keys.Trusted, error) {
	server, err := ident.ParseServerName(t.ServerName)
	if err != nil {
		return keys.Trusted{}, fmt.Errorf("server_name: %w", err)
	}
	trusted := keys.Trusted{Server: server}
	for _, id := range sortedKeys(t.VerifyKeys) {
		parsed, err := ident.ParseKeyID(id)
		public, base64Err := signing.DecodeBase64(t.VerifyKeys[id])
		if err != nil || base64Err != nil || len(public) != ed25519.PublicKeySize {
			return keys.Trusted{}, fmt.Errorf("verify_keys %q is no key id with a public key of %d bytes in base64", id, ed25519.PublicKeySize)
		}
		if trusted.Keys == nil {
			trusted.Keys = map[ident.KeyID]ed25519.PublicKey{}
		}
		trusted.Keys[parsed] = public
	}
	return trusted, nil
}

// checkFiles looks at the files that the settings name.
func (s *settings) checkFiles() (found faults) {
	readable := func(key, path string) {
		if path == "" {
			return
		}
		file, err := os.Open(path)
		if err != nil {
			found.add(key, err.Error(), "name a file that this user can read")
			return
		}
		_ = file.Close() // it was only opened to see
	}
	if path := s.keyPath(); exists(path) {
		if _, err := keys.Load(path); err != nil {
			found.add("signing_key_path", err.Error(), "name the file with this server's signing key; strata keys import reads Synapse's and Dendrite's")
		}
	}
	readable("tls_certificate_path", s.TLSCertificatePath)
	readable("tls_private_key_path", s.TLSPrivateKeyPath)
	if s.TLSCertificatePath != "" && s.TLSPrivateKeyPath != "" && len(found) == 0 {
		if _, err := tls.LoadX509KeyPair(s.TLSCertificatePath, s.TLSPrivateKeyPath); err != nil {
			found.add("tls_private_key_path", err.Error(), "name the PEM files of a certificate and of its key")
		}
	}
	for i, path := range s.FederationCustomCAList {
		readable(fmt.Sprintf("federation_custom_ca_list[%d]", i), path)
	}
	for i, path := range s.FederationExtraCAList {
		readable(fmt.Sprintf("federation_extra_ca_list[%d]", i), path)
	}
	return found
}
