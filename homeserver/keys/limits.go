// SPDX-License-Identifier: Apache-2.0

package keys

import "time"

// Limits of what is kept, and for how long others are waited for.
const (
	maxOneTimeKeys = 1000 // of a device and algorithm; clients keep some 50 to 100 there
	maxKey         = 16 << 10
	maxKeyID       = 255
	maxQueryUsers  = 10_000 // of one request

	defaultWait = 10 * time.Second // S-36
	maxWait     = time.Minute
	maxAsked    = 32 // servers at once, for one request
)
