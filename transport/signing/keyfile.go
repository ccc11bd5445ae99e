// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxKeyFile bounds what is read from a key file. One key takes about 60 bytes, a PEM block about 150.
const maxKeyFile = 16 << 10

// LoadOrCreateKey reads the key file at path, in any form that ParseKeyFile knows, or creates it with a new key when there is
// none. A file that exists is never written to. Two processes that start at the same time end up with the same key.
func LoadOrCreateKey(path string) (Key, error) {
	key, err := LoadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	fresh, err := GenerateKey()
	if err != nil {
		return Key{}, fmt.Errorf("create signing key %s: %w", path, err)
	}
	if err := CreatePrivateFile(path, []byte(fresh.Line()+"\n")); err != nil && !errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("create signing key: %w", err)
	}
	return LoadKey(path)
}

// LoadKey reads the key file at path; the error wraps fs.ErrNotExist when there is none.
func LoadKey(path string) (Key, error) {
	file, err := os.Open(path)
	if err != nil {
		return Key{}, fmt.Errorf("load signing key: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxKeyFile+1))
	if err != nil {
		return Key{}, fmt.Errorf("load signing key: %w", err)
	}
	if len(content) > maxKeyFile {
		return Key{}, fmt.Errorf("load signing key %s: over %d bytes, this is no key file", path, maxKeyFile)
	}
	key, err := ParseKeyFile(content)
	if err != nil {
		return Key{}, fmt.Errorf("load signing key %s: %w", path, err)
	}
	return key, nil
}

// CreatePrivateFile creates a file that only its owner can read, whole or not at all, and durable when it returns. It never
// replaces a file: the error then wraps fs.ErrExist. A secret that is lost after it was used once (a key that signed, a
// certificate that was trusted) cannot be made again, hence the care.
func CreatePrivateFile(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(content)
	if err == nil {
		err = temp.Sync()
	}
	if closeErr := temp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	// A link, unlike a rename, fails when the name is taken.
	if err := os.Link(temp.Name(), path); err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	return syncDir(dir)
}

// syncDir makes the directory's new entry survive a power loss.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}
