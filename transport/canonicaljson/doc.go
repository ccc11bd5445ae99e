// SPDX-License-Identifier: Apache-2.0

// Package canonicaljson reads JSON strictly and writes it in Matrix's canonical form, in one linear pass.
//
// Whatever is hashed or signed in Matrix is canonical JSON: no blanks, keys sorted by code point, the shortest escapes
// (X-73, X-74; appendices, "Canonical JSON"). Parse turns received bytes into such a document, or refuses them:
//
//	           outline
//	source ───────────────────────────────▶ canonical bytes + nodes over them = Value
//	   │ not canonical, or not JSON                 ▲
//	   │       scan            sort, emit           │ outline
//	   └────────────────▶ marks ────────▶ canonical bytes
//	                       └▶ *SyntaxError
//
// Most of what servers send is canonical already, so the outline reads that and nothing else: it settles in one pass that the source
// is canonical and within the rules, and where its values are. To any other source it says no, and the scan, which takes every
// spelling of JSON and names what is wrong, makes canonical bytes of it for the outline to read. So each Value comes from one reader,
// and what that refuses is judged by the other: a fuzz test holds the two against each other. No walk recurses, and all are linear in
// the source but for the sorting, so a document of a million brackets costs what any other document of a megabyte does.
//
// A Value is a node of that immutable document: cheap to copy, safe to share between goroutines, and its canonical bytes
// are a span of the one buffer. An Outline is memory that serves for one document after the other, for who takes much apart and keeps
// little of it. Numbers are never converted on the way to a hash: a Number is the digits received.
//
// The package does not know what an event or a signature is, offers no way to change a document, and decodes nothing into
// Go structs: encoding/json serves where exact keys and exact numbers do not matter.
package canonicaljson
