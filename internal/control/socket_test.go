// SPDX-License-Identifier: Apache-2.0

package control

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSocketIsForItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), SocketName)
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode().Perm(), err)
	}
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is still there after Close")
	}
}

// A killed server cannot remove its socket; the next one must not be stopped by it.
func TestStaleSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), SocketName)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false) // as kill -9 would
	if err := stale.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Dial(path).Info(t.Context()); kindOfCall(nil, err) != Unreachable || !strings.Contains(err.Error(), "without cleaning up") {
		t.Errorf("asking a stale socket: %v", err)
	}
	listener, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if _, err := Listen(path); !errors.Is(err, ErrTaken) {
		t.Errorf("listening where one listens: %v, want ErrTaken", err)
	}
}

func TestSocketLeavesOtherFilesAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), SocketName)
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); err == nil || !strings.Contains(err.Error(), "something else than a socket") {
		t.Errorf("listening at a plain file: %v", err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
}

// unix(7): sun_path has 108 bytes with its final NUL on Linux, and never less than 92.
func TestLongSocketPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 108))
	if _, err := Listen(path); kindOfCall(nil, err) != Usage {
		t.Errorf("listening: %v, want a usage error", err)
	}
	if _, err := Dial(path).Info(t.Context()); kindOfCall(nil, err) != Usage {
		t.Errorf("asking: %v, want a usage error", err)
	}
}

func TestAskingWhatIsNotStrata(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler()}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	_, err = Dial(path).Info(t.Context())
	if kindOfCall(nil, err) != Failed || !strings.Contains(err.Error(), "is it Strata's socket?") {
		t.Errorf("asking another server: %v", err)
	}
	if _, err := Dial(filepath.Join(filepath.Dir(path), "none")).Info(t.Context()); kindOfCall(nil, err) != Unreachable {
		t.Errorf("asking nobody: %v", err)
	}
}
