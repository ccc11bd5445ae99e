// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/strata-matrix/strata/transport/ident"
)

// Route is one endpoint of the Client-Server API.
type Route struct {
	Method string
	// Pattern is a path as http.ServeMux takes them, "/_matrix/client/v3/rooms/{roomID}/send/{type}/{txnID}"; "/{$}" at its end is a
	// path that ends with a slash.
	Pattern string
	// Open lets in who has no access token, or one that is not valid. Who has one is known all the same.
	Open bool
	// MaxBody is the cap of the body in bytes, 0 for DefaultMaxBody.
	MaxBody int64
	// Raw leaves the body to Handle, in Request.Reader: for what is not JSON.
	Raw bool
	// Handle answers. An *Error is sent as it is; any other becomes a 500 that tells the client nothing. The context ends when the
	// client goes away.
	Handle func(ctx context.Context, r *Request) (Reply, error)
}

// Caller is who asks. The zero value is nobody: on open routes only.
type Caller struct {
	User   ident.UserID
	Device string
	Admin  bool
	Guest  bool
	Token  string // the access token itself
}

// Tokens knows whose access tokens are.
type Tokens interface {
	// Caller tells whose token it is; an *Error, 401 M_UNKNOWN_TOKEN, if it is nobody's.
	Caller(ctx context.Context, token string) (Caller, error)
}

// Witness looks at who comes in.
type Witness interface {
	// Seen is told of each request of a caller, and the address that it comes from, HOST:PORT. It must not wait.
	Seen(caller Caller, remote string)
}

// Request is a request that has passed every check of this package.
type Request struct {
	Caller
	Method string
	Query  url.Values
	Header http.Header
	Remote string    // the client's address, as far as it is known
	Body   []byte    // a JSON object; nil when there was none, with GET, and with Raw
	Reader io.Reader // with Raw: the body, bounded by MaxBody

	path func(name string) string
}

// Param is a part of the path by its name in the pattern, unescaped.
func (r *Request) Param(name string) string { return r.path(name) }

// Decode reads the body, a JSON object, into a struct. A body that is missing is an empty object: what a request needs, its handler
// asks for.
func (r *Request) Decode(into any) error {
	if len(r.Body) == 0 {
		return nil
	}
	err := json.Unmarshal(r.Body, into)
	var mistyped *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mistyped):
		return BadJSON("%s: a %s is out of place there", mistyped.Field, mistyped.Value)
	}
	return BadJSON("%v", err)
}

// Object gives the body as it came, once it is known to be a JSON object: for content that is handed on.
func (r *Request) Object() (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := r.Decode(&members); err != nil {
		return nil, err
	}
	if members == nil {
		return json.RawMessage("{}"), nil
	}
	return r.Body, nil
}

// Int is a number of the query: absent when it is not given, an *Error when it is none or less than 0.
func (r *Request) Int(name string, absent int) (int, error) {
	text := r.Query.Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, InvalidParam("%s: %q is not a number of 0 or more", name, text)
	}
	return n, nil
}

// Reply is the answer to a request.
type Reply struct {
	Status int // 0 is 200
	Header http.Header
	Body   []byte // JSON, or what Header's Content-Type says; nil is {}

	// Stream, when it is not nil, writes the body piece by piece in place of Body.
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
