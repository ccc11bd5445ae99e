// SPDX-License-Identifier: Apache-2.0

// Package backup keeps users' backups of the keys to their rooms, encrypted by their clients.
//
//	version: algorithm and auth_data ── keys by room and session ── etag, which changes with them
//
// A key takes the place of another of its session only if it is worth more. Rules: Client-Server API, "Server-side key backups".
//
// Not here: what is in the keys; the server cannot read them.
package backup
