// SPDX-License-Identifier: Apache-2.0

// Package policy tells whether an event has the signature of its room's policy server (Server-Server API, "Policy Servers";
// M-100 to M-103).
//
//	m.room.policy in the current state ──► via, public_keys.ed25519 ──► Server, if via has joined users (the caller counts)
//	                                                                       │
//	an event ──► the m.room.policy event itself? ─yes─► needs no signature │
//	                     │no                                               ▼
//	                     └──► signatures[via]["ed25519:policy_server"] over the redacted event, by the key of the state
//
// The key is the one that stands in the room's state, never one that the server publishes. The signature is no authorisation rule
// and takes no part in state resolution (M-105).
//
// The package is pure: it asks nobody, and does not act as a policy server.
package policy
