// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Membership is how this server stands to a room.
type Membership int

// The values are stored.
const (
	Joining Membership = 1 // a join is under way: what arrives is staged and waits for its end
	Joined  Membership = 2 // a user of this server is joined
	Left    Membership = 3 // no longer; what was stored stays readable, nothing new is accepted
)

// String names the membership as commands and pages show it.
func (m Membership) String() string {
	switch m {
	case Joining:
		return "joining"
	case Joined:
		return "joined"
	case Left:
		return "left"
	}
	return "unknown"
}

// RoomInfo is the head of a room.
type RoomInfo struct {
	ID          ident.RoomID
	Version     *event.Version
	Membership  Membership
	Extremities []ident.EventID // events that no accepted event references yet
	Depth       int64           // greatest depth among them
	Servers     int             // servers with joined members, this one included
	Members     int             // joined members, as far as they are known
	Partial     bool            // members are missing from its states; see Completion
}

// Draft is an event that a user of this server wants to send. StateKey is nil for a message. Redacts is for redactions.
type Draft struct {
	Type     string
	StateKey *string
	Content  []byte // JSON object
	Redacts  ident.EventID
	Sender   ident.UserID

	// Kept, when it is not nil, runs in the job that stores the event, with the event: what it writes is there if and only if the event
	// is. An error of it undoes the whole job, other events of the room too: it is for faults of the store alone.
	Kept func(*persistence.Tx, *event.Event) error
}

// Delivery is an accepted event with its place in the one sequence of this server. A redaction is delivered when it has taken
// effect on the event that it names (P-60): clients are to forget that event's content.
type Delivery struct {
	Position   persistence.Position
	Room       ident.RoomID
	Event      *event.Event  // as it stands: after redaction, what is left of it
	RedactedBy ident.EventID // the redaction, for unsigned.redacted_because (P-62); "" for none
	Mismatch   bool          // its content hash did not match, so that Event is what redaction leaves of it (P-15)
	Restored   bool          // it was delivered so before, at another position; now it is whole
}

// Stored is an event with what is known of it here.
type Stored struct {
	Event      *event.Event  // as it stands: after redaction, what is left of it
	RedactedBy ident.EventID // the redaction that took effect on it, "" for none
	Outcome    Outcome
	Outlier    bool                 // known only as part of a state or an auth chain: its place in the graph is not known
	Position   persistence.Position // 0 for none, of a redaction too that has not taken effect
}

// Handover is what the path of a send_join, send_leave or send_knock says about the event in its body.
type Handover struct {
	Room       ident.RoomID
	EventID    ident.EventID
	Membership string // "join", "leave" or "knock"

	OmitMembers bool // the joiner would do without the members (M-10)
}

// Admission is what a resident server answers a handed-over membership event with (M-08).
type Admission struct {
	Event          *event.Event
	StateBefore    []ident.EventID
	AuthChain      []ident.EventID    // of the event and of everything in StateBefore
	MembersOmitted bool               // then StateBefore lacks member events, and AuthChain what is in StateBefore
	ServersInRoom  []ident.ServerName // with members joined before the event
}

// room is a snapshot of a room's head. It is immutable: a turn builds the next one and publishes it when it is durable.
type room struct {
	nid         int64 // 0 before the room is stored
	id          ident.RoomID
	version     *event.Version
	membership  Membership
	create      ident.EventID
	extremities []*extremity
	held        []*extremity             // fetched, and followed by a quarantined event; not counted among them
	current     state.Root               // resolved over the extremities
	servers     map[ident.ServerName]int // joined members by server; never changed in place
	gapped      bool                     // it may have gaps
	partial     *partial                 // nil when the states are whole
	again       bool                     // events are to be judged again
	withheld    bool                     // it may have redactions that are held back
}

// extremity is an accepted event that no accepted event references.
type extremity struct {
	record *record
	ref    event.Ref
}
