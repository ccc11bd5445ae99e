// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// Limits of the well-known request. The path and what to follow are of SS "Resolving server names", step 3.
const (
	wellKnownPath = "/.well-known/matrix/server"

	maxWellKnown            = 50 << 10         // bytes; what Synapse accepts
	maxRedirects            = 5                // ends loops; real documents sit behind one or two
	defaultWellKnownTimeout = 10 * time.Second // for all redirects together; a slow answer only delays step 4
	maxNote                 = 200              // bytes kept of what went wrong
)

// Document is what is known of a host's well-known document, and for how long. It is a value; learn makes the next.
type Document struct {
	Host string
	// Server is what the host delegates to, "" for no delegation.
	Server ident.ServerName
	// Note says why an answer was passed over, "" when it was used or there is plainly none. See Target.WellKnown.
	Note string

	// The last attempt: when it ended, what the last reply after redirects was, and why there was none.
	Fetched     time.Time
	URL         string
	Status      int // 0 without a reply
	ContentType string
	Bytes       int
	Problem     string

	// Expires is when it is asked for again.
	Expires time.Time
	// Failures counts the attempts in a row that brought no delegation.
	Failures int

	goodUntil time.Time // how long Server may outlive failures to renew it
}

// IsStale tells that Server is of an earlier answer: the last attempt failed, and may do so for a while.
func (d Document) IsStale() bool { return d.Server != "" && d.Failures > 0 }

// reading is the end of one request for the document.
type reading struct {
	Document
	freshness time.Duration // of a delegation
	transient bool          // no answer, or one that does not say that the document is gone
}

// Fetch asks host for its document by a way of one's own, and remembers nothing.
func (r *Resolver) Fetch(ctx context.Context, host string, via http.RoundTripper) Document {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	return r.fetch(ctx, host, via).Document
}

// fetch asks host for its document. Every failure is a reading.
func (r *Resolver) fetch(ctx context.Context, host string, via http.RoundTripper) reading {
	url := "https://" + host + wellKnownPath
	got := reading{Document: Document{Host: host, URL: url}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		got.Problem = err.Error()
		return got
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", r.userAgent)
	client := http.Client{Transport: via, CheckRedirect: mayFollow}
	response, err := client.Do(request)
	if err != nil {
		var where *neturl.Error
		if errors.As(err, &where) { // of the redirect that failed
			got.URL, err = clipped(where.URL), where.Err
		}
		got.Problem, got.transient = clipped(err.Error()), true
		return got
	}
	defer response.Body.Close()
	got.Status, got.ContentType = response.StatusCode, clipped(response.Header.Get("Content-Type"))
	got.URL = clipped(response.Request.URL.String())
	switch {
	case got.Status == http.StatusNotFound:
		got.Problem = "there is none"
		return got
	case got.Status != http.StatusOK:
		got.transient = got.Status >= 500 || got.Status == http.StatusTooManyRequests
		return got.unusable("status " + strconv.Itoa(got.Status))
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxWellKnown+1))
	got.Bytes = len(body)
	if err != nil {
		got.Problem, got.transient = clipped(err.Error()), true
		return got
	}
	if got.Server, err = parseWellKnown(body); err != nil {
		return got.unusable(err.Error())
	}
	got.freshness = freshness(response.Header, time.Now())
	return got
}

// unusable is a reading that was passed over for what the host answered.
func (r reading) unusable(why string) reading {
	r.Note = clipped(why)
	r.Problem = r.Note
	return r
}

// clipped bounds a text that may hold a peer's words.
func clipped(s string) string {
	if len(s) > maxNote {
		return s[:maxNote] + "…"
	}
	return s
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
