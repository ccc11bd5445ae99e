// SPDX-License-Identifier: Apache-2.0

// Package acl decides whether a room's server access control list lets a server take part (Server-Server API, "Server Access
// Control Lists"; M-90 to M-92).
//
//	requesting server ──► without its port ──► an address, and addresses are not allowed? ─► denied
//	                                           matches one of deny?  ────────────────────► denied
//	                                           matches one of allow? ────────────────────► allowed
//	                                           else ──────────────────────────────────────► denied
//
// It is asked about the server that makes a request, not about the senders of events: lists are no authorisation rule, and an
// event that another server hands over is judged without them (M-96).
//
// The package is pure: whoever serves the request finds the room's current list and answers a denial.
package acl
