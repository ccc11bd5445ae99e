// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// StartSynapse runs a Synapse from dir, installing it first if this machine has not yet seen that version. It is a
// [Start]. The test is skipped if Synapse cannot be installed here.
func StartSynapse(t *testing.T, dir string, ca *CA) Server {
	t.Helper()
	return startSynapse(t, dir, ca, "")
}

// SynapseTrusting is StartSynapse with a notary that it asks for all keys.
func SynapseTrusting(notary string) Start {
	return func(t *testing.T, dir string, ca *CA) Server {
		t.Helper()
		return startSynapse(t, dir, ca, notary)
	}
}

func startSynapse(t *testing.T, dir string, ca *CA, notary string) Server {
	t.Helper()
	ctx, cancel := bounded(t, installTimeout)
	defer cancel()
	python, err := installSynapse(ctx)
	if err != nil {
		t.Skipf("NOT RUN: %s needs Synapse, which could not be installed here: %v", t.Name(), err)
	}
	s, err := newSite(dir, ca)
	if err != nil {
		t.Fatalf("prepare Synapse: %v", err)
	}
	s.Notary = notary
	for _, name := range []string{"synapse.yaml", "synapse-log.yaml"} {
		if err := s.configure(name); err != nil {
			t.Fatalf("configure Synapse: %v", err)
		}
	}
	if err := writeSynapseKey(filepath.Join(dir, "signing.key")); err != nil {
		t.Fatalf("configure Synapse: %v", err)
	}
	return s.launch(t, ca, nil, python, "-m", "synapse.app.homeserver", "--config-path", filepath.Join(dir, "synapse.yaml"))
}

// writeSynapseKey writes a fresh signing key in Synapse's form: algorithm, version, unpadded base64 of the seed.
func writeSynapseKey(file string) error {
	seed := make([]byte, 32)
	rand.Read(seed)
	line := fmt.Sprintf("ed25519 a_interop %s\n", base64.RawStdEncoding.EncodeToString(seed))
	if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
		return fmt.Errorf("write signing key: %w", err)
	}
	return nil
}
