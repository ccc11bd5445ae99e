// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/strata-matrix/strata/transport"
)

// What can be asked of other servers by hand.
var (
	opPing = operation[ServerRef, Pong]{"ping"}
	opRaw  = operation[RawRequest, RawReply]{"raw"}
)

const versionPath = "/_matrix/federation/v1/version"

// ServerRef names another server.
type ServerRef struct {
	Server string `json:"server"`
}

// Pong is how a server answered GET /_matrix/federation/v1/version, or why it did not.
type Pong struct {
	Server  string `json:"server"`
	OK      bool   `json:"ok"`
	Name    string `json:"name,omitempty"` // of the software
	Version string `json:"version,omitempty"`
	Took    int64  `json:"took_us"`
	Skew    *int64 `json:"clock_skew_ms,omitempty"` // how far the server's clock is ahead, to the second
	Step    string `json:"step,omitempty"`          // of the resolution
	Remote  string `json:"remote,omitempty"`        // address and port
	Class   string `json:"class,omitempty"`         // of the failure
	Error   string `json:"error,omitempty"`
}

// RawRequest is a request to another server.
type RawRequest struct {
	Server   string          `json:"server"`
	Method   string          `json:"method"`
	Path     string          `json:"path"` // escaped, with its query
	Body     json.RawMessage `json:"body,omitempty"`
	Unsigned bool            `json:"unsigned,omitempty"`
}

// RawReply is what came, whatever it says.
type RawReply struct {
	Server  string              `json:"server"`
	Step    string              `json:"step,omitempty"`
	Remote  string              `json:"remote,omitempty"`
	TLS     string              `json:"tls,omitempty"` // version
	Proto   string              `json:"proto"`
	Status  int                 `json:"status"`
	Headers map[string][]string `json:"headers"`
	Body    json.RawMessage     `json:"body,omitempty"` // if it is JSON
	Text    string              `json:"text,omitempty"` // if it is not
	Cut     bool                `json:"cut,omitempty"`  // there was more
	Took    int64               `json:"took_us"`
}

// Ping asks another server for its version.
func (c *Client) Ping(ctx context.Context, q ServerRef) (Pong, error) { return ask(ctx, c, opPing, q) }

// Raw sends a request to another server.
func (c *Client) Raw(ctx context.Context, q RawRequest) (RawReply, error) {
	return ask(ctx, c, opRaw, q)
}

// maxRaw is how much of a reply is shown, in bytes.
const maxRaw = 8 << 20

func (h *handler) ping(ctx context.Context, q ServerRef) (Pong, error) {
	if h.server == nil {
		return Pong{}, errNoServer
	}
	server, err := parseServer(q.Server)
	if err != nil {
		return Pong{}, err
	}
	pong := Pong{Server: q.Server}
	raw, err := h.server.Client().Raw(ctx, server, transport.Call{Method: http.MethodGet, Path: versionPath, Unsigned: true})
	pong.Took, pong.Step, pong.Remote = raw.Took.Microseconds(), raw.Step, raw.Remote
	var failure *transport.Failure
	if errors.As(err, &failure) {
		pong.Class, pong.Error = string(failure.Class), failure.Error()
		return pong, nil
	}
	if skew, known := transport.Skew(raw, time.Now()); known {
		ms := skew.Milliseconds()
		pong.Skew = &ms
	}
	name, version, err := transport.ReadVersion(raw)
	if err != nil {
		pong.Class, pong.Error = string(transport.ClassNotJSON), err.Error()
		return pong, nil
	}
	pong.OK, pong.Name, pong.Version = true, name, version
	return pong, nil
}

func (h *handler) raw(ctx context.Context, q RawRequest) (RawReply, error) {
	if h.server == nil {
		return RawReply{}, errNoServer
	}
	server, err := parseServer(q.Server)
	if err != nil {
		return RawReply{}, err
	}
	call := transport.Call{Method: strings.ToUpper(q.Method), Unsigned: q.Unsigned, MaxReply: maxRaw}
	path, query, _ := strings.Cut(q.Path, "?")
	if !strings.HasPrefix(path, "/_matrix/") {
		return RawReply{}, usage(fmt.Errorf("path %q does not begin with /_matrix/: a signature covers it from there (X-40)", path))
	}
	if call.Path = path; query != "" {
		if call.Query, err = url.ParseQuery(query); err != nil {
			return RawReply{}, usage(fmt.Errorf("query: %w", err))
		}
	}
	if len(q.Body) > 0 {
		call.Body = q.Body
	}
	raw, err := h.server.Client().Raw(ctx, server, call)
	if err != nil {
		return RawReply{}, err
	}
	reply := RawReply{
		Server: q.Server, Step: raw.Step, Remote: raw.Remote, Proto: raw.Proto, Status: raw.Status, Headers: raw.Header, Cut: raw.Cut,
		Took: raw.Took.Microseconds(),
	}
	if raw.TLS != nil {
		reply.TLS = tls.VersionName(raw.TLS.Version)
	}
	if json.Valid(raw.Body) {
		reply.Body = raw.Body
	} else {
		reply.Text = strings.ToValidUTF8(string(raw.Body), "\uFFFD")
	}
	return reply, nil
}
