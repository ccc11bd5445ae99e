// SPDX-License-Identifier: Apache-2.0

// Package auth is the authorisation rules of Matrix rooms, versions 1 to 12: may this event be sent, given this state?
//
//	            event ──────────────┐
//	              │                 │
//	              │        Needed: the slots of state that decide (P-35)
//	              │                 │
//	CheckAuthEvents: are its        ▼
//	auth_events the right ones?   State ── create, power levels, join rules, members
//	(P-41, R-24)                    │
//	              │                 ▼
//	              └────────────▶  Check ──▶ Result{OK, Rule "P-49", Detail "@a:x of power 50 …"}
//	                                │
//	  create · federate · aliases · member · sender joined · third_party_invite ·
//	  required power · state_key · power_levels · redaction       (in the order of the specification)
//
// The rules stand in rooms/v1 to rooms/v12 of the specification, "Authorisation rules"; each file here holds those of one
// event type, and what differs between room versions is asked of the flags of event.Version, never of its name. A verdict
// names the rule that decided it and is a value, not an error.
//
// The same event is judged several times with different states: by its own auth events, by the state before it, by the
// current state, and inside state resolution (P-27 to P-29, P-76). So Check reads only what package event decoded when the
// event was parsed, and allocates nothing to say yes.
//
// The package is pure: no I/O, no clock, no caches, nothing mutable. It does not verify event signatures: that a member
// event is signed for join_authorised_via_users_server (P-45) is settled with its other signatures, by event.RequiredServers
// and event.VerifySignatures, before any rule is asked. It decides whether a redaction may be sent and whether it takes
// effect, and redacts nothing itself.
package auth
