// SPDX-License-Identifier: Apache-2.0

package messaging

import "time"

const (
	// maxJoinReply is the cap of a send_join reply in bytes: the state of the largest rooms with its auth chain. Synapse, for
	// one, takes replies of 500 MB.
	maxJoinReply = 500 << 20

	// maxJoinEvents is how many events the state and the auth chain in it may have each; the largest known rooms have some 100,000.
	maxJoinEvents = 200_000

	// joinTimeout is for a whole send_join: a resident has minutes of work with a large room, and patient peers give it so
	// many.
	joinTimeout = 10 * time.Minute

	// A join whose answer was lost is handed over again so often, after a wait that doubles: long enough for a connection that broke,
	// short enough for the user who waits.
	maxJoinRepeats  = 2
	repeatJoinAfter = 2 * time.Second

	// maxServersInRoom is how many servers of a partial room are taken from a resident's word (M-10), all of whom will be sent to:
	// the largest rooms have some 15,000.
	maxServersInRoom = 20_000

	// handedOverPatience is how long a join or leave that another server has taken is waited for to take effect here.
	handedOverPatience = time.Minute
	handedOverPoll     = time.Second

	// takeBackTimeout is for telling a server that a join which it has taken came to nothing.
	takeBackTimeout = 30 * time.Second

	// rejectPatience is how long other servers are asked to take the rejection of an invitation before it ends here only.
	rejectPatience = 30 * time.Second

	// maxCandidates is how many servers one join or leave asks. A room's alias names a handful.
	maxCandidates = 10

	// maxInviteBody is the cap in bytes of an invitation with what it shows of the room, and of what a room shows to who knocks: some ten
	// events of mostly a few hundred bytes.
	maxInviteBody = 1 << 20

	// maxPreview is how many events a room may show to those outside: the specification names seven, and the inviter.
	maxPreview = 50

	// previewPatience is how long the keys are waited for that those are signed with: the inviter waits a minute for the answer.
	previewPatience = 20 * time.Second

	// maxInvitesVia is how many invitations of a user by one server are kept that were not answered, or have just ended.
	maxInvitesVia = 200

	// inviteMemory is how long an invitation that has ended is remembered: no request is longer on its way.
	inviteMemory = time.Hour

	// maxBindings is how many invitations an identity server tells of at once, and maxBindingBody the cap in bytes of what it says.
	maxBindings    = 20
	maxBindingBody = 256 << 10

	// maxValidityAsked is how many keys of a third-party invite are asked about whether they are still valid: an identity server gives
	// two. The answer is a few bytes.
	maxValidityAsked = 4
	maxValidityReply = 64 << 10
	validityPatience = 10 * time.Second

	// maxCosignatures is how many signatures are taken from a server that is to sign an invitation: one for each of its keys.
	maxCosignatures = 8

	// maxAllow is how many conditions of a restricted room are looked at (M-13). An event of 64 KiB holds some 800.
	maxAllow = 1000

	// maxVersions is how many ver parameters of a make_join are looked at (M-02): the stable versions are 12.
	maxVersions = 200

	// subscriptionBatch is how many events a subscription reads at a time.
	subscriptionBatch = 100

	// maxSubscriptionName is in bytes. Names that begin with ownSubscriptions are the server's own.
	maxSubscriptionName = 255
	ownSubscriptions    = "strata/"

	// saveCursorEvery is how often a subscription's cursor is made durable: what a crash can repeat is the callbacks of that time.
	saveCursorEvery = time.Second

	// The wait before a callback that failed gets its event again doubles from one failure to the next.
	callbackRetryFirst = time.Second
	callbackRetryMax   = time.Minute

	// defaultMediaWait is how long an upload is waited for when nothing is said (E-34), maxPeerWait how long at most for a server: its
	// place among those that are worked on is taken meanwhile. maxPeerWaits of them may wait for one server, of DefaultOriginRequests.
	defaultMediaWait = 20 * time.Second
	maxPeerWait      = 20 * time.Second
	maxPeerWaits     = 2

	// defaultMaxMedia is the cap of content of other servers in bytes. Synapse and its large installations have 50 to 200 MiB.
	defaultMaxMedia = 100 << 20

	// mediaTimeout is for a whole download: defaultMaxMedia at 350 KiB in a second.
	mediaTimeout = 5 * time.Minute

	// maxPartsHead is what may stand before the content in a multipart reply, and as much after it: two headers and the metadata.
	maxPartsHead = 64 << 10

	// maxBoundary is that of RFC 2046 §5.1.1.
	maxBoundary = 70

	// maxMediaHeader is the longest media type or disposition that is handed on, in bytes: a file name of 255 characters, escaped.
	maxMediaHeader = 4 << 10

	// maxThumbnailSide is what larger sides of thumbnails are taken for.
	maxThumbnailSide = 1 << 16

	// maxReceipts and maxPresence are how many of them one EDU may hold. Synapse sends a receipt by itself and 50 users' presence at once.
	maxReceipts = 5000
	maxPresence = 1000

	// maxThreadID is in bytes; event ids have at most 255.
	maxThreadID = 255

	// maxStatus is in bytes, and maxInactive where numbers of milliseconds end: a status is a line, and nobody is asked about longer ago.
	maxStatus   = 4096
	maxInactive = 100 * 365 * 24 * time.Hour

	// maxToDeviceType, maxMessageID and maxDeviceID are in bytes. Event types have at most 255. The specification allows message ids of
	// 32 code points; who uses longer ones would lose keys for nothing.
	maxToDeviceType = 255
	maxMessageID    = 255
	maxDeviceID     = 255

	// maxSeenToDevice is how many messages to devices are remembered of a server, so as not to deliver one twice: of the busiest those
	// of some hours.
	maxSeenToDevice = 100_000

	// maxToDeviceBytes is where a message to devices is split: as Synapse does it, so that no transaction is full of one.
	maxToDeviceBytes = 64 << 10

	// maxDeviceStreams is how many updates of a user's device list are remembered, to know those that others refer to (M-58).
	maxDeviceStreams = 50

	// maxDevices is how many devices a user may have: bots that never log out have thousands.
	maxDevices = 10_000

	// maxKeyUsers is how many users one question for keys may be about.
	maxKeyUsers = 10_000

	// maxKeyObject is the longest object of keys with its signatures, in bytes.
	maxKeyObject = 64 << 10

	// maxDisplayName is in bytes; Synapse takes 100 characters.
	maxDisplayName = 1024

	// How device lists are fetched of which updates are missing: so many at once, each within devicesTimeout, and again after a wait that
	// doubles.
	maxDeviceFetches  = 8
	maxDevicesReply   = 32 << 20
	devicesTimeout    = 30 * time.Second
	devicesRetryFirst = 10 * time.Second
	devicesRetryMax   = 6 * time.Hour
	// maxOldLists is how many answers older than what was heard in between are passed over.
	maxOldLists = 5

	// What is asked of other servers on behalf of somebody who waits: answers that are one line, and lists of rooms.
	queryTimeout  = 20 * time.Second
	maxQueryReply = 1 << 20
	maxListReply  = 10 << 20

	// maxAliasServers is how many servers an alias leads over, both ways: a join asks ten of them.
	maxAliasServers = 100

	// maxPublicRooms is how many rooms of our directory are on a page, and maxRoomTypes how many types a question may name.
	maxPublicRooms = 500
	maxRoomTypes   = 100

	// maxSpaceChildren is how many rooms of a space are shown, and taken from others; the largest known spaces have some hundreds.
	maxSpaceChildren = 1000
)
