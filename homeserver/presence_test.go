// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"testing"

	"github.com/strata-matrix/strata/homeserver"
)

// A sync tells that its user is there, unless the operator wants no presence.
func TestPresenceInSync(t *testing.T) {
	for name, c := range map[string]struct {
		off  bool
		want any
	}{"on": {false, "online"}, "off": {true, nil}} {
		t.Run(name, func(t *testing.T) {
			s := open(t, func(cfg *homeserver.Config) { cfg.NoPresence = c.off })
			token := s.register("alice")
			since := s.ask("GET", "/_matrix/client/v3/sync?timeout=0", token, nil).text("next_batch")
			a := s.ask("GET", "/_matrix/client/v3/sync?timeout=100&since="+since, token, nil)
			first := a.members["presence"]
			if list, ok := first.(object); ok {
				first = list["events"].([]any)[0].(object)["content"].(object)["presence"]
			}
			if first != c.want {
				t.Errorf("%v, want %v", a.members, c.want)
			}
		})
	}
}
