// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"context"
	"testing"
)

// Server is one side of an interoperation test: a running homeserver, be it a [Peer] or Strata.
type Server interface {
	// ServerName is the name other servers know it by, with its port: localhost:41234.
	ServerName() string
	// Describe names software and version, for the test's log.
	Describe() string
	// NewMember gives a user who is in no room yet. It fails the test if the server does not grant one.
	NewMember(t *testing.T, localpart string) Member
	// Stop ends the server in an orderly way.
	Stop()
	// Restart starts it again on what it has kept, and returns when it answers.
	Restart(t *testing.T)
}

// Member is one user of one server, by the things that prove federation. [Client] is a Member over the client API;
// Strata's is a handful of its commands: room create, room join, room show, send, event get.
type Member interface {
	// ID is the full user ID.
	ID() string
	// CreateRoom makes a room that anyone may join and returns its ID.
	CreateRoom(ctx context.Context, version string) (roomID string, err error)
	// Join enters a room, asking the server named via if the member's own is not in it. It returns when the member is
	// joined.
	Join(ctx context.Context, roomID, via string) error
	// Send posts a text message and returns its event ID.
	Send(ctx context.Context, roomID, body string) (eventID string, err error)
	// SetState sets a piece of the room's state and returns its event ID.
	SetState(ctx context.Context, roomID, eventType, stateKey string, content any) (eventID string, err error)
	// State is the room's current state as the member's server has it.
	State(ctx context.Context, roomID string) ([]Event, error)
	// Redact has an event stripped of its content and returns the ID of the redaction.
	Redact(ctx context.Context, roomID, eventID string) (redactionID string, err error)
	// Event is one event as the member's server shows it.
	Event(ctx context.Context, roomID, eventID string) (Event, error)
	// Await blocks until the member's server shows the event, and returns it. It fails when ctx ends first.
	Await(ctx context.Context, roomID, eventID string) (Event, error)
}

// Start runs a server whose files all lie under dir and which trusts only ca. It returns when the server answers, skips
// the test if the software cannot be had here, fails it if the software does not start, and stops it with the test.
type Start func(t *testing.T, dir string, ca *CA) Server
