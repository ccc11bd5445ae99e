// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// dendriteVariable names the environment variable that holds the path of a Dendrite binary.
const dendriteVariable = "DENDRITE_BIN"

// StartDendrite runs the Dendrite that DENDRITE_BIN names from dir. It is a [Start]. The test is skipped if the variable
// is not set.
func StartDendrite(t *testing.T, dir string, ca *CA) Server {
	t.Helper()
	binary := os.Getenv(dendriteVariable)
	if binary == "" {
		t.Skipf("NOT RUN: %s needs Dendrite, and %s names no binary", t.Name(), dendriteVariable)
	}
	s, err := newSite(dir, ca)
	if err != nil {
		t.Fatalf("prepare Dendrite: %v", err)
	}
	if err := s.configure("dendrite.yaml"); err != nil {
		t.Fatalf("configure Dendrite: %v", err)
	}
	seed := make([]byte, 32)
	rand.Read(seed)
	headers := map[string]string{"Key-ID": "ed25519:interop"}
	if err := writePEM(filepath.Join(dir, "signing.pem"), "MATRIX PRIVATE KEY", headers, seed); err != nil {
		t.Fatalf("configure Dendrite: %v", err)
	}
	return s.launch(t, ca, []string{"SSL_CERT_FILE=" + s.Authority}, binary,
		"--config", filepath.Join(dir, "dendrite.yaml"),
		"--http-bind-address", fmt.Sprintf("127.0.0.1:%d", s.ClientPort),
		"--https-bind-address", fmt.Sprintf("127.0.0.1:%d", s.FederationPort),
		"--tls-cert", s.Certificate,
		"--tls-key", s.CertificateKey,
		"--really-enable-open-registration")
}
