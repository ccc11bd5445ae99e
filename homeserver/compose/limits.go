// SPDX-License-Identifier: Apache-2.0

package compose

import "time"

// Limits of what a request can ask for.
const (
	// defaultTimeline is how many events of a room are shown where no filter says: what Synapse has.
	defaultTimeline = 10
	// maxTimeline bounds what a filter may say: what Synapse has (filter_timeline_limit).
	maxTimeline = 100
	// maxToDevice is how many messages for a device one answer has (S-23).
	maxToDevice = 100
	// maxTimeout bounds how long a request waits: proxies in between break off what takes minutes.
	maxTimeout = 3 * time.Minute
	// maxFilterTerms bounds what each event is compared with.
	maxFilterTerms = 2000
	// loadAtOnce is how many rooms one job looks at.
	loadAtOnce = 32
)
