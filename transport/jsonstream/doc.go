// SPDX-License-Identifier: Apache-2.0

// Package jsonstream reads large answers of other servers piece by piece, so that what they cost here is bounded by what is taken
// of them and not by what their sender thinks up: 256 MiB of `0,0,0,…` are a hundred million values.
//
//	{"state": [ {…}, {…}, … ], "auth_chain": [ … ], "else": …}
//	   │         └─► List ─► take, up to a limit          │
//	   └── Object ─► the function named "state"           └─► passed over
//
// It does not check canonical form, keeps no values and makes no sense of them: the pieces go to those who parse them strictly.
package jsonstream
