// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"context"
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
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/turns"
)

// inbound is one request on its way to the handler, on the goroutine that serves it. The checks run in the order in which they
// cost: nothing is read before the header is plausible and there is room for its origin, no key is fetched before the body is in
// order, and the origin's turn is waited for last, when we know whose it is. What keeps the processor busy on the way is done in turns,
// see package turns.
type inbound struct {
	server *Server
	writer http.ResponseWriter
	http   *http.Request
	match  match
	visit  *visit
	origin ident.ServerName // once verified
}

func (in *inbound) run() (Reply, error) {
	if in.match.refusal != nil {
		return Reply{}, in.match.refusal
	}
	claims, err := in.claims()
	if err != nil {
		return Reply{}, err
	}
	if len(claims) > 0 && in.visit.isCrowded(claims[0].Origin) {
		return Reply{}, errBusy("too many requests of your server at one time")
	}
	claimed := ident.ServerName("")
	if len(claims) > 0 {
		claimed = claims[0].Origin
	}
	// Until its origin is proven the request has no part in the turns of any: no server name has a slash.
	payer := in.payer(claimed)
	ctx := in.server.turns.For(keys.OnBehalf(in.http.Context(), payer), "/"+payer)
	body, err := in.body(ctx)
	if err != nil {
		return Reply{}, err
	}
	if !in.match.route.Open {
		if in.origin, err = in.verify(ctx, claims, body); err != nil {
			return Reply{}, err
		}
		if err := in.visit.introduce(in.http.Context(), in.origin); err != nil {
			return Reply{}, err
		}
		defer in.visit.finish()
		ctx = in.server.turns.For(keys.OnBehalf(in.http.Context(), string(in.origin)), string(in.origin))
	}
	return in.server.handle(ctx, in.match.route, &Request{
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

// body reads the body and parses it, once for all that follow. It is the zero Value when there is none and need not be one.
func (in *inbound) body(ctx context.Context) (value canonicaljson.Value, err error) {
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
	if err := in.visit.reserve(int64(bodyValue * bytes.Count(raw, []byte{','}))); err != nil {
		return canonicaljson.Value{}, err
	}
	// Lenient: the body may hold events of old room versions, whose numbers have fractions.
	rules := canonicaljson.Lenient
	if in.match.route.Foreign {
		rules = canonicaljson.Foreign
	}
	if err := turns.Do(ctx, func() { value, err = canonicaljson.Parse(raw, rules) }); err != nil {
		return canonicaljson.Value{}, errBusy("the requests of others take too long")
	}
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

// read takes in the body under its cap and deadlines.
func (in *inbound) read() ([]byte, error) {
	limit := in.maxBody()
	if in.http.ContentLength > limit {
		in.hangUp() // not even begun to read: what arrives meanwhile belongs to no further request
		return nil, errTooLarge(limit)
	}
	raw, err := in.receive(http.MaxBytesReader(in.writer, in.http.Body, limit), limit)
	if err == nil {
		in.readUntil(time.Time{}) // or it would cut the handler short
		return raw, nil
	}
	in.hangUp()
	var tooLarge *http.MaxBytesError
	var refusal *Error
	switch {
	case errors.As(err, &refusal):
		return nil, refusal
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

// receive reads a body into memory that is set aside as the bytes arrive, not as they are announced, and gives as much time.
func (in *inbound) receive(body io.Reader, limit int64) ([]byte, error) {
	const first, ample = 8 << 10, 64 << 10
	begun := time.Now()
	defer in.untilDraining(func() { in.readUntil(time.Now().Add(lastBytes)) })()
	size := int64(first)
	if announced := in.http.ContentLength; announced >= 0 && announced < ample {
		size = announced + 1 // one more byte than there are, so that the end is found without growing
	}
	var buffer []byte
	for {
		if err := in.visit.reserve(size - int64(cap(buffer))); err != nil {
			return nil, err
		}
		buffer = append(make([]byte, 0, size), buffer...)
		deadline := begun.Add(min(paced(size), in.server.limits.BodyTime))
		in.readUntil(deadline)
		for len(buffer) < cap(buffer) {
			if last := time.Now().Add(lastBytes); in.server.draining.Err() != nil && last.Before(deadline) {
				in.readUntil(last)
			}
			n, err := body.Read(buffer[len(buffer):cap(buffer)])
			buffer = buffer[:len(buffer)+n]
			if err == io.EOF {
				return buffer, nil
			}
			if err != nil {
				return nil, err
			}
		}
		size = min(2*size, limit+1)
	}
}

// untilDraining calls f once when the server is told to stop, but not after done.
func (in *inbound) untilDraining(f func()) (done func()) {
	called := make(chan struct{})
	stop := context.AfterFunc(in.server.draining, func() {
		defer close(called)
		f()
	})
	return func() {
		if !stop() {
			<-called
		}
	}
}

// paced is how long the transfer of some bytes may take.
func paced(bytes int64) time.Duration { return slowStart + time.Duration(bytes)*time.Second/minRate }

// readUntil sets the deadline for reading. Without support for deadlines there is no slow client: a ResponseWriter of the simulated
// network or of a test has none.
func (in *inbound) readUntil(deadline time.Time) {
	_ = http.NewResponseController(in.writer).SetReadDeadline(deadline)
}

// hangUp has the connection closed after the reply, as the rest of the body is in the way of other requests. On HTTP/2 it is not: the
// stream is reset, and to close the connection would break off those beside it.
func (in *inbound) hangUp() {
	if in.http.ProtoMajor < 2 {
		in.writer.Header().Set("Connection", "close")
	}
}

func errTooLarge(limit int64) *Error {
	return &Error{
		Status:  http.StatusRequestEntityTooLarge,
		Code:    CodeTooLarge,
		Message: fmt.Sprintf("the body is longer than %d bytes", limit),
	}
}
