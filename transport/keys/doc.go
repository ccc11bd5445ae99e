// SPDX-License-Identifier: Apache-2.0

// Package keys answers which public key may verify a request or an event, and publishes our own.
//
//	Keys(queries) ─► our own? ─► in memory? ─► in the store? ─► worth asking? ─► GET /_matrix/key/v2/server ─► save
//	                  no I/O      under a lock   one read for     back-off,        one per server at a time,    one write for
//	                                             all servers      cool-down        bounded in number            all that is new
//
// Naming servers that never answer is the one thing by which a stranger can keep us busy, so fetches are bounded by payer, and
// servers that we know have places of their own (share.go). Who talks to us is asked again at half the life of what it told, and
// nobody waits for that (renewal.go).
//
// The decisions are pure: document.go says what a key document means, history.go which of a server's keys may be used for what
// and which documents are worth keeping. ring.go and fetch.go do the waiting.
//
// A server's newest document decides about every key that it lists. Older documents are kept only for keys that no newer one
// mentions, because old events are signed with them; such keys never count for requests.
//
// # Our own
//
// Own has them, by a Plan: which key signs at which time (plan.go). A rotation publishes the new key beside the old one, both current
// and both signing the document; when every copy without the new one has run out it begins to sign; a minute later the old one is
// published as expired at that moment. The plan is a value, derived from the key file (keyfile.go), so that a restart in the middle
// changes nothing. Whoever signs asks Own, a signing.Signer, each time.
//
// One key signs a request at any time, though a header for each would be permitted: whoever has our document from before the
// rotation knows the key that signs during the overlap, and when the other takes over no document without it is valid any more. After a
// rotation without overlap peers meet a key id that they do not know, and fetch; the former key, which was stolen, must prove nothing.
//
// # Notaries
//
//	KeysVia(notary, queries) ─► Keys ─► what is still missing ─► POST /_matrix/key/v2/query ─► told, in memory
//	Attest(asks) ─► past half its life, or not enough? ─► ask the server itself ─► what is stored, with our signature added
//
// A key document is signed by the keys that it lists, so it proves that somebody has those keys and not who that is. What ties
// them to the server's name is that the document came from there, over TLS. A notary can only testify that it got it so, and it
// may lie. Therefore its word
//
//   - is asked for when the server itself does not answer, and only of the resident that hands us the state of a room we join,
//     or of a notary that the operator trusts;
//   - must bear the signatures of the document's server and, by a key that it publishes itself, of the notary;
//   - is believed only about events that this notary hands to us, unless it is trusted: a lie spoils nothing that comes from others,
//     and is not passed on;
//   - counts for nothing against the server's own: once the server has given us a document, a notary's must be signed by a key
//     that is current in it, and whatever the server tells later takes its place;
//   - never counts for requests, unless it is trusted, and is kept in memory only.
//
// What remains: a notary can invent keys for a server that never told us its own and cannot be reached, and with them events of
// that server, in the state of the room that it lets us join.
//
// The package compares notaries only when it is told to. It keeps whole documents of servers as they came, and serves them
// as a notary; beside them it keeps who said what of each key, first and last when (sighting.go), for operators to look at. The rules are in the server-server API, "Retrieving server keys", and for the validity of event keys in room version 5.
package keys
