// SPDX-License-Identifier: Apache-2.0

package rooms

import "time"

const (
	// maxInvites is how many users one createRoom invites: each may take a request to another server.
	maxInvites = 100

	// maxInvitesAtOnce is how many of them are under way at a time.
	maxInvitesAtOnce = 10

	// maxInitialState is how many state events a createRoom may bring. Each is judged and signed in one turn of the room.
	maxInitialState = 500

	// maxAliasServers is how many servers an alias is answered with: some more than anybody asks.
	maxAliasServers = 50

	// maxPublicPage is the longest page of the directory, and what is given to who names no length.
	maxPublicPage = 500

	// maxPublicLooked is how many rooms of the directory are looked at for one page of a search: some 50 µs each.
	maxPublicLooked = 1000

	// maxHierarchyPage is the longest page of a space and its rooms, and what is given to who names no length; other servers' is the same.
	maxHierarchyPage = 50

	// maxHierarchyWalked is how many rooms of a space are walked through for one page, those of the pages before among them.
	maxHierarchyWalked = 5000

	// maxHierarchyAsked is how many rooms of a space other servers are asked about for one page: each may take as long as a query.
	maxHierarchyAsked = 30

	// What other servers say of spaces is kept for a while, since every page walks through it anew (M-72 "SHOULD cache").
	hierarchiesKept = 500
	hierarchyKept   = 5 * time.Minute
	hierarchyTime   = 20 * time.Second

	// defaultPage and maxPage are how many events a page has; clients ask for some dozens.
	defaultPage = 10
	maxPage     = 1000

	// maxFilterTerms is how many terms a filter may have: each is compared with each event.
	maxFilterTerms = 1000

	// What is missing of a room's history is fetched while a client waits for a page of it, so many times, each for so long, and not
	// again so soon after it was in vain.
	maxFetches    = 3
	fetchPatience = 20 * time.Second
	fetchAgain    = time.Minute

	// maxRelated is how many events that relate to one, and how many threads of a room, are looked through for one request, relatedAtOnce
	// how many in one step.
	maxRelated    = 2000
	relatedAtOnce = 100

	// maxAnnotations is how many of a user's annotations of an event are compared with a new one: there are some dozen kinds of smile.
	maxAnnotations = 100

	// maxRecursion is how far relations of relations are followed: "servers should follow at least 3 levels".
	maxRecursion = 3

	// maxReason is the longest reason of a report, in bytes: what fits on a page or two.
	maxReason = 4096

	// maxAltAliases is how many alternative aliases are taken: each may be asked of another server.
	maxAltAliases = 50

	// transactionsKept is how long a transaction id is remembered. The specification names no time; clients repeat within minutes, and
	// hours when they were without a network.
	transactionsKept = 7 * 24 * time.Hour

	// forgetTransactions is how many old transaction ids are deleted with each new one: more than one, so that they become fewer.
	forgetTransactions = 4

	// maxTransactionID is in bytes: clients send some 20, and the specification names no limit.
	maxTransactionID = 255
)
