// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"golang.org/x/crypto/acme/autocert"
)

// ACME gets certificates for the hosts from Let's Encrypt, whose terms of service it accepts, when they are first asked for, and
// renews them in time. What it has is kept in cacheDir, which is created.
//
// The authority proves the ownership of a host over port 443 or port 80 and no other. So either a listener on 443 must use the
// configuration, or one on 80 the handler, which redirects every other request to HTTPS; the federation port alone is not enough.
func ACME(cacheDir string, hosts ...string) (*tls.Config, http.Handler, error) {
	if len(hosts) == 0 {
		return nil, nil, errors.New("ACME: no host to get a certificate for")
	}
	for _, host := range hosts {
		if dns, _, err := certifiable(host); err != nil || dns == "" {
			return nil, nil, fmt.Errorf("ACME: %q is not a DNS name without port", host)
		}
	}
	manager := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(cacheDir),
		HostPolicy: autocert.HostWhitelist(hosts...),
	}
	config := serverTLS()
	config.GetCertificate = manager.GetCertificate
	config.NextProtos = slices.Concat(config.NextProtos, []string{acmeProtocol})
	return config, manager.HTTPHandler(nil), nil
}

// acmeProtocol is how the authority asks for the proof over TLS (RFC 8737, section 6.2).
const acmeProtocol = "acme-tls/1"
