// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"

	"github.com/strata-matrix/strata/internal/doctor"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// What can be asked about the way to other servers.
var (
	opResolve        = operation[Resolve, doctor.Report]{"resolve"}
	opDocuments      = operation[ServerRef, []WellKnown]{"well-known/show"}
	opFlushDocuments = operation[Flush, Flushed]{"well-known/flush"}
	opRecords        = operation[ServerRef, []DNSRecord]{"dns/show"}
	opFlushRecords   = operation[Flush, Flushed]{"dns/flush"}
)

// Resolve asks how a server is reached. Fresh asks everything anew, Connect tries the addresses.
type Resolve struct {
	Server  string `json:"server"`
	Fresh   bool   `json:"fresh,omitempty"`
	Connect bool   `json:"connect,omitempty"`
}

// WellKnown is what a server remembers of a host's well-known document.
type WellKnown struct {
	Host      string `json:"host"`
	Server    string `json:"m.server,omitempty"` // delegated to
	Stale     bool   `json:"stale,omitempty"`    // that is of before: the last attempt failed
	Status    int    `json:"http_status,omitempty"`
	Problem   string `json:"problem,omitempty"`
	Failures  int    `json:"failures,omitempty"` // in a row
	FetchedTS int64  `json:"fetched_ts"`
	ExpiresTS int64  `json:"expires_ts"` // asked for again then
}

// DNSRecord is what a server remembers of the DNS.
type DNSRecord struct {
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Values    []string `json:"values"` // none: there is nothing
	Alias     string   `json:"alias,omitempty"`
	FetchedTS int64    `json:"fetched_ts"`
	ExpiresTS int64    `json:"expires_ts"`
}

// Flush has what is remembered of a server forgotten, or of all.
type Flush struct {
	Server string `json:"server"` // "" for all
	DryRun bool   `json:"dry_run,omitempty"`
}

// Flushed is how much was forgotten, or with DryRun would be.
type Flushed struct {
	DryRun  bool `json:"dry_run"`
	Flushed int  `json:"flushed"`
}

// Resolve finds out how the server that is asked would reach another.
func (c *Client) Resolve(ctx context.Context, q Resolve) (doctor.Report, error) {
	return ask(ctx, c, opResolve, q)
}

// Documents lists the well-known documents that are remembered.
func (c *Client) Documents(ctx context.Context, q ServerRef) ([]WellKnown, error) {
	return ask(ctx, c, opDocuments, q)
}

// FlushDocuments has them forgotten.
func (c *Client) FlushDocuments(ctx context.Context, order Flush) (Flushed, error) {
	return ask(ctx, c, opFlushDocuments, order)
}

// Records lists what is remembered of the DNS.
func (c *Client) Records(ctx context.Context, q ServerRef) ([]DNSRecord, error) {
	return ask(ctx, c, opRecords, q)
}

// FlushRecords has it forgotten.
func (c *Client) FlushRecords(ctx context.Context, order Flush) (Flushed, error) {
	return ask(ctx, c, opFlushRecords, order)
}

// network is the server's way to others, and the name that is asked about: "" for all if that is allowed.
func (h *handler) network(name string, all bool) (*transport.Network, ident.ServerName, error) {
	switch {
	case h.server == nil:
		return nil, "", errNoServer
	case h.server.Network() == nil:
		return nil, "", usage(errors.New("this server has no network of its own"))
	case name == "" && all:
		return h.server.Network(), "", nil
	}
	server, err := ident.ParseServerName(name)
	if err != nil {
		return nil, "", usage(err)
	}
	return h.server.Network(), server, nil
}

func (h *handler) resolve(ctx context.Context, q Resolve) (doctor.Report, error) {
	network, server, err := h.network(q.Server, false)
	if err != nil {
		return doctor.Report{}, err
	}
	return doctor.Resolve(ctx, doctor.Config{
		Server: q.Server, Network: network, Policy: h.server.Client().Federates(server), Kept: !q.Fresh,
	}, q.Connect), nil
}

func (h *handler) documents(_ context.Context, q ServerRef) ([]WellKnown, error) {
	network, server, err := h.network(q.Server, true)
	if err != nil {
		return nil, err
	}
	host, _ := ident.SplitServerName(server)
	list := []WellKnown{}
	for _, d := range network.Documents() {
		if server == "" || d.Host == host {
			list = append(list, WellKnown{
				Host: d.Host, Server: string(d.Server), Stale: d.IsStale(), Status: d.Status, Problem: d.Problem, Failures: d.Failures,
				FetchedTS: d.Fetched.UnixMilli(), ExpiresTS: d.Expires.UnixMilli(),
			})
		}
	}
	return list, nil
}

func (h *handler) flushDocuments(ctx context.Context, order Flush) (Flushed, error) {
	if order.DryRun {
		list, err := h.documents(ctx, ServerRef{Server: order.Server})
		return Flushed{true, len(list)}, err
	}
	network, server, err := h.network(order.Server, true)
	if err != nil {
		return Flushed{}, err
	}
	return Flushed{Flushed: network.FlushDocuments(server)}, nil
}

func (h *handler) records(_ context.Context, q ServerRef) ([]DNSRecord, error) {
	network, server, err := h.network(q.Server, true)
	if err != nil {
		return nil, err
	}
	list := []DNSRecord{}
	for _, r := range network.Records(server) {
		list = append(list, DNSRecord{
			Name: r.Name, Type: r.Type, Values: append([]string{}, r.Values...), Alias: r.Alias,
			FetchedTS: r.Fetched.UnixMilli(), ExpiresTS: r.Until.UnixMilli(),
		})
	}
	return list, nil
}

func (h *handler) flushRecords(ctx context.Context, order Flush) (Flushed, error) {
	if order.DryRun {
		list, err := h.records(ctx, ServerRef{Server: order.Server})
		return Flushed{true, len(list)}, err
	}
	network, server, err := h.network(order.Server, true)
	if err != nil {
		return Flushed{}, err
	}
	return Flushed{Flushed: network.FlushRecords(server)}, nil
}
