// SPDX-License-Identifier: Apache-2.0

// Package canonicaljson reads JSON strictly and writes it in Matrix's canonical form, in one linear pass.
//
// Whatever is hashed or signed in Matrix is canonical JSON: no blanks, keys sorted by code point, the shortest escapes
// (X-73, X-74; appendices, "Canonical JSON"). Parse turns received bytes into such a document, or refuses them:
//
//	          scan                        sort, emit
//	source ─────────▶ nodes in source order ─────────▶ canonical bytes + nodes over them = Value
//	          │                                                    ▲
//	          └────── already canonical: copied as it is ──────────┘
//
// The scan checks grammar, UTF-8, surrogates, numbers and depth, and notes on the way whether the source is already in
// canonical form, as most of what servers send is. Only if it is not do the nodes go through a second walk, which sorts
// the members of each object and writes the result. Neither walk recurses, and both are linear in the source but for the
// sorting, so a document of a million brackets costs what any other document of a megabyte does.
//
// A Value is a node of that immutable document: cheap to copy, safe to share between goroutines, and its canonical bytes
// are a span of the one buffer. Numbers are never converted on the way to a hash: a Number is the digits received.
//
// The package does not know what an event or a signature is, offers no way to change a document, and decodes nothing into
// Go structs: encoding/json serves where exact keys and exact numbers do not matter.
package canonicaljson
