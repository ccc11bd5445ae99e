// SPDX-License-Identifier: Apache-2.0

// Package event is one persistent data unit: parsed, hashed, identified, redacted, signed and verified.
//
//	wire bytes ─▶ Parse ──────────────────────────────────────────────▶ *Event, immutable
//	                │ canonical form and its outline (transport/canonicaljson), unsigned dropped
//	                │ shape and size, by room version (P-01 … P-09)        ┐ else *FormatError: drop
//	                │ redacted bytes ──▶ reference hash ──▶ event id        │
//	                │ content hash: a mismatch leaves the redacted event   ┘ (P-15)
//	                └ kept: the bytes, and the fields that every event has; the outline is gone
//
//	Proto ─▶ Build ─▶ content hash ─▶ redact ─▶ sign ─▶ Parse ─▶ *Event
//
// What differs between room versions 1 to 12 is in one table, version.go: each version is the one before it and a few changes.
// No code asks for a version by name.
//
// Nothing of content is decoded until it is asked for, and then once: most events are never asked. The tree of values that parsing makes
// is in memory that the next event uses again; what an event keeps are its canonical bytes, and strings that share them.
//
// The redacted form without signatures serves twice: its hash is the event's id, and it is what servers sign. It is not kept: who
// verifies has it made again, which costs little beside a signature. Numbers are never converted on the way there.
//
// An Event is safe to share between goroutines and never changes; Redact and Sign return new ones. Its content is untrusted: a
// field that the caller needs to be of some type may be of any other (P-08).
//
// The package does no I/O. It does not know rooms, state or other events: whether an event is allowed is for pdu/auth, and
// where it stands for the engine. It keeps nothing of unsigned (P-09).
package event
