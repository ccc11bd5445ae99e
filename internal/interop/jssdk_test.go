// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestTwoStratasWithJSSDK has real clients talk over two Stratas: encrypted messages both ways, typing, receipts, redaction, history and
// a picture.
func TestTwoStratasWithJSSDK(t *testing.T) { driveBoth(t, StartHomeserver, StartHomeserver) }

// TestStrataAndSynapseWithJSSDK is the same with a Synapse on the other side.
func TestStrataAndSynapseWithJSSDK(t *testing.T) { driveBoth(t, StartHomeserver, StartSynapse) }

// TestSynapseAndStrataWithJSSDK has the user of Synapse make the room.
func TestSynapseAndStrataWithJSSDK(t *testing.T) { driveBoth(t, StartSynapse, StartHomeserver) }

func driveBoth(t *testing.T, startA, startB Start) {
	t.Helper()
	ctx, cancel := bounded(t, installTimeout)
	defer cancel()
	program, err := installDrive(ctx)
	if err != nil {
		t.Skipf("NOT RUN: %s needs Node.js and matrix-js-sdk, which could not be installed here: %v", t.Name(), err)
	}
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a := startA(t, filepath.Join(dir, "a"), ca).(*Peer)
	b := startB(t, filepath.Join(dir, "b"), ca).(*Peer)
	output, err := exec.CommandContext(ctx, program.node, program.script, a.ClientURL, b.ClientURL).CombinedOutput()
	for line := range strings.Lines(string(output)) {
		if err != nil || strings.HasPrefix(line, "ok ") { // what the SDK says of itself is of use when something fails
			t.Log(strings.TrimSuffix(line, "\n"))
		}
	}
	if err != nil {
		t.Errorf("%s with %s: %v", a.Describe(), b.Describe(), err)
	}
}
