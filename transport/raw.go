// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// Raw is a reply as it came, whatever it says: for people who look for what is wrong.
type Raw struct {
	Step   string // of the resolution, see discovery.Target
	Remote string // address and port; "" where the network is not ours
	Proto  string // HTTP/2.0
	Status int
	Header http.Header
	Body   []byte
	Cut    bool                 // there was more than Call.MaxReply
	TLS    *tls.ConnectionState // nil where the network is not ours
	Took   time.Duration        // to the last byte
}

// Raw sends call to dest and waits for the reply, without judging it. The error, a *Failure, says why there is none.
func (c *Client) Raw(ctx context.Context, dest ident.ServerName, call Call) (Raw, error) {
	if call.Body == nil && (call.Method == http.MethodPut || call.Method == http.MethodPost) {
		call.Body = []byte("{}")
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, positive(call.Timeout, c.limits.Timeout))
	defer cancel()
	x := &exchange{client: c, dest: dest, call: call}
	defer x.hold(nil)
	response, err := x.send(ctx, ctx)
	if err != nil {
		failure := failureOf(ctx, err)
		failure.Phase = x.phase()
		return Raw{Step: x.step, Took: time.Since(begun)}, failure
	}
	defer response.Body.Close()
	body, err := readCapped(response.Body, positive(call.MaxReply, DefaultMaxReply), response.ContentLength)
	raw := Raw{
		Step: x.step, Proto: response.Proto, Status: response.StatusCode, Header: response.Header, Body: body,
		Cut: err != nil, TLS: response.TLS, Took: time.Since(begun),
	}
	if remote := x.remote.Load(); remote != nil {
		raw.Remote = *remote
	}
	return raw, nil
}

// Skew is how far the clock of who replied is ahead of ours, if the reply says so. A Date is exact to the second, and as old as the
// reply's way: what is less than that is none.
func Skew(r Raw, now time.Time) (skew time.Duration, known bool) {
	date, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return 0, false
	}
	earliest, latest := now.Add(-r.Took-time.Second), now
	switch {
	case date.Before(earliest):
		return date.Sub(earliest), true
	case date.After(latest):
		return date.Sub(latest), true
	}
	return 0, true
}

// ReadVersion reads a reply to GET /_matrix/federation/v1/version (E-02): the name of the software and its version.
func ReadVersion(r Raw) (name, version string, err error) {
	var reply struct {
		Server struct{ Name, Version string }
	}
	if r.Status != http.StatusOK || json.Unmarshal(r.Body, &reply) != nil {
		const shown = 80
		return "", "", fmt.Errorf("status %d, %q: %.*q", r.Status, clip(r.Header.Get("Content-Type")), shown, r.Body[:min(len(r.Body), shown)])
	}
	return clip(reply.Server.Name), clip(reply.Server.Version), nil
}
