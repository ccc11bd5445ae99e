// SPDX-License-Identifier: Apache-2.0

// Package ident holds Matrix identifiers: server names, user, room, event and media ids, aliases and key ids.
//
// A value of one of these types is made by its Parse function from anything that came from outside; a conversion is for
// literals and for what the store gives back. After that every layer may rely on the grammar.
//
//	@localpart:server.name:8448
//	│└───┬───┘ └──────┬───────┘
//	│ Localpart     Server        the split is at the first colon: a server name may hold more
//	sigil
//
// The grammar is that of the Matrix appendices, "Identifier Grammar". Lengths are bytes. Room ids are opaque beyond
// their shape: nothing may be routed by a room id's domain. The package resolves no names and knows no network.
package ident
