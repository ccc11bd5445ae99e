// SPDX-License-Identifier: Apache-2.0

package signing_test

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

	"github.com/strata-matrix/strata/transport/signing"
)

// V-01: the key of the appendices as a line, in Synapse's and in its padded form, and as Dendrite's PEM.
func TestParseKeyFile(t *testing.T) {
	const public = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"
	seed := strings.TrimSuffix(specSeed, "1") + "0" // the spec's text has stray bits after the 32 bytes
	for _, tt := range []struct{ name, content, id string }{
		{"line", "ed25519 1 " + specSeed + "\n", "ed25519:1"},
		{"Windows line", "ed25519 1 " + specSeed + "\r\n", "ed25519:1"},
		{"no line break", "ed25519 a_AbCd " + specSeed, "ed25519:a_AbCd"},
		{"padded", "ed25519 1 " + specSeed + "=\n", "ed25519:1"},
		{"PEM", "-----BEGIN MATRIX PRIVATE KEY-----\nKey-ID: ed25519:Dendr1\n\n" + specSeed + "=\n-----END MATRIX PRIVATE KEY-----\n", "ed25519:Dendr1"},
	} {
		key, err := signing.ParseKeyFile([]byte(tt.content))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := signing.EncodeBase64(key.Public()); got != public || string(key.ID) != tt.id {
			t.Errorf("%s: key %s %s, want %s %s", tt.name, key.ID, got, tt.id, public)
		}
		if got, want := key.Line(), "ed25519 "+strings.TrimPrefix(tt.id, "ed25519:")+" "+seed; got != want {
			t.Errorf("%s: line %q, want %q", tt.name, got, want)
		}
	}
}

func TestParseKeyFileRefuses(t *testing.T) {
	pemOf := func(kind, id string, seed []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Headers: map[string]string{"Key-ID": id}, Bytes: seed}))
	}
	seed := make([]byte, 32)
	for _, content := range []string{
		"", "\n", "ed25519 1", "ed25519  " + specSeed, "ed25519 1 x y", "ed25519 1 !", "ed25519 1 AAAA", "rsa 1 " + specSeed,
		"ed25519 a-b " + specSeed, "ed25519:1 1 " + specSeed,
		"ed25519 1 " + specSeed + "\ned25519 2 " + specSeed + "\n",
		pemOf("MATRIX PRIVATE KEY", "ed25519:a", seed[:31]), pemOf("MATRIX PRIVATE KEY", "rsa:a", seed), pemOf("MATRIX PRIVATE KEY", "", seed),
		pemOf("PRIVATE KEY", "ed25519:a", seed), "-----BEGIN MATRIX PRIVATE KEY-----\n",
		pemOf("MATRIX PRIVATE KEY", "ed25519:a", seed) + pemOf("MATRIX PRIVATE KEY", "ed25519:b", seed),
	} {
		key, err := signing.ParseKeyFile([]byte(content))
		if err == nil {
			t.Errorf("ParseKeyFile(%q) = %s, want an error", content, key)
		} else if strings.Contains(err.Error(), specSeed) {
			t.Errorf("the error gives the secret away: %v", err)
		}
	}
}

func TestLoadOrCreateKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.key")
	made, err := signing.LoadOrCreateKey(path)
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
	loaded, err := signing.LoadOrCreateKey(path)
	if err != nil || loaded.Line() != made.Line() {
		t.Errorf("loaded %s, %v, want the key made", loaded, err)
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
	for _, printed := range []string{fmt.Sprint(made), fmt.Sprintf("%+v", made), fmt.Sprintf("%#v", made)} {
		if printed != string(made.ID) {
			t.Errorf("a printed key reads %q, want its id only", printed)
		}
	}
}

// A file that is there is used or refused, never replaced.
func TestLoadOrCreateKeyLeavesFilesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.key")
	for _, content := range []string{"", "garbage\n", strings.Repeat(" ", 16<<10) + "ed25519 1 " + specSeed} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if key, err := signing.LoadOrCreateKey(path); err == nil {
			t.Errorf("%.20q gave the key %s", content, key)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != content {
			t.Errorf("%.20q became %.20q", content, after)
		}
	}
	if err := signing.CreatePrivateFile(path, []byte("x")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("CreatePrivateFile over a file: %v, want fs.ErrExist", err)
	}
	if _, err := signing.LoadOrCreateKey(filepath.Join(path, "no", "dir")); err == nil {
		t.Error("a key in a directory that is a file")
	}
}

func TestLoadOrCreateKeyTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signing.key")
	lines := make([]string, 8)
	var wg sync.WaitGroup
	for i := range lines {
		wg.Go(func() {
			key, err := signing.LoadOrCreateKey(path)
			if err != nil {
				t.Error(err)
				return
			}
			lines[i] = key.Line()
		})
	}
	wg.Wait()
	for _, line := range lines {
		if line != lines[0] {
			t.Fatalf("different keys: %q", lines)
		}
	}
}

// What parses comes back the same from its own line.
func FuzzParseKeyFile(f *testing.F) {
	f.Add([]byte("ed25519 a_AbCd " + specSeed + "\n"))
	f.Add([]byte("-----BEGIN MATRIX PRIVATE KEY-----\nKey-ID: ed25519:a\n\n" + specSeed + "=\n-----END MATRIX PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		key, err := signing.ParseKeyFile(content)
		if err != nil {
			return
		}
		again, err := signing.ParseKeyLine(key.Line())
		if err != nil || again.ID != key.ID || !again.Private.Equal(key.Private) {
			t.Errorf("%q comes back as %s, %v", key.Line(), again, err)
		}
	})
}
