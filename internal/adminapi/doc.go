// SPDX-License-Identifier: Apache-2.0

// Package adminapi answers what Synapse's admin API says of federation, so that tools made for Synapse show Strata's destinations.
//
//	synapse-admin, Ketesa, curl ──► token ──► destinations ──► store: how each server stands, which rooms it is in
//	                                   │
//	                                   └────► reset_connection ──► outbox: try again now
//
// Shapes and errcodes are those of Synapse, "Federation API" in its documentation; docs/operating.md says what the fields mean here. The
// pages of a browser come from elsewhere, so any origin may ask (CORS): it is the token that counts, never a cookie.
//
// Not here: users, rooms, media, and everything else that Synapse has; richer answers, which commands give (internal/control); TLS and
// who can reach it, which is the listener's matter.
package adminapi
