// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"fmt"
	"os"
	"path/filepath"
)

// CreatePrivateFile creates a file that only its owner can read, whole or not at all, and durable when it returns. It never
// replaces a file: the error then wraps fs.ErrExist. A secret that is lost after it was used once (a key that signed, a
// certificate that was trusted) cannot be made again, hence the care.
func CreatePrivateFile(path string, content []byte) error {
	// A link, unlike a rename, fails when the name is taken.
	return placePrivateFile(path, content, os.Link)
}

// ReplacePrivateFile is CreatePrivateFile over a file that is there: at every moment the path has the old content or the new.
// A symbolic link stays, and what it leads to is replaced.
func ReplacePrivateFile(path string, content []byte) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return placePrivateFile(target, content, os.Rename)
}

// placePrivateFile writes a file beside path and has place give it its name.
func placePrivateFile(path string, content []byte, place func(from, to string) error) (err error) {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	defer os.Remove(temp.Name()) // without effect after a rename
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
	if err := place(temp.Name(), path); err != nil {
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
