// SPDX-License-Identifier: Apache-2.0

// Package doctor finds out why a server cannot be reached, or cannot reach us, step by step, each with its evidence.
//
//	name ─► well-known ─► SRV ─► address ─► TCP, TLS ─► /version ─► keys ─► signed request ─► clock
//	             each address by itself: ──────────────────────────────┘
//	   own configuration, key file, certificate ─► the same steps on our own name, as others would take them
//
// Every finding has a code that stays the same over releases (codes.go), with what to do about it; docs/doctor.md lists them. A code
// that begins with E is a failure: federation does not work, or not for long. One with W is a warning.
//
// The report in JSON is a superset of that of the public federation tester, so that what watches that one can watch this.
//
// Nothing that a server says here is stored or believed. The package does not choose whom to look at and prints nothing: commands and
// the control socket do that.
package doctor
