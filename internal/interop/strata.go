// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// strataPackage is what is built into the command under test.
	strataPackage = "github.com/strata-matrix/strata/cmd/strata"
	// notFound is the exit code by which the command says that there is no such thing, as yet.
	notFound = 3
)

// Strata is a running strata serve, driven by the other commands as a developer would.
type Strata struct {
	*service
	binary, dir   string
	name, version string
	admin         string // where the admin API is
}

// adminToken is what its users have to have.
const adminToken = "interop-interop-interop"

// operatorSettings is Strata's configuration: a listener for operators. What else there is to say is said by flags.
const operatorSettings = `admin_token_path = "admin.token"
[[listeners]]
port = %d
bind_addresses = ["127.0.0.1"]
resources = [{names = ["admin"]}]
`

// StartStrata builds the command and runs its server from dir. It is a [Start].
func StartStrata(t *testing.T, dir string, ca *CA) Server {
	t.Helper()
	return startStrata(t, dir, ca, "debug")
}

// startStrata is StartStrata with other settings, as variables: STRATA_NAME=value.
func startStrata(t *testing.T, dir string, ca *CA, logLevel string, settings ...string) *Strata {
	t.Helper()
	s, err := newSite(dir, ca)
	if err != nil {
		t.Fatalf("prepare Strata: %v", err)
	}
	binary := buildStrata(t)
	for name, content := range map[string]string{"strata.toml": fmt.Sprintf(operatorSettings, s.ClientPort), "admin.token": adminToken} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatalf("configure Strata: %v", err)
		}
	}
	strata := &Strata{binary: binary, dir: dir, name: s.Name, admin: fmt.Sprintf("http://127.0.0.1:%d", s.ClientPort)}
	strata.service = &service{
		dir: dir,
		env: settings,
		argv: []string{
			binary, "serve", "--config", filepath.Join(dir, "strata.toml"), "--server-name", s.Name, "--data-dir", dir,
			"--listen", fmt.Sprintf("127.0.0.1:%d", s.FederationPort),
			"--tls-cert", s.Certificate, "--tls-key", s.CertificateKey,
			"--ca", s.Authority, "--allow-private", "--log-level", logLevel,
		},
		ready: func(ctx context.Context, p *process) error {
			software, version, err := s.awaitFederation(ctx, p, ca)
			strata.version = software + " " + version
			return err
		},
	}
	strata.start(t)
	t.Logf("%s: %s, started in %s", strata.name, strata.version, time.Since(strata.now.begun).Round(10*time.Millisecond))
	return strata
}

// strataCommand builds the command under test once for all tests of the process, since to link it takes seconds. The folder in which
// it stands, which is for this alone, goes with the process: see TestMain.
var strataCommand = sync.OnceValues(func() (binary string, err error) {
	dir, err := os.MkdirTemp("", "strata-interop-")
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	binary = filepath.Join(dir, "strata")
	if output, err := exec.CommandContext(ctx, "go", "build", "-o", binary, strataPackage).CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("%w: %s", err, output), os.RemoveAll(dir))
	}
	return binary, nil
})

func buildStrata(t *testing.T) (binary string) {
	t.Helper()
	binary, err := strataCommand()
	if err != nil {
		t.Fatalf("build Strata: %v", err)
	}
	return binary
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

// Leave has it leave a room.
func (m *strataMember) Leave(ctx context.Context, roomID string) error {
	return m.strata.run(ctx, new(any), "room", "leave", roomID, "--as", m.userID)
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

// Redact implements [Member].
func (m *strataMember) Redact(ctx context.Context, roomID, eventID string) (string, error) {
	var reply struct {
		EventID string `json:"event_id"`
	}
	err := m.strata.run(ctx, &reply, "redact", roomID, eventID, "--as", m.userID)
	return reply.EventID, err
}

// Event implements [Member].
func (m *strataMember) Event(ctx context.Context, _, eventID string) (Event, error) {
	e, err := m.verdict(ctx, eventID)
	return e.Event, err
}

// verdict is an event with what became of it.
func (m *strataMember) verdict(ctx context.Context, eventID string) (e judgedEvent, err error) {
	err = m.strata.run(ctx, &e, "event", "get", eventID)
	return e, err
}

// judgedEvent is what the command event get prints.
type judgedEvent struct {
	Event
	Outcome string
}

// AwaitOutcome blocks until the server's verdict on an event is one that will not change by waiting.
func (m *strataMember) AwaitOutcome(ctx context.Context, eventID string) (outcome string, err error) {
	pause := time.NewTicker(readyPoll)
	defer pause.Stop()
	for {
		e, err := m.verdict(ctx, eventID)
		if err == nil && e.Outcome != "staged" && e.Outcome != "quarantined" {
			return e.Outcome, nil
		}
		if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != notFound) {
			return "", err
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return "", fmt.Errorf("await a verdict on %s (outcome %q): %w", eventID, e.Outcome, ctx.Err())
		}
	}
}

// Await implements [Member].
func (m *strataMember) Await(ctx context.Context, _, eventID string) (Event, error) {
	outcome, err := m.AwaitOutcome(ctx, eventID)
	if err != nil {
		return Event{}, err
	}
	if outcome != "accepted" {
		return Event{}, fmt.Errorf("event %s was %s", eventID, outcome)
	}
	return m.Event(ctx, "", eventID)
}

// State implements [Member].
func (m *strataMember) State(ctx context.Context, roomID string) ([]Event, error) {
	var reply struct{ State []Event }
	err := m.strata.run(ctx, &reply, "room", "show", roomID)
	return reply.State, err
}
