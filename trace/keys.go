// SPDX-License-Identifier: Apache-2.0

package trace

import "time"

// KeysFetched is one attempt to get another server's signing keys.
type KeysFetched struct {
	Server string
	// Notary is who was asked for them, "" for the server itself.
	Notary string
	// Keys is how many current keys the document lists.
	Keys int
	// Changed says that the document was taken over; an older one than the one at hand is not.
	Changed bool
	// ValidUntil is how long the document counts, in ms.
	ValidUntil int64
	// Error is why there is no document, "" for success.
	Error string
	// RetryAt is before when the server is not asked again.
	RetryAt time.Time
	Took    time.Duration
}

// Kind is "keys.fetched".
func (KeysFetched) Kind() string { return "keys.fetched" }

// KeysStoreFailed is a failure to read or write key documents. Keys that were fetched stay in use in memory.
type KeysStoreFailed struct {
	Error string
}

// Kind is "keys.store_failed".
func (KeysStoreFailed) Kind() string { return "keys.store_failed" }

// KeysRotated is a new signing key of ours, written to the key file and published; or, with the key that was published before, that it
// begins to sign at once.
type KeysRotated struct {
	// Key and Former are the ids of the key that is new and of the one that signs until From.
	Key, Former string
	From        time.Time
}

// Kind is "keys.rotated".
func (KeysRotated) Kind() string { return "keys.rotated" }
