// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// sd_watchdog_enabled(3): the span in µs counts for the process that WATCHDOG_PID names, or for any.
func TestServiceManagerOf(t *testing.T) {
	for _, test := range []struct {
		env  map[string]string
		want time.Duration
	}{
		{map[string]string{}, 0},
		{map[string]string{"WATCHDOG_USEC": "3000000"}, 3 * time.Second},
		{map[string]string{"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 3 * time.Second},
		{map[string]string{"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, 0},
		{map[string]string{"WATCHDOG_USEC": "-1"}, 0},
		{map[string]string{"WATCHDOG_USEC": "99999999999999999999"}, 0},
		{map[string]string{"WATCHDOG_USEC": "soon"}, 0},
	} {
		if got := serviceManagerOf(test.env, 7).watchdog; got != test.want {
			t.Errorf("%v: %v, want %v", test.env, got, test.want)
		}
	}
}

func TestTell(t *testing.T) {
	path := filepath.Join(t.TempDir(), "n")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := (serviceManager{socket: path}).tell(serviceStopping); err != nil {
		t.Fatal(err)
	}
	message := make([]byte, 100)
	n, err := conn.Read(message)
	if err != nil || string(message[:n]) != "STOPPING=1" {
		t.Errorf("%q, %v", message[:n], err)
	}
	if err := (serviceManager{}).tell(serviceReady); err != nil {
		t.Errorf("nobody to tell: %v", err)
	}
	if err := (serviceManager{socket: path + "x"}).tell(serviceReady); err == nil {
		t.Error("a socket that is not there took a message")
	}
}

// The watchdog is fed twice in its time, and not while the server does not answer: then the service manager acts.
func TestFeedWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		asked := 0
		manager := serviceManager{socket: "/nonexistent/socket", watchdog: time.Minute}
		err := manager.feedWatchdog(ctx, func(context.Context) error {
			asked++
			return errors.New("the store hangs")
		})
		if err != nil || asked < 19 || asked > 20 {
			t.Errorf("asked %d times in ten minutes, %v", asked, err)
		}
		if err := manager.feedWatchdog(t.Context(), func(context.Context) error { return nil }); err == nil {
			t.Error("fed, though nobody takes it")
		}
	})
}

func TestUnitWord(t *testing.T) {
	for in, want := range map[string]string{ // systemd.syntax(7)
		"/usr/bin/strata": "/usr/bin/strata", "/a b": `"/a b"`, `/a"b`: `"/a\"b"`, "/100%": "/100%%", `/a\b`: `"/a\\b"`,
	} {
		if got := unitWord(in); got != want {
			t.Errorf("%q is written %s, want %s", in, got, want)
		}
	}
}
