// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/memo"
)

// Limits of the driver.
const (
	// maxHosts is how many hosts' documents are remembered: the largest rooms span fewer than 10,000 servers.
	maxHosts = 20_000
	// forgetAfter is the age below which Forget keeps an answer, so that a dead server costs no look-up per attempt.
	forgetAfter = 5 * time.Minute
)

// DNS looks up service records and keeps them. *dns.Client is one.
type DNS interface {
	Services(ctx context.Context, name string, fresh bool) (dns.Services, error)
	Forget(name string, since time.Time) int
}

// Config is what a Resolver works with. Transport and DNS are needed.
type Config struct {
	// Transport carries the well-known requests. It must be as guarded as every other connection: the hostname is the
	// peer's choice. It must not follow redirects itself.
	Transport http.RoundTripper
	DNS       DNS
	UserAgent string
	// WellKnownTimeout is for one document with its redirects; 10 s when zero.
	WellKnownTimeout time.Duration
	Trace            trace.Sink
}

// Resolver drives walks and remembers the documents; the DNS remembers its own answers. It is safe for concurrent use; look-ups that
// wait for the same answer share one request.
type Resolver struct {
	transport http.RoundTripper
	dns       DNS
	userAgent string
	timeout   time.Duration
	trace     trace.Sink
	documents *memo.Memo[Document]
}

// NewResolver makes a Resolver that remembers nothing. It holds no resources of its own.
func NewResolver(config Config) *Resolver {
	return &Resolver{
		transport: config.Transport,
		dns:       config.DNS,
		userAgent: config.UserAgent,
		timeout:   cmp.Or(config.WellKnownTimeout, defaultWellKnownTimeout),
		trace:     trace.OrDiscard(config.Trace),
		documents: memo.New(maxHosts, func(d Document) time.Time { return d.Expires }),
	}
}

// Step is one question of a resolution, with what came of it. One of Document and Service is set.
type Step struct {
	Document *Document
	Service  string // the name that was asked for, such as _matrix-fed._tcp.example.org
	Services dns.Services
	Err      error // of the DNS
	Kept     bool  // nobody was asked
	Took     time.Duration
}

// Resolve gives the places where server may be reached, best first, never none without an error. The error wraps
// ErrInvalidName, ErrNoService, the context's error, or that of a DNS look-up.
func (r *Resolver) Resolve(ctx context.Context, server ident.ServerName) ([]Target, error) {
	return r.walk(ctx, server, false, func(Step) {})
}

// Examine is Resolve, and tells of every question on the way. fresh asks all of them anew.
func (r *Resolver) Examine(ctx context.Context, server ident.ServerName, fresh bool) (targets []Target, steps []Step, err error) {
	targets, err = r.walk(ctx, server, fresh, func(s Step) { steps = append(steps, s) })
	return targets, steps, err
}

func (r *Resolver) walk(ctx context.Context, server ident.ServerName, fresh bool, witness func(Step)) ([]Target, error) {
	w := begin(server)
	for w.ask != askNothing {
		begun := time.Now()
		switch w.ask {
		case askWellKnown:
			d, kept, err := r.document(ctx, w.host, fresh)
			if err != nil {
				return nil, err
			}
			witness(Step{Document: &d, Kept: kept, Took: time.Since(begun)})
			w = w.answerWellKnown(d)
		case askSRV:
			name := serviceName(w.service, w.host)
			found, err := r.dns.Services(ctx, name, fresh)
			witness(Step{Service: name, Services: found, Err: err, Kept: found.Kept, Took: time.Since(begun)})
			w = w.answerSRV(found.List, err)
		}
	}
	return w.result(rand.IntN)
}

// document answers askWellKnown. Its only error is the context's.
func (r *Resolver) document(ctx context.Context, host string, fresh bool) (Document, bool, error) {
	return r.documents.Ask(ctx, host, fresh, r.timeout, func(ctx context.Context, known Document) (Document, error) {
		begun := time.Now()
		next := known.learn(r.fetch(ctx, host, r.transport), time.Now())
		r.trace.Emit(trace.TransportWellKnown{
			Host: host, Delegated: string(next.Server), Note: next.Note, Until: next.Expires, Took: time.Since(begun),
		})
		return next, nil
	})
}

// Forget drops what is remembered of server, unless it is younger than five minutes. Call it when none of the targets
// answered like a Matrix server: the answers may be out of date.
func (r *Resolver) Forget(server ident.ServerName) {
	oldest := time.Now().Add(-forgetAfter)
	for _, host := range r.hosts(server) {
		for _, name := range namesOf(host) {
			r.dns.Forget(name, oldest)
		}
	}
	host, _ := ident.SplitServerName(server)
	r.documents.DropKey(host, func(d Document) bool { return d.Server != "" && d.Fetched.Before(oldest) })
}

// Names are the names of the DNS that the resolution of server may ask for, by what is known of its well-known document.
func (r *Resolver) Names(server ident.ServerName) (names []string) {
	for _, host := range r.hosts(server) {
		names = append(names, namesOf(host)...)
	}
	return names
}

func namesOf(host string) []string {
	return []string{host, serviceName(serviceFed, host), serviceName(serviceLegacy, host)}
}

// hosts are the server's own and the one that it is known to delegate to.
func (r *Resolver) hosts(server ident.ServerName) []string {
	host, _ := ident.SplitServerName(server)
	hosts := []string{host}
	if d, found := r.documents.Get(host); found && d.Server != "" {
		delegated, _ := ident.SplitServerName(d.Server)
		hosts = append(hosts, delegated)
	}
	return hosts
}

// Documents lists what is remembered, by host, the expired included.
func (r *Resolver) Documents() []Document {
	list := r.documents.All()
	slices.SortFunc(list, func(a, b Document) int { return cmp.Compare(a.Host, b.Host) })
	return list
}

// Len is how many documents are remembered, or that there is none.
func (r *Resolver) Len() int { return r.documents.Len() }

// FlushDocuments forgets the document of server's host, or all for "", and tells how many there were. The next request asks anew, also when
// a failure is backing off.
func (r *Resolver) FlushDocuments(server ident.ServerName) int {
	host, _ := ident.SplitServerName(server)
	return r.documents.Drop(func(key string, _ Document) bool { return server == "" || key == host })
}
