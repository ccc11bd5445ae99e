// SPDX-License-Identifier: Apache-2.0

package media

import "time"

const (
	// DefaultMaxUpload is Policy.MaxUpload: that of Synapse.
	DefaultMaxUpload = 50 << 20
	// DefaultMaxRemote is Policy.MaxRemote: what most servers allow their users.
	DefaultMaxRemote = 100 << 20
	// DefaultCacheSize is Policy.CacheSize.
	DefaultCacheSize = 10 << 30

	// DefaultPictureMemory is Policy.PictureMemory: a JPEG picture of 64 million pixels, or a progressive one of 21.
	DefaultPictureMemory = 512 << 20
	// pictureTime is for the decoding of one picture; 64 million pixels take some 3 s. A file can be made that takes hours: a progressive
	// JPEG may go over all of its pixels once more for each 39 bytes.
	pictureTime = 10 * time.Second

	// unusedTime is how long an id that was given out may wait for its content; as in Synapse; maxUnused how many of one
	// user wait, of which Synapse has 5: clients that send many pictures at once ask for that many ids first.
	unusedTime = 24 * time.Hour
	maxUnused  = 20
	// maxWait caps timeout_ms of clients (M-84), as in Synapse.
	maxWait = time.Minute

	// What is done at one time: uploads of a user, downloads from a server; and how many of each wait in line. Pictures are decoded on all
	// processors but one.
	userUploads, allUploads   = 4, 64
	serverFetches, allFetches = 8, 64
	maxInLine                 = 256
	evictAtOnce               = 100       // rows in one job
	expireEvery               = time.Hour // what is too old is looked for
	touchEvery                = time.Hour // how exact it is known when content of the cache was used
	maxType, maxName          = 255, 255  // bytes kept of a media type and of the name of a file
)
