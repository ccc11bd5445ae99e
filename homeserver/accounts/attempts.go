// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
)

// Rate is how often something may be tried: Burst times at once, and then PerSecond. The zero value is without limit.
type Rate struct {
	PerSecond float64
	Burst     int
}

// DefaultRate lets a person mistype, and a program that guesses try five thousand times a day. Synapse's rc_login counts failures so.
func DefaultRate() Rate { return Rate{PerSecond: 0.06, Burst: 5} }

// attempts counts by key. Requests share it; the mutex is held for map accesses only.
//
// Of each key one time is kept, as in the generic cell rate algorithm: until when what was tried has used up its share.
type attempts struct {
	rate Rate

	mu   sync.Mutex
	used map[string]time.Time
}

func newAttempts(rate Rate) *attempts { return &attempts{rate: rate, used: map[string]time.Time{}} }

// take counts an attempt. With wait above 0 it is one too many, and does not count.
func (a *attempts) take(key string, now time.Time) (wait time.Duration) {
	if a.rate.PerSecond <= 0 || a.rate.Burst <= 0 {
		return 0
	}
	each := time.Duration(float64(time.Second) / a.rate.PerSecond)
	a.mu.Lock()
	defer a.mu.Unlock()
	until := a.used[key]
	if until.Before(now) {
		until = now
	}
	until = until.Add(each)
	if wait = until.Sub(now) - time.Duration(a.rate.Burst)*each; wait > 0 {
		return wait
	}
	if len(a.used) >= maxCounted {
		a.forget(now)
	}
	a.used[key] = until
	return 0
}

// forgive takes all attempts of a key back.
func (a *attempts) forgive(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.used, key)
}

// forget makes room: what counts no more goes, and if that is nothing, any other.
func (a *attempts) forget(now time.Time) {
	for key, until := range a.used {
		if !until.After(now) {
			delete(a.used, key)
		}
	}
	for key := range a.used {
		if len(a.used) < maxCounted {
			return
		}
		delete(a.used, key)
	}
}

// admit is take for a request: the error tells the client when to come again.
func (a *attempts) admit(key string, now time.Time) error {
	if wait := a.take(key, now); wait > 0 {
		return &api.Error{Status: http.StatusTooManyRequests, Code: "M_LIMIT_EXCEEDED", Message: "too many attempts", RetryAfter: wait}
	}
	return nil
}

// addressOf is what attempts of one address are counted under: of IPv6 a /64, which is what one party has.
func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	ip := net.ParseIP(host)
	if ip == nil || ip.To4() != nil {
		return host
	}
	return ip.Mask(net.CIDRMask(64, 128)).String()
}
