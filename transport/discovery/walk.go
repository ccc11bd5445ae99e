// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/ident"
)

// defaultPort is where a server listens that says nothing else.
const defaultPort = 8448

// maxTargets bounds how many SRV targets of one service are kept. RFC 2782 sets no bound; no real deployment comes near.
const maxTargets = 16

// ErrInvalidName says that the server name breaks the grammar or names a port that does not exist. Trying again is of no use.
var ErrInvalidName = errors.New("server name cannot be resolved")

// ErrNoService says that the only SRV target is ".": the domain declares that it offers no such service (RFC 2782).
var ErrNoService = errors.New("the domain offers no federation service")

// Target is one place to connect to.
type Target struct {
	// Address is "host:port" to dial, an IPv6 host in brackets. A host that is a name is yet to be looked up.
	Address string
	// Host is the Host header: the server name or what it was delegated to, never an SRV target.
	Host string
	// TLSName is what the certificate must be valid for; an IP address without brackets, or a DNS name.
	TLSName string
	// Step is the step of the specification that ended the resolution: "1", "2", "3.1" to "3.5", "4", "5" or "6".
	Step string
	// Direct forbids the host to be an alias in the DNS: it is the target of an SRV record.
	Direct bool
	// WellKnown says why the answer to the well-known request was passed over, "" when it was used, plainly absent or not
	// asked for. It is for diagnosis: a resolution never fails of it.
	WellKnown string
}

// question is what a walk has to be told next.
type question int

const (
	askNothing question = iota // the walk has ended
	askWellKnown
	askSRV
)

// The two SRV services, asked for in this order; the second is deprecated.
const (
	serviceFed    = "matrix-fed"
	serviceLegacy = "matrix"
)

// steps are the names of the five outcomes, which exist once for the original name and once for the delegated one.
type steps struct{ literal, port, fed, legacy, plain string }

var (
	originalSteps  = steps{literal: "1", port: "2", fed: "4", legacy: "5", plain: "6"}
	delegatedSteps = steps{literal: "3.1", port: "3.2", fed: "3.3", legacy: "3.4", plain: "3.5"}
)

// walk is the resolution of one server name, as a value: each answer makes the next walk. It asks for a well-known document
// at most once and for SRV records at most twice, so every walk ends.
type walk struct {
	ask     question
	service string // of askSRV
	host    string // the hostname under resolution, original or delegated

	steps     steps
	header    string
	wellKnown string
	targets   []Target
	records   []dns.Service // where targets came from, if from SRV: to be put in order when used
	err       error
}

// begin is steps 1 and 2, or asks for the well-known document.
func begin(server ident.ServerName) walk {
	if _, err := ident.ParseServerName(string(server)); err != nil {
		return walk{err: fmt.Errorf("%w: %w", ErrInvalidName, err)}
	}
	w := walk{steps: originalSteps}.enter(server)
	if w.err == nil && w.targets == nil {
		w.ask = askWellKnown
	}
	return w
}

// answerWellKnown goes on below the delegated name (3.1 to 3.5), or at step 4 when there is none.
func (w walk) answerWellKnown(d Document) walk {
	w.wellKnown = d.Note
	if d.Server != "" {
		delegated := w
		delegated.steps = delegatedSteps
		if delegated = delegated.enter(d.Server); delegated.err == nil {
			w = delegated
		}
	}
	if w.targets != nil {
		return w
	}
	w.ask, w.service = askSRV, serviceFed
	return w
}

// answerSRV is steps 3.3 to 3.5 and 4 to 6. No records and no error mean that there is none.
func (w walk) answerSRV(records []dns.Service, err error) walk {
	switch {
	case err != nil:
		w.err = err
	case len(records) > 0:
		return w.useSRV(records)
	case w.service == serviceFed:
		w.service = serviceLegacy
		return w
	default:
		w.targets = []Target{w.target(w.host, defaultPort, w.steps.plain)}
	}
	w.ask = askNothing
	return w
}

// enter sets the name under resolution and ends the walk if it needs neither well-known nor DNS service records.
func (w walk) enter(server ident.ServerName) walk {
	host, portText := ident.SplitServerName(server)
	port := uint16(defaultPort)
	if portText != "" {
		n, err := strconv.ParseUint(portText, 10, 16)
		if err != nil || n == 0 {
			w.err = fmt.Errorf("%w: there is no port %s", ErrInvalidName, portText)
			return w
		}
		port = uint16(n)
	}
	w.host, w.header, w.ask = host, string(server), askNothing
	if _, err := netip.ParseAddr(host); err == nil {
		w.targets = []Target{w.target(host, port, w.steps.literal)}
	} else if portText != "" {
		w.targets = []Target{w.target(host, port, w.steps.port)}
	}
	return w
}

func (w walk) useSRV(records []dns.Service) walk {
	w.ask = askNothing
	step := w.steps.fed
	if w.service == serviceLegacy {
		step = w.steps.legacy
	}
	for _, record := range records {
		if !isHost(record.Target) || record.Port == 0 || len(w.targets) == maxTargets {
			continue
		}
		target := w.target(record.Target, record.Port, step)
		target.Direct = true
		w.records = append(w.records, record)
		w.targets = append(w.targets, target)
	}
	if w.targets == nil {
		w.err = fmt.Errorf("%s: %w", serviceName(w.service, w.host), ErrNoService)
	}
	return w
}

// serviceName is the name that SRV records stand at (RFC 2782).
func serviceName(service, host string) string { return "_" + service + "._tcp." + host }

// isHost keeps out of addresses what is no name in the DNS; "_" is one there, if not by the grammar of server names.
func isHost(s string) bool {
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '.', r == '_':
		default:
			return false
		}
	}
	return s != ""
}

func (w walk) target(host string, port uint16, step string) Target {
	return Target{
		Address:   net.JoinHostPort(host, strconv.Itoa(int(port))),
		Host:      w.header,
		TLSName:   w.host,
		Step:      step,
		WellKnown: w.wellKnown,
	}
}

// result is the targets in the order in which to try them. intn(n) is a random number in [0, n).
func (w walk) result(intn func(int) int) ([]Target, error) {
	if w.err != nil || w.records == nil {
		return w.targets, w.err
	}
	ordered := make([]Target, 0, len(w.targets))
	for _, i := range order(w.records, intn) {
		ordered = append(ordered, w.targets[i])
	}
	return ordered, nil
}
