// SPDX-License-Identifier: Apache-2.0

package media

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"path/filepath"
)

// shelf is a folder of content.
type shelf string

const (
	own    shelf = "own"   // what nobody else has
	cached shelf = "cache" // what can be had again
)

// files is content on disk, each under its SHA-256. It has no state of its own.
type files struct {
	dir    string
	noSync bool
}

// openFiles makes the folders, and removes drafts that a crash has left.
func openFiles(dir string, noSync bool) (files, error) {
	f := files{dir, noSync}
	if err := os.RemoveAll(f.drafts()); err != nil {
		return f, fmt.Errorf("clear drafts: %w", err)
	}
	for _, folder := range []string{f.drafts(), filepath.Join(dir, string(own)), filepath.Join(dir, string(cached))} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return f, fmt.Errorf("make media folder: %w", err)
		}
	}
	return f, f.syncFolders(dir, filepath.Dir(dir))
}

func (f files) drafts() string { return filepath.Join(f.dir, "drafts") }

func (f files) path(s shelf, digest []byte) string {
	name := hex.EncodeToString(digest)
	return filepath.Join(f.dir, string(s), name[:2], name[2:])
}

// draft is a file that is being written. One goroutine has it; it ends with keep or discard.
type draft struct {
	file *os.File
	sum  hash.Hash
	size int64
}

func (f files) draft() (*draft, error) {
	file, err := os.CreateTemp(f.drafts(), "")
	if err != nil {
		return nil, fmt.Errorf("begin a file: %w", err)
	}
	return &draft{file: file, sum: sha256.New()}, nil
}

// Write implements io.Writer.
func (d *draft) Write(p []byte) (int, error) {
	n, err := d.file.Write(p)
	d.sum.Write(p[:n])
	d.size += int64(n)
	return n, err
}

// discard removes the draft; after keep it does nothing.
func (d *draft) discard() {
	if d.file != nil {
		_ = d.file.Close()           // it is not wanted
		_ = os.Remove(d.file.Name()) // what remains is removed at the next start
		d.file = nil
	}
}

// keep puts the draft on a shelf. When it returns the file would survive a loss of power.
func (f files) keep(d *draft, s shelf) (digest []byte, err error) {
	defer d.discard()
	digest = d.sum.Sum(nil)
	path := f.path(s, digest)
	folder := filepath.Dir(path)
	if _, err := os.Stat(path); err != nil { // otherwise the same content is there, whole: it was renamed
		if !f.noSync {
			if err := d.file.Sync(); err != nil {
				return nil, fmt.Errorf("write content: %w", err)
			}
		}
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, fmt.Errorf("make media folder: %w", err)
		}
		if err := os.Rename(d.file.Name(), path); err != nil {
			return nil, fmt.Errorf("put content in its place: %w", err)
		}
	}
	return digest, f.syncFolders(folder, filepath.Dir(folder))
}

// syncFolders makes the names in folders durable.
func (f files) syncFolders(paths ...string) error {
	for _, path := range paths {
		if f.noSync {
			continue
		}
		folder, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("open media folder: %w", err)
		}
		err = folder.Sync()
		_ = folder.Close() // nothing was written to it
		if err != nil {
			return fmt.Errorf("write media folder: %w", err)
		}
	}
	return nil
}

func (f files) open(s shelf, digest []byte) (*os.File, error) { return os.Open(f.path(s, digest)) }

func (f files) remove(s shelf, digest []byte) error { return os.Remove(f.path(s, digest)) }
