// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// Limits of what is fetched from web servers for a Matrix server that pointed there (M-86).
const maxRedirects = 5 // as many as for well-known documents

// Stream is a reply that says success, whose body its reader takes piece by piece. One goroutine reads it, and closes it. Its errors
// are *Failure.
type Stream struct {
	// Header is at most 32 KiB, and otherwise as the peer likes.
	Header http.Header

	ctx    context.Context // of the whole request: whether it has ended tells one failure from another
	body   *unsilent
	left   int64 // bytes that may still come
	read   int
	failed error
	end    func(received int, err error) // nil when closed
}

// newStream watches over the body of a response. giveUp ends the request, end is called once, when the stream is closed.
func newStream(ctx context.Context, response *http.Response, limit int64, silence time.Duration, giveUp func(), end func(int, error)) *Stream {
	return &Stream{
		Header: response.Header, ctx: ctx, body: newUnsilent(response.Body, silence, giveUp), left: limit, end: end,
	}
}

// Read implements io.Reader. What is longer than was allowed fails there.
func (s *Stream) Read(p []byte) (int, error) {
	if s.failed != nil {
		return 0, s.failed
	}
	n, err := s.body.Read(p[:min(int64(len(p)), s.left+1)])
	if int64(n) > s.left {
		n, err = int(s.left), &Failure{Class: ClassNotJSON, Status: http.StatusOK, Err: fmt.Errorf("reply %w is allowed", errTooLong)}
	}
	s.left -= int64(n)
	s.read += n
	if err != nil && err != io.EOF {
		err = failureOf(s.ctx, err)
		s.failed = err
	}
	return n, err
}

// Close gives up what has not been read. It may be called again.
func (s *Stream) Close() error {
	if s.end != nil {
		s.body.stop()
		_ = s.body.Close() // what has not been read is not wanted
		s.end(s.read, s.failed)
		s.end = nil
	}
	return nil
}

// Open sends call to dest, like Do, for a reply of any media type that is read as it comes. Call.Timeout is for all of it.
func (c *Client) Open(ctx context.Context, dest ident.ServerName, call Call) (*Stream, error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, positive(call.Timeout, c.limits.Timeout))
	asking, giveUp := context.WithCancel(ctx)
	x := &exchange{client: c, dest: dest, call: call, accept: "*/*"}
	status := 0
	end := func(received int, err error) {
		x.hold(nil)
		giveUp()
		cancel()
		sent := trace.TransportSent{
			Destination: string(dest), Method: call.Method, Path: call.Path, Step: x.step,
			Status: status, Received: received, Took: time.Since(begun),
		}
		if failure := (*Failure)(nil); errors.As(err, &failure) {
			sent.Status, sent.Class, sent.Error = failure.Status, string(failure.Class), failure.Error()
		}
		c.trace.Emit(sent)
	}
	response, err := x.send(ctx, asking)
	if err != nil {
		failure := failureOf(ctx, err)
		failure.Phase = x.phase()
		end(0, failure)
		return nil, fmt.Errorf("%s %s: %w", call.Method, call.Path, failure)
	}
	status = response.StatusCode
	stream := newStream(ctx, response, positive(call.MaxReply, DefaultMaxReply), c.limits.Silence, giveUp, end)
	if status/100 == 2 {
		return stream, nil
	}
	stream.failed = x.unanswered(stream.refusal(response), nil)
	_ = stream.Close() // the refusal tells more
	return nil, fmt.Errorf("%s %s: %w", call.Method, call.Path, stream.failed)
}

// refusal reads a reply other than 2xx.
func (s *Stream) refusal(response *http.Response) *Failure {
	body, _ := readCapped(s, min(s.left, maxErrorReply), response.ContentLength) // what cannot be read is no reason to lose the status
	failure := errorReply(response, body, time.Now())
	failure.Phase = PhaseReply
	return failure
}

// Fetch gets what is at an https URL to which a Matrix server pointed (M-86): not as this server and unsigned, at an address that we
// connect to, and not longer than limit. Redirects are followed as far as they keep to that. timeout is for all of it.
func (c *Client) Fetch(ctx context.Context, address string, limit int64, timeout time.Duration) (*Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, positive(timeout, c.limits.Timeout))
	asking, giveUp := context.WithCancel(ctx)
	end := func(int, error) {
		giveUp()
		cancel()
	}
	response, err := c.fetch(asking, address)
	if err != nil {
		failure := failureOf(ctx, err)
		end(0, failure)
		return nil, fmt.Errorf("fetch %.200q: %w", address, failure)
	}
	stream := newStream(ctx, response, limit, c.limits.Silence, giveUp, end)
	if response.StatusCode/100 == 2 {
		return stream, nil
	}
	stream.failed = stream.refusal(response)
	_ = stream.Close() // the refusal tells more
	return nil, fmt.Errorf("fetch %.200q: %w", address, stream.failed)
}

func (c *Client) fetch(ctx context.Context, address string) (*http.Response, error) {
	target, err := url.Parse(address)
	if err == nil {
		err = isWebAddress(target)
	}
	if err != nil {
		return nil, &Failure{Class: ClassPolicy, Err: err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, &Failure{Class: ClassPolicy, Err: err}
	}
	request.Header.Set("User-Agent", c.userAgent)
	web := c.roundTripper
	if c.network != nil {
		web = c.network.web
	}
	client := http.Client{Transport: web, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return &classified{ClassPolicy, fmt.Errorf("more than %d redirects", maxRedirects)}
		}
		next.Header.Del("Referer") // where we come from is nobody's business
		if err := isWebAddress(next.URL); err != nil {
			return &classified{ClassPolicy, err}
		}
		return nil
	}}
	return client.Do(request)
}

// isWebAddress tells an absolute https URL with nothing but a place in it.
func isWebAddress(u *url.URL) error {
	if u.Scheme != "https" || u.Host == "" || u.User != nil {
		return errors.New("not an absolute https URL, or one with a password")
	}
	return nil
}
