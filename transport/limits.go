// SPDX-License-Identifier: Apache-2.0

package transport

import "time"

// Sizes and times that a peer cannot stretch. Those of ClientLimits and ServerLimits can be configured; a zero field means the
// value given here.
const (
	// DefaultMaxReply is the cap of a reply, in bytes after decompression, when a Call names none. A backfill of 100 full-size
	// events is 6.4 MiB; callers that ask for the state of a room allow more.
	DefaultMaxReply = 16 << 20
	// DefaultMaxBody is the cap of a request body when a Route names none. 50 PDUs and 100 EDUs of 64 KiB are 9.4 MiB.
	DefaultMaxBody = 10 << 20
	// MaxBodyValues is how many values a request body may hold, commas counted, whoever sent
	// them: parsing takes memory for each. 50 PDUs that are lists of power levels to the last byte have 220,000.
	MaxBodyValues = 300_000
	// MaxRetryAfter caps what a peer may make us wait by a 429: the longest back-off that servers use of themselves.
	MaxRetryAfter = 24 * time.Hour

	// DefaultOriginRequests and DefaultOriginWaiting are the defaults of ServerLimits' fields. Synapse has 3 and 50.
	DefaultOriginRequests = 4
	DefaultOriginWaiting  = 50

	// maxInLine is how long a request waits for its turn behind others of its origin: well within the 60 s for which peers wait.
	maxInLine = 20 * time.Second
	// slowStart is how long a client may take to begin with its body or with taking its reply, and minRate how many bytes in a
	// second it must then come to, on average: what is slower than a telephone line is there to hold our memory. BodyTime and
	// WriteTime hold besides.
	slowStart = 10 * time.Second
	minRate   = 16 << 10
	// lastBytes is how long a server that stops waits for the next bytes of a body: clients that go on sending are heard.
	lastBytes = time.Second
	// bodyValue is what parsing takes of memory for a value in a body, at most, besides the text.
	bodyValue = 100
	// coresForOthers is how many cores are left to what takes no turns: the network, the rooms, the store. Where all are busy with requests
	// nobody looks what has arrived, and each step of a request waits up to 10 ms for that. BenchmarkFlood: beside eight flooding
	// origins a request takes 10 to 13 times the processor time that it takes alone, and 82 times without turns.
	coresForOthers = 1

	maxErrorReply  = 64 << 10 // bytes read of a reply other than 2xx: errcode and error
	maxKeyReply    = 256 << 10
	maxKeyQuery    = 256 << 10 // bytes of a request to us as a notary: 2 KiB for each server
	maxHeaderBytes = 32 << 10  // both directions; one X-Matrix header is under 1 KiB
	maxCredentials = 8         // Authorization headers looked at: one per signing key
	maxMessage     = 1 << 10   // bytes kept of a peer's error text

	// forgetAfter is the age below which an address is kept although nobody answered at it, as in package discovery.
	forgetAfter = 5 * time.Minute
)

// ClientLimits bound what one Client spends.
type ClientLimits struct {
	// Timeout is for a whole request, from resolution to the last byte of the reply. 60 s, as in Synapse.
	Timeout time.Duration
	// IdleConnections is how many connections are kept for later, over all servers. 2048: at 24 KiB each, 48 MiB.
	IdleConnections int
	// IdlePerServer is how many of them lead to one server; one speaks HTTP/2 and suffices. 2.
	IdlePerServer int
	// IdleTime is how long. 2 minutes.
	IdleTime time.Duration
	// ConnectionsPerServer bounds connections to servers without HTTP/2, and there the requests at one time. 8.
	ConnectionsPerServer int
	// Silence is how long a server may say nothing in the middle of a reply, whatever time the whole may take. 25 s, as in tuwunel.
	Silence time.Duration
}

func (l ClientLimits) orDefault() ClientLimits {
	return ClientLimits{
		Timeout:              positive(l.Timeout, 60*time.Second),
		IdleConnections:      positive(l.IdleConnections, 2048),
		IdlePerServer:        positive(l.IdlePerServer, 2),
		IdleTime:             positive(l.IdleTime, 2*time.Minute),
		ConnectionsPerServer: positive(l.ConnectionsPerServer, 8),
		Silence:              positive(l.Silence, 25*time.Second),
	}
}

// ServerLimits bound what all peers together can take of one Server. Of what is shared, no party gets more than it leaves to the
// others: an address while a request is not verified, its origin then.
type ServerLimits struct {
	// Connections is how many are open at one time. 4096.
	Connections int
	// Unverified is how many requests at one time are being received or have not proven their origin, those that need not
	// included. 1024.
	Unverified int
	// Requests is how many verified requests are worked on, wait, or are being answered at one time. 512.
	Requests int
	// OriginRequests is how many requests of one origin are worked on at one time: rc_federation.concurrent. DefaultOriginRequests.
	OriginRequests int
	// OriginWaiting is how many more of one origin wait before others are refused: rc_federation.reject_limit. DefaultOriginWaiting.
	OriginWaiting int
	// Memory is for bodies that are being received and worked on, in bytes, and as much again for replies that peers take. 256 MiB.
	Memory int64
	// HeaderTime and BodyTime are how long a client may take to send these. 10 s and 60 s.
	HeaderTime, BodyTime time.Duration
	// HandleTime is for a request, from its header to the reply: the deadline of the handler's context. 5 minutes, as long as
	// patient peers wait.
	HandleTime time.Duration
	// WriteTime is how long a client may take to receive its reply. 5 minutes: the state of a large room is 100 MiB.
	WriteTime time.Duration
	// IdleTime is how long a connection may rest between requests. 3 minutes.
	IdleTime time.Duration
	// DrainTime is how long running requests may go on when the server stops. 30 s.
	DrainTime time.Duration
}

func (l ServerLimits) orDefault() ServerLimits {
	return ServerLimits{
		Connections:    positive(l.Connections, 4096),
		Unverified:     positive(l.Unverified, 1024),
		Requests:       positive(l.Requests, 512),
		OriginRequests: positive(l.OriginRequests, DefaultOriginRequests),
		OriginWaiting:  positive(l.OriginWaiting, DefaultOriginWaiting),
		Memory:         positive(l.Memory, 256<<20),
		HeaderTime:     positive(l.HeaderTime, 10*time.Second),
		BodyTime:       positive(l.BodyTime, time.Minute),
		HandleTime:     positive(l.HandleTime, 5*time.Minute),
		WriteTime:      positive(l.WriteTime, 5*time.Minute),
		IdleTime:       positive(l.IdleTime, 3*time.Minute),
		DrainTime:      positive(l.DrainTime, 30*time.Second),
	}
}

func positive[N int | int64 | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}
