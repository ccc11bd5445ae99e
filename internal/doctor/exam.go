// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// Network leads to other servers. *transport.Network is one.
type Network interface {
	Examine(ctx context.Context, server ident.ServerName, fresh bool) transport.Examination
	Visit(ctx context.Context, target discovery.Target, addr netip.AddrPort, paths ...string) transport.Visit
	DocumentByAddress(ctx context.Context, host string) []transport.AddressedDocument
}

// Client sends signed requests. *transport.Client is one.
type Client interface {
	Raw(ctx context.Context, dest ident.ServerName, call transport.Call) (transport.Raw, error)
}

// Ring knows what is said of keys. *keys.Ring is one.
type Ring interface {
	Hear(ctx context.Context, notary, server ident.ServerName) ([]*keys.Document, error)
}

// Config is what an examination works with. Server and Network are needed.
type Config struct {
	Server  string
	Network Network
	Client  Client    // nil: no signed request is sent, as to ourselves
	Own     *keys.Own // our keys, when it is ourselves that we look at
	Ring    Ring      // nil: no notary is asked
	Notary  []ident.ServerName
	Seen    map[string]string // public keys in base64 that the server told before, by id

	Policy error // why we do not federate with the server, nil if we do
	Kept   bool  // what is remembered will do; otherwise everybody is asked anew
}

const (
	// maxVisits is how many addresses are connected to. A server has one or two of each family.
	maxVisits = 16
	// Patience is for a whole examination: every step can wait for its own timeouts.
	Patience = time.Minute

	versionPath = "/_matrix/federation/v1/version"
	keysPath    = "/_matrix/key/v2/server"
)

// exam is one examination, on its goroutine.
type exam struct {
	Config
	name     ident.ServerName
	resolved transport.Examination
	visits   []visit
	now      time.Time // when the visits ended
	report   Report
}

type visit struct {
	target discovery.Target
	addr   netip.AddrPort
	transport.Visit
}

// Run examines a server. It takes as long as ctx allows, at most.
func Run(ctx context.Context, config Config) Report {
	e := newExam(config)
	if e.find(ctx, true) && e.connect(ctx) {
		e.version()
		e.keys(ctx)
		e.signedRequest(ctx)
		e.clock(ctx)
	}
	e.report.conclude()
	return e.report
}

// Resolve examines where requests to a server go; with connect also what is there.
func Resolve(ctx context.Context, config Config, connect bool) Report {
	e := newExam(config)
	if e.find(ctx, connect) && connect {
		e.connect(ctx)
	}
	e.report.conclude()
	return e.report
}

func newExam(config Config) *exam {
	return &exam{Config: config, report: Report{
		ServerName: config.Server, Steps: []Step{}, Findings: []Finding{}, Targets: []Target{},
		DNSResult:         DNS{SRVRecords: []SRV{}, Hosts: map[string]Host{}, Addrs: []string{}},
		ConnectionReports: map[string]Connection{}, ConnectionErrors: map[string]Message{},
	}}
}

// find is everything up to the addresses; with connect the well-known document is asked for at each address of its host. It is false
// when there is nothing to connect to.
func (e *exam) find(ctx context.Context, connect bool) bool {
	if !e.begin() {
		return false
	}
	begun := time.Now()
	e.resolved = e.Network.Examine(ctx, e.name, !e.Kept)
	if errors.Is(e.resolved.Err, discovery.ErrInvalidName) { // by its port
		e.report.Error = e.resolved.Err.Error()
		e.report.Steps = nil
		e.step("server name", 0, []string{e.resolved.Err.Error()}, found(codeName, "%v", e.resolved.Err))
		return false
	}
	took := time.Since(begun)
	e.wellKnown(ctx, connect)
	e.services()
	return e.addresses(took)
}

// begin is the name.
func (e *exam) begin() bool {
	name, err := ident.ParseServerName(e.Server)
	if err != nil {
		e.report.Error = err.Error()
		e.step("server name", 0, []string{err.Error()}, found(codeName, "%v", err))
		return false
	}
	e.name = name
	host, port := ident.SplitServerName(name)
	kind := "hostname"
	if _, err := netip.ParseAddr(host); err == nil {
		kind = "IP address"
	}
	if port == "" {
		port = "no port"
	} else {
		port = "port " + port
	}
	var findings []Finding
	if e.Policy != nil {
		findings = append(findings, found(codeNotFederated, "%v", e.Policy))
	}
	e.step("server name", 0, []string{kind + ", " + port}, findings...)
	return true
}

// step adds a step, whose status its findings give.
func (e *exam) step(id string, took time.Duration, evidence []string, findings ...Finding) {
	s := newStep(id, evidence, findings)
	s.N, s.Millis = len(e.report.Steps)+1, took.Milliseconds()
	e.report.Steps = append(e.report.Steps, s)
	e.report.Findings = append(e.report.Findings, findings...)
}

func (e *exam) skip(id, why string) {
	e.report.Steps = append(e.report.Steps, Step{N: len(e.report.Steps) + 1, ID: id, Status: Skipped, Evidence: []string{why}})
}

// connect visits every address, all at once.
func (e *exam) connect(ctx context.Context) bool {
	for _, place := range e.resolved.Places {
		for _, addr := range place.Addresses {
			if len(e.visits) < maxVisits {
				e.visits = append(e.visits, visit{target: place.Target, addr: addr})
			}
		}
	}
	begun := time.Now()
	var wg sync.WaitGroup
	for i := range e.visits {
		wg.Go(func() {
			v := &e.visits[i]
			v.Visit = e.Network.Visit(ctx, v.target, v.addr, versionPath, keysPath)
		})
	}
	wg.Wait()
	e.now = time.Now()
	e.connections(e.now.Sub(begun))
	return len(e.answered()) > 0
}

// answered are the visits that ended as they should.
func (e *exam) answered() (good []visit) {
	for _, v := range e.visits {
		if v.Err == nil {
			good = append(good, v)
		}
	}
	return good
}

// signedRequest asks for something that needs a signature and harms nobody: the profile of a user that does not exist.
func (e *exam) signedRequest(ctx context.Context) {
	if e.Client == nil || e.Own != nil {
		e.skip("signed request", "not to ourselves, nor without the running server")
		return
	}
	call := transport.Call{
		Method: "GET", Path: transport.Path("_matrix", "federation", "v1", "query", "profile"),
		Query: map[string][]string{"user_id": {"@strata-doctor:" + string(e.name)}},
	}
	raw, err := e.Client.Raw(ctx, e.name, call)
	evidence := fmt.Sprintf("query/profile: status %d", raw.Status)
	code := errcode(raw.Body)
	if code != "" {
		evidence += " " + code
	}
	switch {
	case err != nil:
		e.step("signed request", raw.Took, []string{err.Error()}, found(codeQueryFail, "%v", err))
	case raw.Status == 401 || code == "M_UNAUTHORIZED":
		e.step("signed request", raw.Took, []string{evidence, cut(raw.Body)}, found(codeRefused, "%s", cut(raw.Body)))
	case code == "" && raw.Status != 200:
		e.step("signed request", raw.Took, []string{evidence, cut(raw.Body)}, found(codeQueryFail, "status %d without an errcode", raw.Status))
	default: // also 403 and 404: the server knows who asks
		e.step("signed request", raw.Took, []string{evidence})
	}
}

// Differences of clocks that harm: compare times of different servers.
const (
	skewWarning = 10 * time.Second
	skewFailure = 5 * time.Minute
)

// clock compares the server's clock with ours, and our own with those of the notaries.
func (e *exam) clock(ctx context.Context) {
	if e.Own != nil {
		e.ownClock(ctx)
		return
	}
	for _, v := range e.answered() {
		if skew, known := transport.Skew(v.Replies[0], e.now); known {
			line, findings := judgeSkew(e.name, skew)
			e.step("clock", 0, []string{line}, findings...)
			return
		}
	}
	e.skip("clock", "no Date header")
}

func (e *exam) ownClock(ctx context.Context) {
	var evidence []string
	var findings []Finding
	for _, notary := range e.Notary {
		if e.Client == nil {
			break
		}
		raw, err := e.Client.Raw(ctx, notary, transport.Call{Method: "GET", Path: versionPath, Unsigned: true})
		if skew, known := transport.Skew(raw, time.Now()); err == nil && known {
			line, found := judgeSkew(notary, skew)
			evidence, findings = append(evidence, line), append(findings, found...)
		}
	}
	if evidence == nil {
		e.skip("clock", "nobody to compare with: --notary SERVER names one")
		return
	}
	e.step("clock", 0, evidence, findings...)
}

func judgeSkew(server ident.ServerName, skew time.Duration) (line string, findings []Finding) {
	switch size := max(skew, -skew); {
	case size > skewFailure:
		findings = []Finding{found(codeClock, "that of %s is %s ahead of ours", server, skew.Round(time.Second))}
	case size > skewWarning:
		findings = []Finding{found(codeSkewed, "that of %s is %s ahead of ours", server, skew.Round(time.Second))}
	}
	return fmt.Sprintf("Date of %s is %+.0f s from ours", server, skew.Seconds()), findings
}
