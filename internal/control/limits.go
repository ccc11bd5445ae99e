// SPDX-License-Identifier: Apache-2.0

package control

import "time"

const (
	// maxQuestion is in bytes. An event has at most 64 KiB; escapes can make its JSON six times as long.
	maxQuestion = 1 << 20

	// maxAnswer is in bytes: the state of the largest rooms, some 100,000 events of 1 to 2 KB.
	maxAnswer = 1 << 30

	// headerTime is how long a client may take to say what it wants.
	headerTime = 10 * time.Second

	// drainTime is how long operations under way may go on when the server stops. A join can take minutes; it is broken off.
	drainTime = 5 * time.Second

	// maxWait is how long a question may wait for an event, and lookAgain how often it looks when there is no news.
	maxWait   = time.Hour
	lookAgain = time.Second

	// probeTime is how long a socket file that is in the way may take to show that a server lives behind it.
	probeTime = 2 * time.Second
)
