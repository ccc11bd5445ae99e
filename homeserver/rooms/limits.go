// SPDX-License-Identifier: Apache-2.0

package rooms

import "time"

const (
	// maxInvites is how many users one createRoom invites: each may take a request to another server.
	maxInvites = 100

	// maxInitialState is how many state events a createRoom may bring. Each is judged and signed in one turn of the room.
	maxInitialState = 500

	// transactionsKept is how long a transaction id is remembered. The specification names no time; clients repeat within minutes, and
	// hours when they were without a network.
	transactionsKept = 7 * 24 * time.Hour

	// forgetTransactions is how many old transaction ids are deleted with each new one: more than one, so that they become fewer.
	forgetTransactions = 4

	// maxTransactionID is in bytes: clients send some 20, and the specification names no limit.
	maxTransactionID = 255
)
