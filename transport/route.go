// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Route is one endpoint of a Server.
type Route struct {
	Method string
	// Pattern is a path whose segments are literal or ":name", such as "/_matrix/federation/v1/send/:txnID". A pattern without
	// names is matched before those with; two patterns that could match one path otherwise are refused by NewServer.
	Pattern string
	// Open lets requests in without X-Matrix. Their Origin is empty, also when they are signed.
	Open bool
	// MaxBody is the cap of the body in bytes, 0 for DefaultMaxBody.
	MaxBody int64
	// Foreign is for bodies with pieces by other hands than their sender's: what is wrong within a piece does not refuse the
	// request, see canonicaljson.Foreign.
	Foreign bool
	// Handle answers. The context ends when the reply is written, at the latest after ServerLimits.HandleTime. An *Error is sent as it
	// is; any other error becomes a 500 that tells the peer nothing.
	Handle func(ctx context.Context, r *Request) (Reply, error)
}

// Request is a request that has passed every check of this package.
type Request struct {
	Origin ident.ServerName // verified; "" on open routes
	Method string
	URI    string            // path and query as sent
	Params map[string]string // of the pattern, unescaped, never empty
	Query  url.Values
	// Body is a JSON object in canonical form, every number as sent; nil when a GET or DELETE had none.
	Body []byte
	JSON canonicaljson.Value // Body, parsed
}

// Reply is the answer to a request.
type Reply struct {
	Status int    // 0 is 200
	Body   []byte // JSON; nil is {}
	// Type is the Content-Type, "" for JSON. With another one there is a Stream.
	Type string

	// Stream, when it is not nil, writes the body piece by piece in place of Body, so that a large one is never held whole. It runs
	// after Handle, on the same goroutine, unless the reply is thrown away. When it fails, what it has written must not be a whole body
	// of its type: then the peer knows that it has not got all.
	Stream func(w io.Writer) error
}

// JSON is the reply with v in JSON and status 200.
func JSON(v any) (Reply, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return Reply{}, fmt.Errorf("encode reply: %w", err)
	}
	return Reply{Body: body}, nil
}

// Error is an error reply.
type Error struct {
	Status  int
	Code    spec.MatrixErrorCode
	Message string
	// RetryAfter, when positive, is sent as Retry-After and retry_after_ms.
	RetryAfter time.Duration
	// Extra are further members, such as room_version with M_INCOMPATIBLE_ROOM_VERSION.
	Extra map[string]any
}

func (e *Error) Error() string {
	return fmt.Sprintf("%d %s: %s", e.Status, e.Code, e.Message)
}

// body is the error as JSON. Members that cannot be encoded are left out rather than the error.
func (e *Error) body() []byte {
	members := make(map[string]any, len(e.Extra)+3)
	for name, value := range e.Extra {
		members[name] = value
	}
	if e.RetryAfter > 0 {
		members["retry_after_ms"] = e.RetryAfter.Milliseconds()
	}
	members["errcode"], members["error"] = e.Code, e.Message
	encoded, err := json.Marshal(members)
	if err != nil {
		encoded, _ = json.Marshal(map[string]any{"errcode": e.Code, "error": e.Message}) // two strings always encode
	}
	return encoded
}

// The refusals of this package.
func errUnrecognized(status int, message string) *Error {
	return &Error{Status: status, Code: spec.ErrorUnrecognized, Message: message}
}

func errUnauthorized(message string) *Error {
	return &Error{Status: http.StatusUnauthorized, Code: CodeUnauthorized, Message: message}
}

func errBusy(message string) *Error {
	const pause = 2 * time.Second // requests are short: by then most of those running have ended
	return &Error{Status: http.StatusTooManyRequests, Code: spec.ErrorLimitExceeded, Message: message, RetryAfter: pause}
}

// errForbidden is for servers that we do not federate with.
var errForbidden = &Error{Status: http.StatusForbidden, Code: spec.ErrorForbidden, Message: "this server does not federate with yours"}

// errInternal is all that a peer learns of a defect of ours.
var errInternal = &Error{Status: http.StatusInternalServerError, Code: spec.ErrorUnknown, Message: "internal error"}
