// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// policy is the import table. A line reads
//
//	package < what it may import
//
// from the ground up, so that a package can only name packages that stand above it on this page. "NAME+" lends everything
// that NAME may import, and NAME itself. Third-party modules are named by path; each is imported by as few packages as
// possible. Tests may also import the packages in testOnly, their own package and what lies in its folder, and what stands
// below.
const policy = `
trace                   <
transport/ident         < github.com/matrix-org/gomatrixserverlib/spec
transport/canonicaljson <
transport/signing       < transport/ident+ transport/canonicaljson github.com/oasisprotocol/curve25519-voi
transport/jsonstream    <
transport/turns         <
persistence             < trace transport/ident modernc.org/sqlite
persistence/storetest   < persistence+
transport/keys          < transport/signing+ persistence trace
transport/memo          < golang.org/x/sync
transport/dns           < transport/memo golang.org/x/net/dns/dnsmessage
transport/dns/dnstest   < golang.org/x/net/dns/dnsmessage
transport/discovery     < transport/ident+ transport/memo transport/dns trace
transport               < transport/keys+ transport/discovery transport/dns transport/turns github.com/julienschmidt/httprouter golang.org/x/crypto/acme/autocert golang.org/x/sync
transaction             < transport+
pdu/event               < transport/signing+ transport/keys transport/turns
pdu/auth                < pdu/event+
pdu/state               < pdu/event+
pdu/resolve             < pdu/auth+
pdu/acl                 < pdu/event+
pdu/policy              < pdu/event+
pdu/visibility          < pdu/event+
pdu                     < transport/jsonstream pdu/resolve+ pdu/acl pdu/policy pdu/visibility pdu/state transport+ transaction persistence trace
messaging               < pdu+
homeserver/api          < transport/ident trace
homeserver/api/apitest  < homeserver/api+
homeserver/stream       < pdu+
homeserver/roomview     < messaging+ homeserver/stream
homeserver/eventfilter  < pdu/event+
homeserver/dispatch     < homeserver/stream+
homeserver/accountdata  < homeserver/api+ homeserver/stream+
homeserver/media/thumbnail < golang.org/x/image/webp
homeserver/media        < messaging+ homeserver/api+ homeserver/media/thumbnail+ golang.org/x/sync
homeserver/accounts     < homeserver/api+ homeserver/stream+ golang.org/x/crypto/argon2
homeserver/rooms        < homeserver/roomview+ homeserver/eventfilter homeserver/accounts homeserver/accountdata homeserver/api transport/memo
homeserver/push         < homeserver/accountdata+ homeserver/accounts transport/canonicaljson
homeserver/keys         < messaging+ homeserver/accounts+ golang.org/x/sync
homeserver/todevice     < messaging+ homeserver/accounts+
homeserver/backup       < homeserver/accounts+
homeserver/ephemeral    < messaging+ homeserver/push+
homeserver/profiles     < messaging+ homeserver/accounts+
homeserver/openid       < messaging+ homeserver/accounts+
homeserver/tally        < homeserver/roomview+ homeserver/push+
homeserver/compose      < homeserver/roomview+ homeserver/eventfilter homeserver/dispatch homeserver/accountdata+ homeserver/rooms+ homeserver/ephemeral+ homeserver/push+ homeserver/keys+ homeserver/todevice+
homeserver              < messaging+ homeserver/accounts+ homeserver/rooms homeserver/accountdata homeserver/push homeserver/keys homeserver/todevice homeserver/backup homeserver/media+ homeserver/ephemeral homeserver/profiles homeserver/openid homeserver/compose+ homeserver/tally
internal/metrics        < messaging+ github.com/prometheus/client_golang github.com/prometheus/client_model
internal/adminapi       < messaging+
internal/inspect        < pdu+
internal/doctor         < transport+
internal/control        < messaging+ internal/inspect internal/doctor
internal/simnet         < messaging+ internal/inspect
internal/demo           < messaging+ internal/inspect
internal/load           < transport+ pdu/auth+ golang.org/x/sync
internal/bench          < messaging+ internal/load
internal/casefile       < pdu/resolve+ pdu/policy
internal/interop        <
internal/house          <
cmd/strata              < homeserver homeserver/accounts homeserver/media internal/control+ internal/casefile internal/demo internal/load internal/bench internal/metrics internal/adminapi github.com/alecthomas/kong github.com/BurntSushi/toml github.com/lmittmann/tint github.com/itchyny/gojq golang.org/x/sync
`

// testOnly may be imported by any test.
var testOnly = []string{
	"github.com/google/go-cmp", "pgregory.net/rapid", "github.com/rogpeppe/go-internal", "github.com/cockroachdb/datadriven",
	"github.com/matrix-org/gomatrixserverlib", // the oracle of differential tests
}

func TestImportsGoDownOnly(t *testing.T) {
	allowed := parsePolicy(t)
	for _, s := range sources(t) {
		may, known := allowed[s.pkg()]
		if !known {
			t.Errorf("%s: package %s has no line in the import table", s.path, s.pkg())
			continue
		}
		for _, spec := range s.file.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			if isStandard(name) || permits(may, name) {
				continue
			}
			own := module + "/" + s.pkg()
			if s.isTest() && (permits(testOnly, name) || name == own || strings.HasPrefix(name, own+"/") || isBelow(allowed, s.pkg(), name)) {
				continue
			}
			t.Errorf("%s imports %s, which its line in the import table does not allow", s.path, name)
		}
	}
}

// parsePolicy expands "NAME+" and refuses a line that names a package below it.
func parsePolicy(t *testing.T) map[string][]string {
	t.Helper()
	table := map[string][]string{}
	for line := range strings.Lines(strings.TrimSpace(policy)) {
		name, rest, ok := strings.Cut(line, "<")
		if !ok {
			t.Fatalf("import table: no '<' in %q", line)
		}
		name = strings.TrimSpace(name)
		may := []string{}
		for _, entry := range strings.Fields(rest) {
			base, lends := strings.CutSuffix(entry, "+")
			if strings.Contains(base, ".") {
				may = append(may, base)
				continue
			}
			lent, known := table[base]
			if !known {
				t.Fatalf("import table: %s may import %s, which does not stand above it", name, base)
			}
			may = append(may, module+"/"+base)
			if lends {
				may = append(may, lent...)
			}
		}
		table[name] = may
	}
	return table
}

// permits tells whether name is one of the allowed paths, or lies within an allowed third-party module.
func permits(may []string, name string) bool {
	return slices.ContainsFunc(may, func(allowed string) bool {
		return name == allowed || !strings.HasPrefix(allowed, module) && strings.HasPrefix(name, allowed+"/")
	})
}

// isBelow tells whether name is a package of this repository that could not import pkg: tests may use it.
func isBelow(allowed map[string][]string, pkg, name string) bool {
	relative, ours := strings.CutPrefix(name, module+"/")
	return ours && !permits(allowed[relative], module+"/"+pkg)
}

// isStandard tells a package of the standard library by its first element, which is no host name.
func isStandard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}
