// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// Limits of the driver.
const (
	// maxHosts is how many hostnames each cache remembers: the largest rooms span fewer than 10,000 servers.
	maxHosts = 20_000
	// srvFreshness is how long SRV records are kept. net.Resolver does not tell their TTL; the usual one is 5 minutes.
	srvFreshness = 5 * time.Minute
	// srvTimeout bounds one SRV look-up with the retries of the system's resolver.
	srvTimeout = 10 * time.Second
	// forgetAfter is the age below which Forget keeps an answer, so that a dead server costs no look-up per attempt.
	forgetAfter = 5 * time.Minute
)

// SRV looks up service records. *net.Resolver is one.
type SRV interface {
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, records []*net.SRV, err error)
}

// Config is what a Resolver works with. All but Trace and UserAgent are needed.
type Config struct {
	// Transport carries the well-known requests. It must be as guarded as every other connection: the hostname is the
	// peer's choice. It must not follow redirects itself.
	Transport http.RoundTripper
	SRV       SRV
	UserAgent string
	Trace     trace.Sink
}

// Resolver drives walks and remembers the answers. It is safe for concurrent use; look-ups that wait for the same answer share
// one request.
type Resolver struct {
	transport http.RoundTripper
	srv       SRV
	userAgent string
	trace     trace.Sink

	flights   singleflight.Group
	documents *cache[memory]
	services  *cache[records]
}

// records is the answer to one SRV look-up. None is an answer too.
type records struct {
	list    []*net.SRV
	fetched time.Time
}

// NewResolver makes a Resolver with empty caches. It holds no resources of its own.
func NewResolver(config Config) *Resolver {
	return &Resolver{
		transport: config.Transport,
		srv:       config.SRV,
		userAgent: config.UserAgent,
		trace:     trace.OrDiscard(config.Trace),
		documents: newCache(maxHosts, func(m memory) time.Time { return m.expires }),
		services:  newCache(maxHosts, func(r records) time.Time { return r.fetched.Add(srvFreshness) }),
	}
}

// Resolve gives the places where server may be reached, best first, never none without an error. The error wraps
// ErrInvalidName, ErrNoService, the context's error, or that of a DNS look-up.
func (r *Resolver) Resolve(ctx context.Context, server ident.ServerName) ([]Target, error) {
	w := begin(server)
	for w.ask != askNothing {
		switch w.ask {
		case askWellKnown:
			d, err := r.delegation(ctx, w.host)
			if err != nil {
				return nil, err
			}
			w = w.answerWellKnown(d)
		case askSRV:
			w = w.answerSRV(r.lookup(ctx, w.service, w.host))
		}
	}
	return w.result(rand.IntN)
}

// Forget drops what is remembered of server, unless it is younger than five minutes. Call it when none of the targets
// answered like a Matrix server: the answers may be out of date.
func (r *Resolver) Forget(server ident.ServerName) {
	oldest := time.Now().Add(-forgetAfter)
	host, _ := ident.SplitServerName(server)
	hosts := []string{host}
	if m, found := r.documents.get(host); found && m.server != "" {
		delegated, _ := ident.SplitServerName(m.server)
		hosts = append(hosts, delegated)
	}
	r.documents.drop(host, func(m memory) bool { return m.server != "" && m.fetched.Before(oldest) })
	for _, h := range hosts {
		for _, service := range []string{serviceFed, serviceLegacy} {
			r.services.drop(service+" "+h, func(s records) bool { return s.fetched.Before(oldest) })
		}
	}
}

// delegation answers askWellKnown, from memory while that is fresh. Its only error is the context's.
func (r *Resolver) delegation(ctx context.Context, host string) (delegation, error) {
	if m, found := r.documents.get(host); found && time.Now().Before(m.expires) {
		return m.delegation, nil
	}
	answer, err := r.share(ctx, "well-known "+host, wellKnownTimeout, func(ctx context.Context) (any, error) {
		begun := time.Now()
		known, _ := r.documents.get(host)
		o := r.fetch(ctx, host)
		next := known.learn(o, time.Now())
		r.documents.put(host, next)
		r.trace.Emit(trace.TransportWellKnown{
			Host: host, Delegated: string(next.server), Note: o.note, Until: next.expires, Took: time.Since(begun),
		})
		return next.delegation, nil
	})
	if err != nil {
		return delegation{}, err
	}
	return answer.(delegation), nil
}

// lookup answers askSRV. That there is no such record is an answer and remembered; that the DNS failed is an error and is not.
func (r *Resolver) lookup(ctx context.Context, service, host string) ([]*net.SRV, error) {
	key := service + " " + host
	if s, found := r.services.get(key); found && time.Since(s.fetched) < srvFreshness {
		return s.list, nil
	}
	answer, err := r.share(ctx, key, srvTimeout, func(ctx context.Context) (any, error) {
		rooted := strings.TrimSuffix(host, ".") + "." // or the resolver would try its search domains as well
		_, list, err := r.srv.LookupSRV(ctx, service, "tcp", rooted)
		var notFound *net.DNSError
		if errors.As(err, &notFound) && notFound.IsNotFound {
			list, err = nil, nil
		}
		if err != nil && len(list) == 0 { // net.Resolver reports malformed records beside the good ones
			return nil, err
		}
		r.services.put(key, records{list: list, fetched: time.Now()})
		return list, nil
	})
	if err != nil {
		return nil, err
	}
	return answer.([]*net.SRV), nil
}

// share runs work once for all who ask for key at the same time. The work outlives a caller that gives up, but not its
// timeout.
func (r *Resolver) share(ctx context.Context, key string, timeout time.Duration, work func(context.Context) (any, error)) (any, error) {
	result := r.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		return work(ctx)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-result:
		return r.Val, r.Err
	}
}
