// SPDX-License-Identifier: Apache-2.0

// Package transport carries requests between Matrix servers: a client that finds, reaches and convinces the other server, and a
// server that lets nothing through to a handler but well-formed requests of a known origin.
//
//	Client.Do                                                     Server
//	   │ sign: method, uri, origin, destination, body        ▲ Reply or Error, as JSON
//	   │ resolve: package discovery ── well-known, SRV              │ handler, panics caught
//	   │ connect: guarded dialer, TLS, kept connections             │ the origin's turn
//	   │ reply: capped, JSON, classed failures                      │ X-Matrix signature: package keys
//	   │                                                            │ body: capped, in time, a JSON object, parsed once
//	   │                                                            │ a place, among those of its address
//	   └───────────────────── HTTPS, HTTP/2 ───────────────────────►│ route by escaped path
//
// Three things hold for the client: every connection, also that for a well-known document, goes through one dialer of one Network,
// which judges addresses at the moment of dialling and certificates before anything is said; every request has a deadline, every
// reply a size, and may not fall silent; what fails is told by a Class. It retries nothing and remembers no failures: that is for the
// outbox above. Network.Examine and Visit tell the way to a server step by step, with the same dialer. Connections that rest are
// bounded over all servers, those of HTTP/2 too (keep.go).
//
// Three things hold for the server: a request costs memory and time only within ServerLimits; the origin that a handler sees has
// been proven with a signature over what the handler sees; nothing that a peer sends makes it panic or tells it of our insides.
//
// What requests share is handed out by admission.go and pool.go: nobody gets more than is left for others, and what waits is
// counted; what parses and verifies takes turns, from party to party (package turns). The tests named Hostile show what peers try and what it costs.
//
// The server's certificate comes from FileCertificate, ACME or a LocalCA.
//
// The package knows no endpoint but version, signing keys and health, and of bodies only that they are JSON objects. Media,
// which are no JSON, are not served.
package transport
