// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// Every fault of a configuration is reported, not the first alone.
func TestConfigurationFaults(t *testing.T) {
	_, err := messaging.Open(t.Context(), messaging.Config{
		ServerName: "Example.ORG", Key: signing.Key{ID: "rsa:1"}, OldKeys: []keys.OldKey{{ID: "ed25519:old"}}, TLS: &tls.Config{},
	})
	for _, part := range []string{"ServerName", "DataDir", "Key rsa:1: private key of 0 bytes", `Key: id "rsa:1"`, "OldKeys[0]", "TLS"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not tell of %q: %v", part, err)
		}
	}
	for _, name := range []string{"", "a b", "example.org:port", strings.Repeat("a", 231)} {
		if _, err := messaging.Open(t.Context(), messaging.Config{ServerName: name, DataDir: t.TempDir()}); err == nil {
			t.Errorf("server name %q was accepted", name)
		}
	}
}

// A server without a configured key makes one, private to its user, and keeps it.
func TestKeyIsMadeOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	var lines [2]string
	for i := range lines {
		server, err := messaging.Open(t.Context(), messaging.Config{ServerName: "a.example", DataDir: dir, NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		line, err := os.ReadFile(filepath.Join(dir, "signing.key"))
		if err != nil {
			t.Fatal(err)
		}
		lines[i] = string(line)
	}
	if lines[0] == "" || lines[0] != lines[1] {
		t.Error("the second start used another key")
	}
	info, err := os.Stat(filepath.Join(dir, "signing.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the key file: %v, %v", info.Mode(), err)
	}
}

// After Close nothing runs, calls say so, and a subscription ends with it.
func TestClose(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.open("a.example", "")
		ended := make(chan error, 1)
		go func() {
			ended <- a.Subscribe(t.Context(), "log", func(context.Context, messaging.Delivery) error { return nil })
		}()
		synctest.Wait()
		if a.Err() != nil {
			t.Errorf("Err of a running server: %v", a.Err())
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("subscription: %v, want ErrClosed", err)
		}
		<-a.Done()
		if err := a.Err(); !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("Err = %v, want ErrClosed", err)
		}
		if _, err := a.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice}); !errors.Is(err, messaging.ErrClosed) {
			t.Errorf("CreateRoom: %v, want ErrClosed", err)
		}
		p := n.peer("x.example")
		if _, err := p.do(t.Context(), "a.example", "GET", nil, nil, "v1", "version"); err == nil || refusal(err)[:3] != "503" {
			t.Errorf("request to a closed server: %v, want 503", err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A store that crashes ends the server, and the program is told.
func TestCrashOfTheStore(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var crash atomic.Bool
		a := n.open("a.example", "", func(c *messaging.Config) {
			c.CommitPoint = func(p persistence.Point) error {
				if crash.Load() && p == persistence.BeforeCommit {
					return errors.New("power cut")
				}
				return nil
			}
		})
		crash.Store(true)
		_, err := a.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice})
		if !errors.Is(err, persistence.ErrClosed) {
			t.Errorf("CreateRoom: %v, want persistence.ErrClosed", err)
		}
		<-a.Done()
		if err := a.Err(); !errors.Is(err, persistence.ErrClosed) || !strings.Contains(err.Error(), "power cut") {
			t.Errorf("Err = %v, want the crash", err)
		}
	})
}

// Over real TLS on the loopback: Serve answers, and ends with its context.
func TestServe(t *testing.T) {
	authority, err := transport.OpenLocalCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	listen := func() (net.Listener, string) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return listener, listener.Addr().String()
	}
	start := func() *messaging.Server {
		listener, address := listen()
		certificate, err := authority.Certificate("127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		server, err := messaging.Open(t.Context(), messaging.Config{
			ServerName: address, DataDir: t.TempDir(), NoSync: true,
			Network: transport.NetworkConfig{AllowPrivate: true, Trust: transport.Trust{Roots: authority.Pool()}},
			TLS:     &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		})
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- server.Serve(context.Background(), listener) }()
		t.Cleanup(func() {
			if err := server.Close(); err != nil {
				t.Error(err)
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
		return server
	}
	a, b := start(), start()
	user := func(s *messaging.Server, name string) ident.UserID {
		return ident.UserID("@" + name + ":" + string(s.Name()))
	}
	room, err := a.CreateRoom(t.Context(), messaging.CreateRoom{Creator: user(a, "alice"), Public: true})
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 10)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() {
		_ = a.Subscribe(ctx, "log", func(_ context.Context, d messaging.Delivery) error {
			if body, ok := d.Event.Content().Get("body").Text(); ok {
				heard <- body
			}
			return nil
		})
	}()
	if err := b.Join(ctx, user(b, "bob"), room, []ident.ServerName{a.Name()}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Send(ctx, room, user(b, "bob"), "m.room.message", text("over TLS")); err != nil {
		t.Fatal(err)
	}
	select {
	case body := <-heard:
		if body != "over TLS" {
			t.Errorf("heard %q", body)
		}
	case <-ctx.Done():
		t.Error("nothing heard")
	}
}
