// SPDX-License-Identifier: Apache-2.0

// Package keys answers which public key may verify a request or an event, and publishes our own.
//
//	Keys(queries) ─► our own? ─► in memory? ─► in the store? ─► worth asking? ─► GET /_matrix/key/v2/server ─► save
//	                  no I/O      under a lock   one read for     back-off,        one per server at a time,    one write for
//	                                             all servers      cool-down        bounded in number            all that is new
//
// The decisions are pure: document.go says what a key document means, history.go which of a server's keys may be used for what
// and which documents are worth keeping. ring.go and fetch.go do the waiting.
//
// A server's newest document decides about every key that it lists. Older documents are kept only for keys that no newer one
// mentions, because old events are signed with them; such keys never count for requests.
//
// The package asks a server itself and no notary; nor is it one. It keeps whole documents, as a notary would serve them. The
// rules are in the server-server API, "Retrieving server keys", and for the validity of event keys in room version 5.
package keys
