// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
)

// serviceManager is systemd, or what stands in for it: it is told how the server is (sd_notify(3)).
type serviceManager struct {
	socket   string        // "" when nobody wants to know
	watchdog time.Duration // it restarts us when it has not heard from us for so long, 0 for never
}

// What it is told.
const (
	serviceReady     = "READY=1"
	serviceReloading = "RELOADING=1"
	serviceStopping  = "STOPPING=1"
	serviceAlive     = "WATCHDOG=1"
)

// serviceManagerOf reads what the environment says to the process pid.
func serviceManagerOf(env map[string]string, pid int) serviceManager {
	m := serviceManager{socket: env["NOTIFY_SOCKET"]}
	us, err := strconv.ParseInt(env["WATCHDOG_USEC"], 10, 64)
	if forUs := env["WATCHDOG_PID"] == "" || env["WATCHDOG_PID"] == strconv.Itoa(pid); err == nil && us > 0 && us < 1<<50 && forUs {
		m.watchdog = time.Duration(us) * time.Microsecond
	}
	return m
}

// tell sends one message; without a socket it does nothing.
func (m serviceManager) tell(state string) error {
	if m.socket == "" {
		return nil
	}
	address := m.socket
	if rest, abstract := strings.CutPrefix(address, "@"); abstract {
		address = "\x00" + rest
	}
	conn, err := net.Dial("unixgram", address)
	if err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("notify service manager: %w", err)
	}
	return nil
}

// feedWatchdog says that we live, twice in the time that we are given, as long as alive gives no error. It returns when ctx ends.
func (m serviceManager) feedWatchdog(ctx context.Context, alive func(context.Context) error) error {
	if m.socket == "" || m.watchdog == 0 {
		return nil
	}
	ticker := time.NewTicker(m.watchdog / 2)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if alive(ctx) != nil {
			continue // that nothing is said is how it is said
		}
		if err := m.tell(serviceAlive); err != nil {
			return err
		}
	}
}

// answers asks the store and the outbox for something small: what hangs there will not come back by itself.
func answers(server *messaging.Server) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, watchdogTime)
		defer cancel()
		if err := server.Store().View(ctx, func(*persistence.Tx) error { return nil }); err != nil {
			return err
		}
		_, err := server.Outbox().Census(ctx)
		return err
	}
}
