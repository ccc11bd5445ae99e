// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// refusal puts what the layers below answer into the words of the Client-Server API. What is none of a client's business stays as it
// is, and becomes a 500.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*api.Error](err); ok {
		return err
	}
	if notAllowed, ok := errors.AsType[*pdu.NotAllowed](err); ok {
		decisive := notAllowed.Verdict.Decisive()
		if decisive.Rule == "P-40" || decisive.Rule == "R-22" { // nobody could ever send it, whatever their power
			return api.BadJSON("the rules of the room refuse it: %s", decisive.Detail)
		}
		return api.Forbidden("the rules of the room refuse it: %s", decisive.Detail)
	}
	if policy, ok := errors.AsType[*pdu.PolicyError](err); ok {
		return policyRefusal(policy)
	}
	if ours, ok := errors.AsType[*transport.Error](err); ok {
		return &api.Error{Status: ours.Status, Code: string(ours.Code), Message: ours.Message, RetryAfter: ours.RetryAfter, Extra: ours.Extra}
	}
	if failure, ok := errors.AsType[*transport.Failure](err); ok {
		return remoteRefusal(failure)
	}
	return plainRefusal(err)
}

// plainRefusal is for errors that carry nothing but what they are.
func plainRefusal(err error) error {
	switch {
	case errors.Is(err, pdu.ErrUnknownRoom), errors.Is(err, pdu.ErrNotJoined):
		return api.Forbidden("you are not in the room")
	case errors.Is(err, messaging.ErrNoServer):
		return api.NotFound("no server is known that is in the room")
	case errors.Is(err, messaging.ErrInviteBlocked):
		return &api.Error{Status: http.StatusForbidden, Code: "M_INVITE_BLOCKED", Message: "the user takes no invitations"}
	case errors.Is(err, messaging.ErrInviteRefused):
		return api.Forbidden("the user cannot be invited")
	case errors.Is(err, pdu.ErrUnknownEvent):
		return api.NotFound("no such event")
	}
	if malformed, ok := errors.AsType[*event.FormatError](err); ok {
		if malformed.Rule == "P-01" || malformed.Rule == "P-02" {
			return &api.Error{Status: http.StatusRequestEntityTooLarge, Code: "M_TOO_LARGE", Message: malformed.Detail}
		}
		return api.BadJSON("%s", malformed.Detail)
	}
	if syntax, ok := errors.AsType[*canonicaljson.SyntaxError](err); ok {
		return api.BadJSON("the content is no canonical JSON: %s", syntax.Reason)
	}
	return err
}

// policyRefusal is for what a room's policy server did not sign: its words, where it had some (M-104).
func policyRefusal(policy *pdu.PolicyError) *api.Error {
	if policy.Refused && policy.Status >= 400 && policy.Status < 500 {
		return &api.Error{
			Status: policy.Status, Code: string(cmp.Or(policy.Code, "M_FORBIDDEN")),
			Message: cmp.Or(policy.Message, "the room's policy server does not want the event"),
		}
	}
	if policy.Refused {
		return api.Forbidden("the room's policy server does not want the event")
	}
	return &api.Error{Status: http.StatusBadGateway, Code: "M_UNKNOWN", Message: "the room's policy server cannot be asked"}
}

// remoteRefusal is for what another server answered. A refusal of the user is handed on. That we have asked wrongly is no fault of
// the client's (M-16), and that nobody answered is none either.
func remoteRefusal(failure *transport.Failure) *api.Error {
	own := failure.Code == "M_MISSING_PARAM" || failure.Code == "M_INVALID_PARAM"
	switch {
	case own || failure.Code == "":
	case failure.Status == http.StatusBadRequest, failure.Status == http.StatusForbidden, failure.Status == http.StatusNotFound:
		return &api.Error{Status: failure.Status, Code: string(failure.Code), Message: failure.Message}
	case failure.Status == http.StatusTooManyRequests:
		return &api.Error{Status: failure.Status, Code: "M_LIMIT_EXCEEDED", Message: failure.Message, RetryAfter: failure.RetryAfter}
	}
	return &api.Error{Status: http.StatusBadGateway, Code: "M_UNKNOWN", Message: "the other server has not done it: " + string(failure.Class)}
}
