// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// How long well-known documents, and failures to get them, are kept.
const (
	defaultFreshness = 24 * time.Hour
	maxFreshness     = 48 * time.Hour
	minFreshness     = 5 * time.Minute // so that "no-store" does not cost a request each time; what Synapse uses

	firstErrorWait = 2 * time.Minute // X-24 asks for back-off, the start is ours
	maxErrorWait   = time.Hour
)

// learn is the cache policy of X-24: successes live as their headers say, failures back off from 2 minutes to an hour. A
// delegation that cannot be renewed for now is kept, but never past 48 hours from when it was last seen.
func (d Document) learn(got reading, now time.Time) Document {
	next := got.Document
	next.Fetched = now
	if next.Server != "" {
		next.Expires, next.goodUntil = now.Add(got.freshness), now.Add(maxFreshness)
		return next
	}
	next.Failures = d.Failures + 1
	next.Expires = now.Add(errorWait(next.Failures))
	if got.transient && d.Server != "" && now.Before(d.goodUntil) {
		next.Server, next.Note, next.goodUntil = d.Server, d.Note, d.goodUntil
		if next.goodUntil.Before(next.Expires) {
			next.Expires = next.goodUntil
		}
	}
	return next
}

// errorWait doubles with each failure in a row.
func errorWait(failures int) time.Duration {
	const doublings = 5 // 2 min << 5 exceeds the hour
	return min(firstErrorWait<<min(failures-1, doublings), maxErrorWait)
}

// freshness is how long a valid document may be used.
func freshness(header http.Header, now time.Time) time.Duration {
	fresh := defaultFreshness
	if expires, err := http.ParseTime(header.Get("Expires")); err == nil {
		fresh = expires.Sub(now)
	}
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-store", "no-cache":
			return minFreshness
		case "max-age":
			if seconds, ok := parseSeconds(value); ok {
				age, _ := parseSeconds(header.Get("Age"))
				fresh = seconds - age
			}
		}
	}
	return max(minFreshness, min(fresh, maxFreshness))
}

// parseSeconds reads a count of seconds; what does not fit is "very long" (RFC 9111 §1.2.2), which no caller tells apart from
// a year.
func parseSeconds(s string) (time.Duration, bool) {
	const year = 365 * 24 * 3600
	n, err := strconv.ParseUint(strings.Trim(s, `"`), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return time.Duration(min(n, year)) * time.Second, true
}
