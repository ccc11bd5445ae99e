// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"net/http"
	"testing"
)

// whatever the headers of a document say, it is used for a while, and not for longer than 48 hours.
func FuzzFreshness(f *testing.F) {
	f.Add("max-age=7200, no-store", "5", "Sat, 01 Jan 2000 03:00:00 GMT")
	f.Add("max-age=99999999999999999999", "99999999999999999999", "")
	f.Add("public,Max-Age=\"0\",,=", "-1", "0")
	f.Fuzz(func(t *testing.T, control, age, expires string) {
		header := http.Header{"Cache-Control": {control, control}, "Age": {age}, "Expires": {expires}}
		if got := freshness(header, bubbleStart); got < minFreshness || got > maxFreshness {
			t.Errorf("%v is good for %v", header, got)
		}
	})
}
