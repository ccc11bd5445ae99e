// SPDX-License-Identifier: Apache-2.0

// Package signing makes and checks the Ed25519 signatures of Matrix: of JSON objects, of requests (the X-Matrix scheme), and
// many at once; and it has the forms of a server's own signing key.
//
//	object ──drop signatures, unsigned──► canonical bytes ──Ed25519──► signatures: {server: {key id: base64}}     SignJSON
//	request {method, uri, origin, destination, content} ────────────► Authorization: X-Matrix origin=…,sig=…     Request
//	(public key, message, signature) × n ──one equation per batch──► n verdicts                                   VerifyBatch
//
// Everything but the writing of private files is a pure function of its arguments; nothing here holds state or starts a goroutine that
// outlives the call. Which key belongs to a server, and for how long, is the business of package keys, which also says
// which of our own signs now (Signer); what of an event is signed, that of package event.
//
// The rules are those of the Matrix appendices, "Signing JSON" and "Unpadded Base64", and of the server-server API, "Request
// Authentication".
package signing
