// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// Limits of the well-known request. The path and what to follow are of SS "Resolving server names", step 3.
const (
	wellKnownPath = "/.well-known/matrix/server"

	maxWellKnown     = 50 << 10         // bytes; what Synapse accepts
	maxRedirects     = 5                // ends loops; real documents sit behind one or two
	wellKnownTimeout = 10 * time.Second // for all redirects together; a slow answer only delays step 4

	defaultFreshness = 24 * time.Hour
	maxFreshness     = 48 * time.Hour
	minFreshness     = 5 * time.Minute // so that "no-store" does not cost a request each time; what Synapse uses
	firstErrorWait   = 2 * time.Minute // X-24 asks for back-off, the start is ours
	maxErrorWait     = time.Hour
)

// delegation is what a hostname's well-known document says, as far as the walk is concerned.
type delegation struct {
	server ident.ServerName // "" when there is no delegation
	note   string           // see Target.WellKnown
}

// memory is what is known of one hostname's document, and for how long. It is a value; learn makes the next.
type memory struct {
	delegation
	fetched   time.Time // the last attempt
	expires   time.Time // ask again from then on
	goodUntil time.Time // how long server may outlive failures to renew it
	failures  int       // in a row
}

// outcome is the end of one request for the document.
type outcome struct {
	delegation
	freshness time.Duration // of a valid document
	transient bool          // no answer, or one that does not say that the document is gone
}

// learn is the cache policy of X-24: successes live as their headers say, failures back off from 2 minutes to an hour. A
// delegation that cannot be renewed for now is kept, but never past 48 hours from when it was last seen.
func (m memory) learn(o outcome, now time.Time) memory {
	if o.server != "" {
		return memory{
			delegation: o.delegation,
			fetched:    now,
			expires:    now.Add(o.freshness),
			goodUntil:  now.Add(maxFreshness),
		}
	}
	next := memory{delegation: o.delegation, fetched: now, failures: m.failures + 1}
	next.expires = now.Add(errorWait(next.failures))
	if o.transient && m.server != "" && now.Before(m.goodUntil) {
		next.delegation, next.goodUntil = m.delegation, m.goodUntil
		if next.goodUntil.Before(next.expires) {
			next.expires = next.goodUntil
		}
	}
	return next
}

// errorWait doubles with each failure in a row.
func errorWait(failures int) time.Duration {
	const doublings = 5 // 2 min << 5 exceeds the hour
	return min(firstErrorWait<<min(failures-1, doublings), maxErrorWait)
}

// fetch asks host for its document. Every failure is an outcome.
func (r *Resolver) fetch(ctx context.Context, host string) outcome {
	ctx, cancel := context.WithTimeout(ctx, wellKnownTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+wellKnownPath, nil)
	if err != nil {
		return outcome{}
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", r.userAgent)
	client := http.Client{Transport: r.transport, CheckRedirect: mayFollow}
	response, err := client.Do(request)
	if err != nil {
		return outcome{transient: true}
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotFound:
		return outcome{}
	case response.StatusCode != http.StatusOK:
		transient := response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests
		return outcome{transient: transient, delegation: delegation{note: "status " + strconv.Itoa(response.StatusCode)}}
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxWellKnown+1))
	if err != nil {
		return outcome{transient: true}
	}
	server, err := parseWellKnown(body)
	if err != nil {
		return outcome{delegation: delegation{note: err.Error()}}
	}
	return outcome{delegation: delegation{server: server}, freshness: freshness(response.Header, time.Now())}
}

// mayFollow bounds redirects and keeps them on HTTPS: the document names whom we trust, so it must not pass in the clear.
func mayFollow(next *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	if next.URL.Scheme != "https" {
		return fmt.Errorf("redirect to %s", next.URL.Scheme)
	}
	return nil
}

// parseWellKnown takes m.server from a document, whatever its Content-Type.
func parseWellKnown(body []byte) (ident.ServerName, error) {
	if len(body) > maxWellKnown {
		return "", fmt.Errorf("longer than %d bytes", maxWellKnown)
	}
	var document map[string]json.RawMessage // a struct would match M.SERVER too
	if err := json.Unmarshal(body, &document); err != nil {
		return "", errors.New("not a JSON object")
	}
	var name string
	if err := json.Unmarshal(document["m.server"], &name); err != nil {
		return "", errors.New("m.server is missing or not a string")
	}
	server, err := ident.ParseServerName(name)
	if err != nil {
		return "", fmt.Errorf("m.server: %w", err)
	}
	if w := (walk{}).enter(server); w.err != nil {
		return "", fmt.Errorf("m.server: %w", w.err)
	}
	return server, nil
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
