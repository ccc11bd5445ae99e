// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/dns"
)

// Class says at which point a request to another server came to grief. The set is closed: it labels metrics and drives back-off.
type Class string

// The classes, in the order in which a request passes the points.
const (
	// ClassPolicy: we refused. The name or path is invalid, the name is our own or that of a server that we do not federate with, or
	// it leads to an address that we do not connect to.
	ClassPolicy Class = "policy"
	// ClassWellKnown: the host answered the well-known request with something unusable, and where the resolution went on
	// from there nobody answered either.
	ClassWellKnown Class = "wellknown"
	// ClassSRV: the SRV look-up failed, or says that there is no such service, or leads to an alias.
	ClassSRV Class = "srv"
	// ClassDNS: the hostname has no address, or the look-up failed.
	ClassDNS Class = "dns"
	// ClassDial: no connection, or it broke before the reply was complete.
	ClassDial Class = "dial"
	// ClassTLS: the handshake failed or the certificate is not good.
	ClassTLS Class = "tls"
	// ClassTimeout: a deadline of ours passed.
	ClassTimeout Class = "timeout"
	// Class429: the peer asks us to slow down; see Failure.RetryAfter.
	Class429 Class = "http429"
	// Class4xxAuth: the peer does not accept our signature (401, or M_UNAUTHORIZED under another status).
	Class4xxAuth Class = "http4xx_auth"
	// Class4xxContent: a Matrix error about what was asked.
	Class4xxContent Class = "http4xx_content"
	// Class5xx: the peer, or the proxy in front of it, is in trouble.
	Class5xx Class = "http5xx"
	// ClassNotJSON: the reply is not of a Matrix server: no JSON, an error without errcode, a redirect, or longer than the
	// cap. It is no verdict on what was asked.
	ClassNotJSON Class = "not_json"
	// ClassResting: we did not ask, since the server did not answer a moment ago; see Circuit.
	ClassResting Class = "resting"
	// ClassCanceled: the caller gave up.
	ClassCanceled Class = "canceled"
)

// Phase is how far a request came before it failed: with ClassTimeout, what did not end in time.
type Phase string

// The phases, in their order.
const (
	PhaseResolve Phase = "resolve" // where the server is
	PhaseConnect Phase = "connect" // look-up of addresses, connection and handshake
	PhaseSend    Phase = "send"    // the connection stands, the request is not written yet
	PhaseReply   Phase = "reply"   // the request is written: the peer may have worked on it
)

// CodeUnauthorized and CodeTooLarge complete the error codes of package spec.
const (
	CodeUnauthorized spec.MatrixErrorCode = "M_UNAUTHORIZED"
	CodeTooLarge     spec.MatrixErrorCode = "M_TOO_LARGE"
)

// Failure is the error of Client.Do, found with errors.As.
type Failure struct {
	Class Class
	// Phase is how far the request had come, "" when the network is not ours and does not tell.
	Phase Phase
	// Status is the HTTP status, 0 when there was no reply.
	Status int
	// Code and Message are errcode and error of a Matrix error reply. Unlike other texts, Message is the peer's.
	Code    spec.MatrixErrorCode
	Message string
	// RetryAfter is how long the peer asks us to wait, at most MaxRetryAfter; 0 when it does not say.
	RetryAfter time.Duration
	// Err is the cause below HTTP, or says what is wrong with the reply; nil for a Matrix error reply.
	Err error
}

// Error begins with the class.
func (f *Failure) Error() string {
	var b strings.Builder
	b.WriteString(string(f.Class))
	if f.Status != 0 {
		fmt.Fprintf(&b, ": status %d", f.Status)
	}
	if f.Code != "" {
		fmt.Fprintf(&b, ": %s: %q", f.Code, f.Message)
	}
	if f.Err != nil {
		fmt.Fprintf(&b, ": %v", f.Err)
	}
	return b.String()
}

// Unwrap gives Err.
func (f *Failure) Unwrap() error { return f.Err }

// Gone tells whether the server looks gone for good rather than down: its name is not in the DNS, it says that it offers no
// federation, or it answers 410.
func (f *Failure) Gone() bool {
	return f.Status == http.StatusGone || errors.Is(f.Err, discovery.ErrNoService) || errors.Is(f.Err, dns.ErrNoAddress)
}

// classified marks an error with the class of the point at which it arose, for failureOf to find through net/http.
type classified struct {
	class Class
	err   error
}

func (c *classified) Error() string { return c.err.Error() }
func (c *classified) Unwrap() error { return c.err }

// failureOf classes an error that left us without a reply. The caller's context is asked first: after it ended, every other
// error is its consequence.
func failureOf(ctx context.Context, err error) *Failure {
	var failure *Failure
	if errors.As(err, &failure) {
		return failure
	}
	return &Failure{Class: classOf(ctx, err), Err: err}
}

func classOf(ctx context.Context, err error) Class {
	marked := &classified{}
	var timeout net.Error
	switch _ = errors.As(err, &marked); {
	case errors.Is(ctx.Err(), context.Canceled):
		return ClassCanceled
	case ctx.Err() != nil:
		return ClassTimeout
	case marked.class == ClassPolicy, marked.class == ClassSRV, marked.class == ClassDNS: // also when it timed out
		return marked.class
	case marked.class == ClassTimeout, errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return ClassTimeout
	case marked.class == ClassTLS, isTLS(err):
		return ClassTLS
	default:
		return ClassDial
	}
}

// classOfResolution classes an error of discovery.Resolver.
func classOfResolution(err error) Class {
	if errors.Is(err, discovery.ErrInvalidName) {
		return ClassPolicy
	}
	return ClassSRV
}

func isTLS(err error) bool {
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var hostname x509.HostnameError
	return errors.As(err, &certificate) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &hostname)
}

// classOfStatus classes a reply other than 2xx with a body of the given code, "" when it is not a Matrix error.
func classOfStatus(status int, code spec.MatrixErrorCode) Class {
	switch {
	case status == http.StatusTooManyRequests:
		return Class429
	case status >= 500:
		return Class5xx
	case status < 400 || code == "":
		return ClassNotJSON
	case status == http.StatusUnauthorized || code == CodeUnauthorized:
		return Class4xxAuth
	default:
		return Class4xxContent
	}
}
