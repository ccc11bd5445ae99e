// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// inbound is one request on its way to the handler, on the goroutine that serves it. The checks run in the order in which they
// cost: nothing is read before the header is plausible, no key is fetched before the body is in order, and no share of the
// server is taken before we know whose.
type inbound struct {
	server *Server
	writer http.ResponseWriter
	http   *http.Request
	match  match
	origin ident.ServerName // once verified
}

func (in *inbound) run() (Reply, error) {
	if in.match.refusal != nil {
		return Reply{}, in.match.refusal
	}
	route, admission := in.match.route, in.server.admission
	leave, err := admission.enter()
	if err != nil {
		return Reply{}, err
	}
	defer leave()
	claims, err := in.claims()
	if err != nil {
		return Reply{}, err
	}
	release, err := admission.reserve(in.bodySize())
	if err != nil {
		return Reply{}, err
	}
	defer release()
	body, err := in.body()
	if err != nil {
		return Reply{}, err
	}
	if !route.Open {
		if in.origin, err = in.verify(claims, body); err != nil {
			return Reply{}, err
		}
		done, err := admission.share(in.origin)
		if err != nil {
			return Reply{}, err
		}
		defer done()
	}
	return in.server.handle(in.http.Context(), route, &Request{
		Origin: in.origin,
		Method: in.http.Method,
		URI:    in.uri(),
		Params: in.match.params,
		Query:  in.http.URL.Query(),
		Body:   body.Canonical(),
		JSON:   body,
	})
}

// uri is path and query byte for byte as sent. A request line in absolute form, or a request that no connection carried,
// has them in its URL only.
func (in *inbound) uri() string {
	if strings.HasPrefix(in.http.RequestURI, "/") {
		return in.http.RequestURI
	}
	return in.http.URL.RequestURI()
}

func (in *inbound) maxBody() int64 { return positive(in.match.route.MaxBody, DefaultMaxBody) }

// bodySize is the memory to set aside for the body: what is announced, or the most that is allowed.
func (in *inbound) bodySize() int64 {
	if announced := in.http.ContentLength; announced >= 0 {
		return min(announced, in.maxBody())
	}
	return in.maxBody()
}

// body reads the body and parses it, once for all that follow. It is the zero Value when there is none and need not be one.
func (in *inbound) body() (canonicaljson.Value, error) {
	raw, err := in.read()
	if err != nil {
		return canonicaljson.Value{}, err
	}
	if len(raw) == 0 && in.http.Method != http.MethodPut && in.http.Method != http.MethodPost {
		return canonicaljson.Value{}, nil
	}
	if n := bytes.Count(raw, []byte{','}); n > MaxBodyValues {
		message := fmt.Sprintf("body: %d values, at most %d are accepted", n, MaxBodyValues)
		return canonicaljson.Value{}, &Error{Status: http.StatusRequestEntityTooLarge, Code: CodeTooLarge, Message: message}
	}
	// Lenient: the body may hold events of old room versions, whose numbers have fractions.
	rules := canonicaljson.Lenient
	if in.match.route.Foreign {
		rules = canonicaljson.Foreign
	}
	value, err := canonicaljson.Parse(raw, rules)
	if err != nil {
		code := spec.ErrorNotJSON
		if json.Valid(raw) && utf8.Valid(raw) { // but with a repeated key, a lone surrogate or too deep
			code = spec.ErrorBadJSON
		}
		return canonicaljson.Value{}, &Error{Status: http.StatusBadRequest, Code: code, Message: fmt.Sprintf("body: %v", err)}
	}
	if value.Kind() != canonicaljson.Object {
		return canonicaljson.Value{}, &Error{Status: http.StatusBadRequest, Code: spec.ErrorBadJSON, Message: "body: not an object"}
	}
	return value, nil
}

// read takes in the body under its cap and deadline.
func (in *inbound) read() ([]byte, error) {
	limit := in.maxBody()
	if in.http.ContentLength > limit {
		// Not even begun to read: what arrives meanwhile belongs to no further request.
		in.writer.Header().Set("Connection", "close")
		return nil, errTooLarge(limit)
	}
	// Without support for deadlines there is no slow client; see Server.write.
	deadlines := http.NewResponseController(in.writer)
	_ = deadlines.SetReadDeadline(time.Now().Add(in.server.limits.BodyTime))
	raw, err := readCapped(http.MaxBytesReader(in.writer, in.http.Body, limit), limit, in.http.ContentLength)
	if err == nil {
		_ = deadlines.SetReadDeadline(time.Time{}) // or it would cut the handler short
		return raw, nil
	}
	in.writer.Header().Set("Connection", "close")
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, errTooLarge(limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &Error{Status: http.StatusRequestTimeout, Code: spec.ErrorUnknown, Message: "the body took too long"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, &Error{Status: http.StatusBadRequest, Code: spec.ErrorNotJSON, Message: "the body ends too early"}
	default:
		return nil, &Error{Status: http.StatusBadRequest, Code: spec.ErrorNotJSON, Message: "the body cannot be read"}
	}
}

func errTooLarge(limit int64) *Error {
	return &Error{
		Status:  http.StatusRequestEntityTooLarge,
		Code:    CodeTooLarge,
		Message: fmt.Sprintf("the body is longer than %d bytes", limit),
	}
}
