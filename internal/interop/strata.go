// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	// strataPackage is what is built into the command under test.
	strataPackage = "github.com/strata-matrix/strata/cmd/strata"
	// notFound is the exit code by which the command says that there is no such thing, as yet.
	notFound = 3
)

// Strata is a running strata serve, driven by the other commands as a developer would. Nothing in it changes after its
// start.
type Strata struct {
	binary, dir   string
	name, version string
}

// StartStrata builds the command and runs its server from dir. It is a [Start].
func StartStrata(t *testing.T, dir string, ca *CA) Server {
	t.Helper()
	s, err := newSite(dir, ca)
	if err != nil {
		t.Fatalf("prepare Strata: %v", err)
	}
	ctx, cancel := bounded(t, readyTimeout)
	defer cancel()
	binary := filepath.Join(dir, "strata")
	if output, err := exec.CommandContext(ctx, "go", "build", "-o", binary, strataPackage).CombinedOutput(); err != nil {
		t.Fatalf("build Strata: %v\n%s", err, output)
	}
	p := startProcess(t, dir, nil, binary, "serve",
		"--server-name", s.Name, "--data-dir", dir,
		"--listen", fmt.Sprintf("127.0.0.1:%d", s.FederationPort),
		"--tls-cert", s.Certificate, "--tls-key", s.CertificateKey,
		"--ca", s.Authority, "--allow-private", "--log-level", "debug")
	software, version, err := s.awaitFederation(ctx, p, ca)
	if err != nil {
		t.Fatalf("federation API of %s: %v", s.Name, err)
	}
	strata := &Strata{binary: binary, dir: dir, name: s.Name, version: software + " " + version}
	t.Logf("%s: %s, started in %s", strata.name, strata.version, time.Since(p.begun).Round(10*time.Millisecond))
	return strata
}

// ServerName implements [Server].
func (s *Strata) ServerName() string { return s.name }

// Describe implements [Server].
func (s *Strata) Describe() string { return s.version }

// NewMember implements [Server]. Strata has no accounts: it speaks for every user of its name.
func (s *Strata) NewMember(_ *testing.T, localpart string) Member {
	return &strataMember{strata: s, userID: "@" + localpart + ":" + s.name}
}

// run executes a command and decodes the one JSON value that it prints.
func (s *Strata) run(ctx context.Context, reply any, args ...string) error {
	args = append(args, "--data-dir", s.dir, "--json")
	cmd := exec.CommandContext(ctx, s.binary, args...)
	var problem bytes.Buffer
	cmd.Stderr = &problem
	output, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("strata %s: %w: %s", strings.Join(args, " "), err, problem.Bytes())
	}
	if err := json.Unmarshal(output, reply); err != nil {
		return fmt.Errorf("strata %s printed %q: %w", strings.Join(args, " "), output, err)
	}
	return nil
}

// strataMember is a [Member] by the commands room, send and event.
type strataMember struct {
	strata *Strata
	userID string
}

// ID implements [Member].
func (m *strataMember) ID() string { return m.userID }

// CreateRoom implements [Member].
func (m *strataMember) CreateRoom(ctx context.Context, version string) (string, error) {
	var reply struct {
		RoomID string `json:"room_id"`
	}
	err := m.strata.run(ctx, &reply, "room", "create", "--public", "--room-version", version, "--as", m.userID)
	return reply.RoomID, err
}

// Join implements [Member].
func (m *strataMember) Join(ctx context.Context, roomID, via string) error {
	return m.strata.run(ctx, new(any), "room", "join", roomID, "--via", via, "--as", m.userID)
}

// Send implements [Member].
func (m *strataMember) Send(ctx context.Context, roomID, body string) (string, error) {
	return m.send(ctx, roomID, body)
}

// SetState implements [Member].
func (m *strataMember) SetState(ctx context.Context, roomID, eventType, stateKey string, content any) (string, error) {
	encoded, err := json.Marshal(content)
	if err != nil {
		return "", err
	}
	return m.send(ctx, roomID, "--type", eventType, "--state-key", stateKey, "--content", string(encoded))
}

func (m *strataMember) send(ctx context.Context, roomID string, what ...string) (string, error) {
	var reply struct {
		EventID string `json:"event_id"`
	}
	err := m.strata.run(ctx, &reply, append([]string{"send", roomID, "--as", m.userID}, what...)...)
	return reply.EventID, err
}

// Await implements [Member].
func (m *strataMember) Await(ctx context.Context, _, eventID string) (Event, error) {
	pause := time.NewTicker(readyPoll)
	defer pause.Stop()
	for {
		var reply struct {
			Event
			Outcome string
		}
		err := m.strata.run(ctx, &reply, "event", "get", eventID)
		if err == nil && reply.Outcome == "accepted" {
			return reply.Event, nil
		}
		if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != notFound) {
			return Event{}, err
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return Event{}, fmt.Errorf("await %s (outcome %q): %w", eventID, reply.Outcome, ctx.Err())
		}
	}
}

// State implements [Member].
func (m *strataMember) State(ctx context.Context, roomID string) ([]Event, error) {
	var reply struct{ State []Event }
	err := m.strata.run(ctx, &reply, "room", "show", roomID)
	return reply.State, err
}
