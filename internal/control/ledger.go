// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// What can be asked and ordered about other servers.
var (
	opPeers        = operation[inspect.Filter, []inspect.Peer]{"peer/ls"}
	opPeer         = operation[inspect.Filter, PeerDetail]{"peer/show"}
	opPeerErrors   = operation[inspect.Filter, []inspect.PeerFault]{"peer/errors"}
	opPeerRooms    = operation[inspect.Filter, []inspect.PeerRoom]{"peer/rooms"}
	opPeerTimeline = operation[inspect.Filter, []inspect.PeerMoment]{"peer/timeline"}
	opResetPeers   = operation[RetryQueues, Done]{"peer/reset"}
	opRulePeers    = operation[RulePeers, Done]{"peer/rule"}
)

// PeerDetail is what is known of another server, with what only the running server knows.
type PeerDetail struct {
	inspect.PeerDetail
	// Policy says why we do not federate with it, "" if we do.
	Policy string `json:"policy,omitempty"`
	// Exception says that an operator has let it in ("allow") or kept it out ("deny") since the start.
	Exception string `json:"exception,omitempty"`
}

// RulePeers lets servers in, or keeps them out, for as long as the server runs.
type RulePeers struct {
	Servers []string `json:"servers"`
	Allow   bool     `json:"allow"`
	DryRun  bool     `json:"dry_run,omitempty"`
}

func (h *handler) routePeers(mux *http.ServeMux) {
	answer(mux, opPeers, h.look.Peers)
	answer(mux, opPeer, h.peer)
	answer(mux, opPeerErrors, h.peerErrors)
	answer(mux, opPeerRooms, h.look.PeerRooms)
	answer(mux, opPeerTimeline, h.look.PeerTimeline)
	answer(mux, opResetPeers, h.resetPeers)
	answer(mux, opRulePeers, h.rulePeers)
}

// Peers lists other servers.
func (c *Client) Peers(ctx context.Context, q inspect.Filter) ([]inspect.Peer, error) {
	return ask(ctx, c, opPeers, q)
}

// Peer shows how we and another server stand.
func (c *Client) Peer(ctx context.Context, q inspect.Filter) (PeerDetail, error) {
	return ask(ctx, c, opPeer, q)
}

// PeerErrors lists what went wrong between us and another server.
func (c *Client) PeerErrors(ctx context.Context, q inspect.Filter) ([]inspect.PeerFault, error) {
	return ask(ctx, c, opPeerErrors, q)
}

// PeerRooms lists the rooms that another server is in.
func (c *Client) PeerRooms(ctx context.Context, q inspect.Filter) ([]inspect.PeerRoom, error) {
	return ask(ctx, c, opPeerRooms, q)
}

// PeerTimeline lists what happened between us and another server.
func (c *Client) PeerTimeline(ctx context.Context, q inspect.Filter) ([]inspect.PeerMoment, error) {
	return ask(ctx, c, opPeerTimeline, q)
}

// ResetPeers forgets that servers failed.
func (c *Client) ResetPeers(ctx context.Context, order RetryQueues) (Done, error) {
	return ask(ctx, c, opResetPeers, order)
}

// RulePeers lets servers in or keeps them out.
func (c *Client) RulePeers(ctx context.Context, order RulePeers) (Done, error) {
	return ask(ctx, c, opRulePeers, order)
}

func (h *handler) peer(ctx context.Context, q inspect.Filter) (PeerDetail, error) {
	found, err := h.look.Peer(ctx, q)
	if err != nil || h.server == nil {
		return PeerDetail{PeerDetail: found}, err
	}
	p, name := PeerDetail{PeerDetail: found}, ident.ServerName(q.Server)
	if err := h.server.Policy().Check(name); err != nil {
		p.Policy = err.Error()
	}
	if allowed, known := h.server.Policy().Exceptions()[name]; known {
		p.Exception = "deny"
		if allowed {
			p.Exception = "allow"
		}
	}
	p.Errors = append(p.Errors, h.returned(q)...)
	return p, nil
}

func (h *handler) peerErrors(ctx context.Context, q inspect.Filter) ([]inspect.PeerFault, error) {
	list, err := h.look.PeerErrors(ctx, q)
	return append(list, h.returned(q)...), err
}

// returned is the errors that the server of a question was answered with since the start. They are of no room.
func (h *handler) returned(q inspect.Filter) []inspect.PeerFault {
	if h.watch == nil || q.RoomID != "" {
		return nil
	}
	return slices.DeleteFunc(h.watch.returned(ident.ServerName(q.Server)), func(f inspect.PeerFault) bool {
		return q.Class != "" && q.Class != f.Class || f.Last < q.Since || q.Until != 0 && f.Last > q.Until
	})
}

func (h *handler) resetPeers(ctx context.Context, order RetryQueues) (Done, error) {
	if h.server == nil {
		return Done{}, errNoServer
	}
	if order.Spread < 0 || order.Spread > maxSpread.Milliseconds() {
		return Done{}, usage(fmt.Errorf("spread of %d ms: from 0 to %s", order.Spread, maxSpread))
	}
	if order.State == "" {
		order.State = inspect.PeerRetry
	}
	order.Limit = inspect.MaxLimit
	peers, err := h.look.Peers(ctx, order.Filter)
	if err != nil || order.DryRun {
		return Done{DryRun: order.DryRun, Servers: len(peers)}, err
	}
	names := transaction.Names{}
	for _, p := range peers {
		name := ident.ServerName(p.Server)
		names[name] = true
		if network := h.server.Network(); network != nil { // what was learnt of a server that failed may be why
			network.FlushDocuments(name)
			network.FlushRecords(name)
		}
	}
	n, err := h.server.Outbox().Reset(ctx, names, time.Duration(order.Spread)*time.Millisecond)
	return Done{Servers: n}, err
}

func (h *handler) rulePeers(_ context.Context, order RulePeers) (Done, error) {
	if h.server == nil {
		return Done{}, errNoServer
	}
	if len(order.Servers) == 0 {
		return Done{}, usage(errors.New("no server given"))
	}
	var names []ident.ServerName
	for _, text := range order.Servers {
		name, err := ident.ParseServerName(text)
		if err != nil {
			return Done{}, usage(err)
		}
		names = append(names, name)
	}
	done := Done{DryRun: order.DryRun, Servers: len(names), Advice: adviceFor(order.Allow, names)}
	if order.DryRun {
		return done, nil
	}
	for _, name := range names {
		if err := h.server.Policy().Except(name, order.Allow); err != nil {
			return Done{}, err
		}
	}
	return done, nil
}

// adviceFor tells how what was ruled becomes permanent.
func adviceFor(allow bool, names []ident.ServerName) string {
	const until = "until the server stops; to make it permanent, "
	if allow {
		return until + fmt.Sprintf("add %q to federation_domain_whitelist, where there is one, and let no pattern of forbidden_remote_server_names match", names)
	}
	patterns := make([]string, len(names))
	for n, name := range names {
		patterns[n] = "^" + regexp.QuoteMeta(string(name)) + "$"
	}
	return until + fmt.Sprintf("add %q to forbidden_remote_server_names", patterns)
}
