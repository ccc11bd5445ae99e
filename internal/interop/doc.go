// SPDX-License-Identifier: Apache-2.0

// Package interop is a bench on which other homeservers run beside Strata, so that federation is proved against
// software that nobody here wrote.
//
//	    Bench: certificate authority, scratch folder, installed Synapse
//	      │                                      │
//	┌─────▼──────┐   federation (TLS, signed)  ┌─▼──────────┐
//	│  Server A  │ ◄─────────────────────────► │  Server B  │   a Server is a Peer (Synapse, Dendrite) or Strata
//	└─────▲──────┘                             └─────▲──────┘
//	      │ client API, or a command                 │
//	┌─────┴──────┐                             ┌─────┴──────┐
//	│  Member    │   create · join · send      │  Member    │   a Member is one user of one server
//	└────────────┘   await                     └────────────┘
//
// A test is a table of (server, server, room version, direction): one side creates a room, the other joins through it,
// both talk, and each must see the other's events under the same event IDs. Equal IDs mean that both sides agree on
// canonical JSON, hashes and redaction; arrival means that they agree on signatures, keys, auth rules and state.
//
// What the command has no words for, invitations and knocks, is asked of a Strata that is linked into the test as a homeserver links it.
//
// Further tests take servers down and up again (gaps of a thousand events, forks, users who do not know that they were banned),
// play what needs more than one room (restricted joins) or looks back (backfill), send what is no event (typing, receipts, messages to
// devices, device lists) and ask what is asked (keys, profiles, aliases, directories, spaces), and hold the admin API beside Synapse's.
//
// Last, Strata is a homeserver with clients: jssdk/drive.mjs is two of them, made of matrix-js-sdk, which do with two servers, of either
// kind, what people do: encrypted talk, typing, reading, taking back, looking back, pictures.
//
// Every server listens on 127.0.0.1 only, under a name of the form localhost:PORT: a host name with a port is resolved
// without .well-known and SRV (Server-Server API, "Resolving server names", step 2).
//
// The tests carry the build tag interop. A peer that cannot be had here (no Python, no registry, no DENDRITE_BIN) makes
// its tests skip with a sentence that says what was not run and why; it never makes them pass.
//
// Environment variables: DENDRITE_BIN names a Dendrite binary. STRATA_INTEROP_DIR is where Synapse, Node.js and
// matrix-js-sdk are installed once and kept, by default strata-interop in the user's cache folder. STRATA_INTEROP_LOGS is a folder that keeps the servers'
// logs, in which Synapse has a line for every request; without it a failed test prints their ends.
//
// What the package does not do: it does not test Strata's packages from within, reach any server outside this machine, or build
// a peer from source. It measures speed for `make compare` and `make compare-clients` only, where every server takes its turns.
package interop
