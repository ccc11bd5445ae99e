// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/signing"
)

// specSeed is the signing key of the appendices, "Cryptographic Test Vectors" (V-01).
const specSeed = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"

// V-01: the key of the appendices as a line, in Synapse's and in its padded form, and as Dendrite's PEM.
func TestParseFile(t *testing.T) {
	const public = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"
	seed := strings.TrimSuffix(specSeed, "1") + "0" // the spec's text has stray bits after the 32 bytes
	for _, tt := range []struct{ name, content, id string }{
		{"line", "ed25519 1 " + specSeed + "\n", "ed25519:1"},
		{"Windows line", "ed25519 1 " + specSeed + "\r\n", "ed25519:1"},
		{"no line break", "ed25519 a_AbCd " + specSeed, "ed25519:a_AbCd"},
		{"padded", "ed25519 1 " + specSeed + "=\n", "ed25519:1"},
		{"PEM", "-----BEGIN MATRIX PRIVATE KEY-----\nKey-ID: ed25519:Dendr1\n\n" + specSeed + "=\n-----END MATRIX PRIVATE KEY-----\n", "ed25519:Dendr1"},
	} {
		plan, err := ParseFile([]byte(tt.content))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		key := plan.signer(0)
		if got := signing.EncodeBase64(key.Public()); got != public || string(key.ID) != tt.id {
			t.Errorf("%s: key %s %s, want %s %s", tt.name, key.ID, got, tt.id, public)
		}
		if got, want := key.Line(), "ed25519 "+strings.TrimPrefix(tt.id, "ed25519:")+" "+seed; got != want {
			t.Errorf("%s: line %q, want %q", tt.name, got, want)
		}
	}
}

func TestParseFileRefuses(t *testing.T) {
	pemOf := func(kind, id string, seed []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Headers: map[string]string{"Key-ID": id}, Bytes: seed}))
	}
	seed := make([]byte, 32)
	for _, content := range []string{
		"", "\n", "ed25519 1", "ed25519  " + specSeed, "ed25519 1 x y", "ed25519 1 !", "ed25519 1 AAAA", "rsa 1 " + specSeed,
		"ed25519 a-b " + specSeed, "ed25519:1 1 " + specSeed,
		"ed25519 1 " + specSeed + "\ned25519 2 " + specSeed + "\n", "ed25519 1 " + specSeed + " from", "ed25519 1 " + specSeed + " x",
		"ed25519 " + specSeed + " 1 x", "ed25519 1 " + specSeed + " from 0", "ed25519 1 " + specSeed + " till 5",
		"ed25519 1 " + specSeed + "\ned25519 1 " + specSeed + " from 5\n", "ed25519 1 5 " + specSeed + "\n",
		"ed25519 1 " + specSeed + " from 5\ned25519 2 " + specSeed + " from 5\n",
		"ed25519 1 " + specSeed + "\ned25519 2 x " + specSeed, "ed25519 1 " + specSeed + "\ned25519 1 5 " + specSeed,
		pemOf("MATRIX PRIVATE KEY", "ed25519:a", seed[:31]), pemOf("MATRIX PRIVATE KEY", "rsa:a", seed), pemOf("MATRIX PRIVATE KEY", "", seed),
		pemOf("PRIVATE KEY", "ed25519:a", seed), "-----BEGIN MATRIX PRIVATE KEY-----\n",
		pemOf("MATRIX PRIVATE KEY", "ed25519:a", seed) + pemOf("MATRIX PRIVATE KEY", "ed25519:b", seed),
	} {
		plan, err := ParseFile([]byte(content))
		if err == nil {
			t.Errorf("ParseFile(%q) = %v, want an error", content, plan)
		} else if strings.Contains(err.Error(), specSeed) {
			t.Errorf("the error gives the secret away: %v", err)
		}
	}
}

func TestLoadOrCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.key")
	made, err := LoadOrCreate(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	content, err := os.ReadFile(path)
	if want := regexp.MustCompile(`^ed25519 a_[A-Z2-7]{4} [A-Za-z0-9+/]{43}\n$`); err != nil || !want.Match(content) {
		t.Errorf("file %q does not match %s", content, want)
	}
	loaded, err := LoadOrCreate(path)
	if err != nil || string(loaded.Format()) != string(made.Format()) {
		t.Errorf("loaded %v, %v, want the key made", loaded, err)
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	seed := signing.EncodeBase64(made.signer(0).Private.Seed())
	for _, printed := range []string{fmt.Sprint(made), fmt.Sprintf("%+v", made), fmt.Sprintf("%#v", made)} {
		if strings.Contains(printed, seed) || strings.Contains(printed, fmt.Sprint(made.signer(0).Private.Seed())) {
			t.Errorf("a printed plan reads %q: its secret is in it", printed)
		}
	}
}

// A file that is there is used or refused, never replaced.
func TestLoadOrCreateLeavesFilesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.key")
	for _, content := range []string{"", "garbage\n", strings.Repeat(" ", 16<<10) + "ed25519 1 " + specSeed} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := LoadOrCreate(path); err == nil {
			t.Errorf("%.20q gave %v", content, key)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != content {
			t.Errorf("%.20q became %.20q", content, after)
		}
	}
	if err := signing.CreatePrivateFile(path, []byte("x")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("CreatePrivateFile over a file: %v, want fs.ErrExist", err)
	}
	if _, err := LoadOrCreate(filepath.Join(path, "no", "dir")); err == nil {
		t.Error("a key in a directory that is a file")
	}
}

func TestLoadOrCreateTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.key")
	lines := make([]string, 8)
	var wg sync.WaitGroup
	for i := range lines {
		wg.Go(func() {
			key, err := LoadOrCreate(path)
			if err != nil {
				t.Error(err)
				return
			}
			lines[i] = string(key.Format())
		})
	}
	wg.Wait()
	for _, line := range lines {
		if line != lines[0] {
			t.Fatalf("different keys: %q", lines)
		}
	}
}

// What parses comes back the same from what is written.
func FuzzParseFile(f *testing.F) {
	f.Add([]byte("ed25519 a_AbCd " + specSeed + "\n"))
	f.Add([]byte("ed25519 a " + specSeed + "\ned25519 b " + specSeed + " from 5\ned25519 c 4 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"))
	f.Add([]byte("-----BEGIN MATRIX PRIVATE KEY-----\nKey-ID: ed25519:a\n\n" + specSeed + "=\n-----END MATRIX PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		plan, err := ParseFile(content)
		if err != nil {
			return
		}
		again, err := ParseFile(plan.Format())
		if err != nil {
			t.Fatalf("%q: %v", plan.Format(), err)
		}
		if diff := cmp.Diff(plan, again); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// The lines of other implementations' files: signedjson's write_old_signing_keys writes the third.
func TestParseFileOfSeveralKeys(t *testing.T) {
	next := newKey(t, "ed25519:b")
	content := "ed25519 a " + specSeed + "\n\n" + next.Line() + " from 1700000000000\n" +
		"ed25519 old 1600000000000 XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI\n"
	plan, err := ParseFile([]byte(content))
	if err != nil {
		t.Fatal(err)
	}
	if got := plan.signer(1700000000000 - 1).ID; got != "ed25519:a" {
		t.Errorf("before its time signs %s", got)
	}
	if got := plan.signer(1700000000000).ID; got != "ed25519:b" {
		t.Errorf("from its time on signs %s", got)
	}
	if len(plan.Old) != 1 || plan.Old[0].ID != "ed25519:old" || plan.Old[0].ExpiredAt != 1600000000000 {
		t.Errorf("old keys %v", plan.Old)
	}
}
