// SPDX-License-Identifier: Apache-2.0

// Package accounts is who may use the server: users, their passwords, their devices, and the tokens by which each request tells whose
// it is.
//
//	register, login ──► Passwords: argon2id, few at a time
//	      │        ──► Attempts: how often an address or a user may try
//	      ▼
//	one job: hs_users ── hs_devices ── hs_tokens (hashes only) ── Witness: keys, push, … are told
//	                                       ▲
//	every request: token ── SHA-256 ── Caller, kept in memory
//	        └ where from ── sightings, in memory ── every few minutes hs_devices
//
//	delete a device, change a password, … ──► Interactive: 401 with a session, then the password once more
//
// What others have to undo when a device or a user goes, they do as a Witness, in the job in which it goes: there is never a key
// of a device that is gone. Access tokens that can be refreshed expire; a pair that was refreshed ends when its successor is first used,
// so that a client to which the answer was lost can ask again.
//
// Not here: profiles, guests, third-party identifiers, single sign-on, application services.
package accounts
