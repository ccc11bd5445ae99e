// SPDX-License-Identifier: Apache-2.0

package trace

import "time"

// TransportSent is one request to another server, at its end.
type TransportSent struct {
	Destination string
	Method      string
	// Path is the escaped path without the query.
	Path string
	// Step is the step of server name resolution that gave the address, "" with a given round tripper or before it was known.
	Step string
	// Status is the HTTP status, 0 when no reply came.
	Status int
	// Class is the failure class, "" for success.
	Class string
	// Error is the failure in words, "" for success.
	Error string
	// Sent and Received are the sizes of the bodies in bytes.
	Sent, Received int
	Took           time.Duration
}

// Kind is "transport.sent".
func (TransportSent) Kind() string { return "transport.sent" }

// TransportServed is one request of another server, after its reply was written.
type TransportServed struct {
	// Origin is the verified origin, "" for open endpoints and for requests refused before their signature was checked.
	Origin string
	Method string
	// Route is the pattern of the endpoint, "" when none matched: a closed set, fit for a metric's label.
	Route  string
	Remote string
	Status int
	// Code is the errcode of an error reply.
	Code string
	// Reason is why the request was refused, in words.
	Reason string
	Took   time.Duration
}

// Kind is "transport.served".
func (TransportServed) Kind() string { return "transport.served" }

// TransportPanic is a handler that panicked: a defect of ours. The request was answered with status 500.
type TransportPanic struct {
	Route string
	Value string
	Stack string
}

// Kind is "transport.panic".
func (TransportPanic) Kind() string { return "transport.panic" }

// TransportConnection is trouble with a connection that no request tells of: with an inbound one before there was any, such as a failed
// TLS handshake, or with an outbound one that rests.
type TransportConnection struct {
	Message string
}

// Kind is "transport.connection".
func (TransportConnection) Kind() string { return "transport.connection" }

// TransportWellKnown is one request for a server's well-known document.
type TransportWellKnown struct {
	Host string
	// Delegated is the server name in use from now on, "" for none.
	Delegated string
	// Note is why an answer was passed over.
	Note  string
	Until time.Time
	Took  time.Duration
}

// Kind is "transport.wellknown".
func (TransportWellKnown) Kind() string { return "transport.wellknown" }
