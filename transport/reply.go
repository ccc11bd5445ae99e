// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"
)

// readReply reads a reply of at most limit bytes (G-C7) and tells success from failure. Its errors are *Failure, or those of the
// connection.
func readReply(response *http.Response, limit int64) (Answer, error) {
	success := response.StatusCode/100 == 2
	if !success {
		limit = min(limit, maxErrorReply)
	}
	body, err := readCapped(response.Body, limit, response.ContentLength)
	if !success {
		// What cannot be read of an error is no reason to lose its status.
		return Answer{}, errorReply(response, body, time.Now())
	}
	if errors.Is(err, errTooLong) {
		return Answer{}, &Failure{Class: ClassNotJSON, Status: response.StatusCode, Err: fmt.Errorf("reply %w %d bytes", err, limit)}
	}
	if err != nil {
		return Answer{}, fmt.Errorf("read reply: %w", err)
	}
	if !isJSON(body) {
		err := fmt.Errorf("reply is not JSON but %s", describe(response, body))
		return Answer{}, &Failure{Class: ClassNotJSON, Status: response.StatusCode, Err: err}
	}
	return Answer{Status: response.StatusCode, Body: body}, nil
}

var errTooLong = errors.New("longer than")

// readCapped reads all of r up to limit. hint is the announced length, -1 when unknown: it is believed only so far as to save
// growing the buffer.
func readCapped(r io.Reader, limit, hint int64) ([]byte, error) {
	const believed = 1 << 20
	var buffer bytes.Buffer
	if hint > 0 {
		buffer.Grow(int(min(hint, limit, believed)) + bytes.MinRead)
	}
	n, err := buffer.ReadFrom(io.LimitReader(r, limit+1))
	if n > limit {
		return buffer.Bytes()[:limit], errTooLong
	}
	return buffer.Bytes(), err
}

// isJSON accepts objects, and arrays for the sake of the v1 invite.
func isJSON(body []byte) bool {
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	return len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') && json.Valid(body)
}

// errorReply makes a failure of a reply other than 2xx.
func errorReply(response *http.Response, body []byte, now time.Time) *Failure {
	var fields map[string]json.RawMessage
	var code, message string
	var millis json.Number
	if json.Unmarshal(body, &fields) == nil {
		_ = json.Unmarshal(fields["errcode"], &code) // absent or of another type: as if not there
		_ = json.Unmarshal(fields["error"], &message)
		_ = json.Unmarshal(fields["retry_after_ms"], &millis)
	}
	failure := &Failure{
		Class:   classOfStatus(response.StatusCode, spec.MatrixErrorCode(code)),
		Status:  response.StatusCode,
		Code:    spec.MatrixErrorCode(clip(code)),
		Message: clip(message),
	}
	if failure.Class == Class429 || failure.Class == Class5xx {
		failure.RetryAfter = retryAfter(response.Header.Get("Retry-After"), string(millis), now)
	}
	switch {
	case response.StatusCode/100 == 3:
		failure.Err = fmt.Errorf("redirect to %q, not followed", clip(response.Header.Get("Location")))
	case code == "":
		failure.Err = fmt.Errorf("no errcode in %s", describe(response, body))
	}
	return failure
}

// retryAfter takes the header, as seconds or as a date, before the deprecated member, and no more than MaxRetryAfter.
func retryAfter(header, millis string, now time.Time) time.Duration {
	if at, err := http.ParseTime(header); err == nil {
		return clampWait(at.Sub(now))
	}
	if seconds, err := strconv.ParseFloat(header, 64); err == nil {
		return clampWait(time.Duration(min(seconds, MaxRetryAfter.Seconds()) * float64(time.Second)))
	}
	if n, err := strconv.ParseFloat(millis, 64); err == nil {
		return clampWait(time.Duration(min(n, float64(MaxRetryAfter.Milliseconds())) * float64(time.Millisecond)))
	}
	return 0
}

func clampWait(d time.Duration) time.Duration { return max(0, min(d, MaxRetryAfter)) }

// describe shows what came instead of JSON, in one line.
func describe(response *http.Response, body []byte) string {
	const shown = 80
	return fmt.Sprintf("%q: %.*q", clip(response.Header.Get("Content-Type")), shown, body[:min(len(body), shown)])
}

// clip bounds what is kept of a peer's text.
func clip(s string) string { return s[:min(len(s), maxMessage)] }

// errSilent says that a reply stopped in its middle.
var errSilent = errors.New("the server fell silent")

// unsilent is the body of a reply that has to go on: when nothing comes for a while, the request is given up. One goroutine reads it.
type unsilent struct {
	io.ReadCloser
	patience time.Duration
	timer    *time.Timer
	over     atomic.Bool
}

func newUnsilent(body io.ReadCloser, patience time.Duration, giveUp func()) *unsilent {
	u := &unsilent{ReadCloser: body, patience: patience}
	u.timer = time.AfterFunc(patience, func() {
		u.over.Store(true)
		giveUp()
	})
	return u
}

// Read implements io.Reader.
func (u *unsilent) Read(p []byte) (int, error) {
	n, err := u.ReadCloser.Read(p)
	if n > 0 {
		u.timer.Reset(u.patience)
	}
	if err != nil && err != io.EOF && u.over.Load() {
		err = &classified{ClassTimeout, errSilent}
	}
	return n, err
}

// stop ends the watch: what was read is whole, or given up.
func (u *unsilent) stop() { u.timer.Stop() }
