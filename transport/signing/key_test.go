// SPDX-License-Identifier: Apache-2.0

package signing_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/strata-matrix/strata/transport/signing"
)

// The rest of what a key file may hold is tested in package keys.
func TestParseKeyPEM(t *testing.T) {
	const public = "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI"
	key, err := signing.ParseKeyPEM([]byte("-----BEGIN MATRIX PRIVATE KEY-----\nKey-ID: ed25519:Dendr1\n\n" + specSeed + "=\n-----END MATRIX PRIVATE KEY-----\n"))
	if err != nil || signing.EncodeBase64(key.Public()) != public || key.ID != "ed25519:Dendr1" {
		t.Errorf("%s, %v", key, err)
	}
}

func TestPrivateFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	link := path + ".link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := signing.ReplacePrivateFile(path, []byte("x")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReplacePrivateFile over nothing: %v, want fs.ErrNotExist", err)
	}
	if err := signing.CreatePrivateFile(path, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := signing.CreatePrivateFile(path, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("CreatePrivateFile over a file: %v, want fs.ErrExist", err)
	}
	if err := signing.ReplacePrivateFile(link, []byte("three")); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	info, statErr := os.Lstat(path)
	if string(content) != "three" || err != nil || statErr != nil || info.Mode() != 0o600 {
		t.Errorf("%q, %v, %v, %v", content, err, info.Mode(), statErr)
	}
	if names, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); len(names) != 2 {
		t.Errorf("left behind: %v", names)
	}
}
