// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"fmt"
	"path/filepath"
	"testing"
)

// StartHomeserver runs strata serve as a homeserver with a client API, in which anybody may register. It is a [Start], and a Peer like
// any other: what drives it does not know that it is Strata.
func StartHomeserver(t *testing.T, dir string, ca *CA) Server {
	t.Helper()
	s, err := newSite(dir, ca)
	if err != nil {
		t.Fatalf("prepare Strata: %v", err)
	}
	return s.launch(t, ca, []string{"STRATA_CLIENT_RATE_LIMITS=false"}, buildStrata(t), "serve", "--server-name", s.Name, "--data-dir", filepath.Join(dir, "data"),
		"--listen", fmt.Sprintf("127.0.0.1:%d", s.FederationPort), "--listen-clients", fmt.Sprintf("127.0.0.1:%d", s.ClientPort),
		"--tls-cert", s.Certificate, "--tls-key", s.CertificateKey, "--ca", s.Authority, "--allow-private", "--enable-registration")
}
