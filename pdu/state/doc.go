// SPDX-License-Identifier: Apache-2.0

// Package state keeps room state, a map from (type, state key) to event id, as an immutable tree of content-addressed nodes.
//
// A state is one Root. Equal states have equal roots whatever the order of the changes that led to them; a change writes
// O(log n) small nodes and shares all others with the state before it; the difference of two states costs what differs.
//
//	          branch ""                     path of a slot, in nibbles (64 of them):
//	     ┌───────┼──────────┐               SHA-256(type)[:4]  SHA-256(len type, type, key)[:28]
//	    3│      8│         d│               └── 8 nibbles ──┘  └────────── 56 nibbles ─────────┘
//	  leaf     leaf   branch "d0c1b3d2"     all slots of a type stand under one prefix: ScanType
//	topic,""  name,""   0│  1│ … f│         goes there and reads members only
//	create,""          leaf  …  branch "d0c1b3d2f"
//	                               │ …
//
// It is a radix trie over that path. The form follows from the content alone, which is what makes roots comparable:
//
//   - a subtree with at most leafSize slots is one leaf, its slots sorted by type and key;
//   - any other subtree is one branch at the longest prefix that all its slots share (no chains of single children),
//     with one child for each next nibble that occurs;
//   - a node's address is the SHA-256 of its bytes; the empty state has no node and the zero Root.
//
// Why a hashed trie rather than a tree in key order: the state keys are chosen by users, and a hash spreads them without
// any rebalancing to be made canonical. A user who searches for colliding hashes deepens one path by a nibble for each 16
// times the work.
//
// The package does not store nodes (the caller hands in Nodes and keeps what Set returns), does not collect those that
// fell out of use, caches nothing, and knows nothing of events but their ids. Every node read is checked against its
// address, so a damaged or missing node is an error and never a wrong answer.
package state
