// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
)

// SocketName is the name of the socket in a data directory.
const SocketName = "ctl.sock"

// maxPath is how long the path of a socket may be, in bytes: the field of the kernel's address less its final NUL. It is 107 on
// Linux and 103 elsewhere.
const maxPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// ErrTaken: another server answers at the socket. Stop that one, or give this one a data directory of its own.
var ErrTaken = errors.New("another server answers there")

func checkPath(path string) error {
	if len(path) > maxPath {
		return &Error{Kind: Usage, Message: fmt.Sprintf(
			"socket path %s has %d bytes, the system allows %d: choose a shorter one with --socket", path, len(path), maxPath)}
	}
	return nil
}

// Listen makes the socket, for its owner only. One that a killed server left behind is replaced. The caller is to hold the lock of
// the data directory (its open store): that keeps two servers from replacing each other's socket.
func Listen(path string) (net.Listener, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := checkPath(path); err != nil {
		return nil, err
	}
	if err := makeWay(path); err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	// The mask, not a chmod afterwards: there must be no moment at which others can connect. It is the process's, and what else
	// is created in that moment gets narrower rights, which does no harm here.
	old := syscall.Umask(0o177)
	listener, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return listener, nil
}

// makeWay removes a socket nobody listens on.
func makeWay(path string) error {
	found, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if found.Mode()&fs.ModeSocket == 0 {
		return errors.New("something else than a socket is in its place")
	}
	conn, err := net.DialTimeout("unix", path, probeTime)
	if err == nil {
		_ = conn.Close() // it was only to see
		return ErrTaken
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(path)
}

// Serve answers on listener, which it closes, until ctx ends; operations under way then get 5 seconds. It returns nil when ctx
// ended.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	working, cutOff := context.WithCancel(context.WithoutCancel(ctx))
	defer cutOff()
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTime,
		BaseContext: func(net.Listener) context.Context { return working },
	}
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		patience, cancel := context.WithTimeout(working, drainTime)
		defer cancel()
		if server.Shutdown(patience) != nil {
			cutOff()
			_ = server.Close() // what it would say is that it is cut off
		}
	})
	err := server.Serve(listener)
	if stop() {
		_ = server.Close() // the listener's error tells more
		return fmt.Errorf("control socket: %w", err)
	}
	<-drained
	return nil
}
