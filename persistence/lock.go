// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// lockSuffix names the lock file beside the store. It stays when the store is closed: removing it would let two processes lock
// two files of one name.
const lockSuffix = "-lock"

// lockStore takes the lock that makes one Store the only writer, or one of the readers, of the file. It is an flock: the kernel
// drops it when the process ends, however it ends, and unlike SQLite's own locks it also holds between two Stores of one process.
// SQLite's exclusive lock on the file itself stays as the guard against other programs.
//
// A reader takes the lock shared and needs no right to write for it; where there is no lock file, no server has opened the store
// and there is nothing to lock (nil).
func lockStore(path string, readOnly bool) (*os.File, error) {
	flags, how := os.O_RDWR|os.O_CREATE, syscall.LOCK_EX
	if readOnly {
		flags, how = os.O_RDONLY, syscall.LOCK_SH
	}
	file, err := os.OpenFile(path+lockSuffix, flags, 0o600)
	switch {
	case err == nil:
	case readOnly && errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case readOnly:
		return nil, err
	default:
		return nil, explainFile(err)
	}
	if err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB); err != nil {
		_ = file.Close() // it was only opened to be locked
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, inUse(readOnly)
		}
		return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return file, nil
}

func inUse(readOnly bool) error {
	if readOnly {
		return fmt.Errorf("%w: ask the server, or stop it to inspect its file", ErrInUse)
	}
	return fmt.Errorf("%w: stop the other server or inspection first", ErrInUse)
}

// touch creates the file, or finds out that it cannot be written to, before SQLite opens it (which would fall back to reading).
func touch(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return explainFile(err)
	}
	return file.Close()
}

// explainFile wraps the operating system's error in the sentinel for it, if there is one.
func explainFile(err error) error {
	switch {
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
