// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
)

// Kind says what sort of error it is, for exit codes and programs. The set is closed.
type Kind string

// The kinds.
const (
	Usage       Kind = "usage"       // the question is faulty; it will fail in the same way again
	NotFound    Kind = "not_found"   // what it is about does not exist here, or at the server that was asked
	Refused     Kind = "refused"     // the rules of a room, or another server, say no
	Unreachable Kind = "unreachable" // our server, or the other one that is needed, does not answer
	Denied      Kind = "denied"      // no right to talk to our server, or our signature is not accepted
	Failed      Kind = "failed"      // everything else
)

// statuses are the HTTP statuses of answers that are errors.
var statuses = map[Kind]int{
	Usage: http.StatusBadRequest, NotFound: http.StatusNotFound, Refused: http.StatusConflict,
	Unreachable: http.StatusBadGateway, Denied: http.StatusForbidden, Failed: http.StatusInternalServerError,
}

// Error is an error as it travels.
type Error struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	// Check and Rule say what refused an event, as in P-29 and P-47; "" for other errors.
	Check string `json:"check,omitempty"`
	Rule  string `json:"rule,omitempty"`
	// Class and Code are the failure class and errcode of another server's refusal; "" for other errors.
	Class string `json:"class,omitempty"`
	Code  string `json:"errcode,omitempty"`
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// usage makes an error about the question.
func usage(err error) error { return &Error{Kind: Usage, Message: err.Error()} }

// Explain gives any error of this repository its kind, and what else a program may want to know of it.
func Explain(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	e := &Error{Kind: kindOf(err), Message: err.Error()}
	var refused *pdu.NotAllowed
	if errors.As(err, &refused) {
		check := refused.Verdict.Decisive()
		e.Check, e.Rule = check.ID, check.Rule
	}
	var failure *transport.Failure
	if errors.As(err, &failure) {
		e.Class, e.Code = string(failure.Class), string(failure.Code)
	}
	return e
}

func kindOf(err error) Kind {
	var refused *pdu.NotAllowed
	var failure *transport.Failure
	var unsigned *pdu.PolicyError
	var malformed *event.FormatError // of an event that was to be made: peers' are verdicts
	switch {
	case errors.Is(err, inspect.ErrQuery), errors.Is(err, messaging.ErrNotOurs), errors.Is(err, messaging.ErrNoServer):
		return Usage
	case errors.As(err, &malformed):
		return Usage
	case errors.Is(err, inspect.ErrNotFound), errors.Is(err, pdu.ErrUnknownRoom), errors.Is(err, pdu.ErrUnknownEvent),
		errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.As(err, &refused), errors.Is(err, pdu.ErrNotJoined), errors.Is(err, pdu.ErrAccepted):
		return Refused
	case errors.As(err, &unsigned) && unsigned.Refused:
		return Refused
	case errors.As(err, &unsigned):
		return Unreachable
	case errors.As(err, &failure) && failure.Code == spec.ErrorNotFound:
		return NotFound
	case errors.As(err, &failure):
		return kindOfFailure(failure.Class)
	case errors.Is(err, context.DeadlineExceeded):
		return Unreachable
	case errors.Is(err, fs.ErrPermission):
		return Denied
	}
	return Failed
}

// kindOfFailure sorts what can go wrong with another server.
func kindOfFailure(class transport.Class) Kind {
	switch class {
	case transport.ClassWellKnown, transport.ClassSRV, transport.ClassDNS, transport.ClassDial, transport.ClassTLS,
		transport.ClassTimeout, transport.ClassResting, transport.Class429, transport.Class5xx, transport.ClassNotJSON:
		return Unreachable
	case transport.Class4xxAuth:
		return Denied
	case transport.Class4xxContent, transport.ClassPolicy:
		return Refused
	}
	return Failed
}
