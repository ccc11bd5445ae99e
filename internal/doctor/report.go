// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Report is what was found. The members in capitals are those of the public federation tester.
type Report struct {
	ServerName string    `json:"server_name"`
	Targets    []Target  `json:"targets"` // where requests go, best first
	Steps      []Step    `json:"steps"`
	Findings   []Finding `json:"findings"`

	FederationOK      bool                  `json:"FederationOK"`
	Error             string                `json:"Error,omitempty"` // before anything could be connected to
	WellKnownResult   WellKnown             `json:"WellKnownResult"`
	DNSResult         DNS                   `json:"DNSResult"`
	ConnectionReports map[string]Connection `json:"ConnectionReports"` // by address and port
	ConnectionErrors  map[string]Message    `json:"ConnectionErrors"`
	Version           Version               `json:"Version"`
}

// Target is one place that requests go to.
type Target struct {
	Address     string   `json:"address"`
	Addresses   []string `json:"addresses"`   // of it, with the port: those that we connect to
	Host        string   `json:"host"`        // header
	Certificate string   `json:"certificate"` // the name that it must be for
	Step        string   `json:"step"`        // of SS "Resolving server names"
}

// Status is how a step went.
type Status string

// The statuses, the worse ones last.
const (
	Skipped Status = "skipped"
	OK      Status = "ok"
	Warned  Status = "warn"
	Failed  Status = "fail"
)

// Step is one step, with its evidence.
type Step struct {
	N        int      `json:"n"`
	ID       string   `json:"id"`
	Status   Status   `json:"status"`
	Millis   int64    `json:"ms"`
	Evidence []string `json:"evidence"` // lines
	Codes    []string `json:"codes,omitempty"`
}

// Finding is something that is wrong.
type Finding struct {
	Code string `json:"code"`
	Spec string `json:"spec,omitempty"`
	Text string `json:"text"`
	Fix  string `json:"fix"`
}

// found makes a finding with its particulars.
func found(c Code, format string, args ...any) Finding {
	f := Finding(c)
	if particulars := fmt.Sprintf(format, args...); particulars != "" {
		f.Text += ": " + particulars
	}
	return f
}

// IsFailure tells whether requests fail of it.
func (f Finding) IsFailure() bool { return f.Code[0] == 'E' }

// newStep makes a step, whose status its findings give.
func newStep(id string, evidence []string, findings []Finding) Step {
	s := Step{ID: id, Status: OK, Evidence: evidence}
	for _, f := range findings {
		s.Codes = append(s.Codes, f.Code)
		switch {
		case f.IsFailure():
			s.Status = Failed
		case s.Status == OK:
			s.Status = Warned
		}
	}
	return s
}

// conclude is whether federation works.
func (r *Report) conclude() { r.FederationOK = !slices.ContainsFunc(r.Findings, Finding.IsFailure) }

// Failures and warnings among the findings.
func (r *Report) Count() (failures, warnings int) {
	for _, f := range r.Findings {
		if f.IsFailure() {
			failures++
		} else {
			warnings++
		}
	}
	return failures, warnings
}

// The rest is the tester's.

// WellKnown is the well-known document.
type WellKnown struct {
	Server string `json:"m.server"`
	Result string `json:"result,omitempty"` // why there is none
	Expiry int64  `json:"CacheExpiresAt"`   // s
}

// DNS is what the DNS says.
type DNS struct {
	SRVSkipped bool            `json:"SRVSkipped"`
	SRVCName   string          `json:"SRVCName"`
	SRVRecords []SRV           `json:"SRVRecords"`
	SRVError   *Message        `json:"SRVError"`
	Hosts      map[string]Host `json:"Hosts"`
	Addrs      []string        `json:"Addrs"`
}

// SRV is a service record.
type SRV struct {
	Target                 string
	Port, Priority, Weight uint16
}

// Host is what the DNS says of a host.
type Host struct {
	CName string
	Addrs []string
	Error *Message
}

// Message is an error.
type Message struct{ Message string }

// Connection is what was seen at one address.
type Connection struct {
	Certificates      []Certificate
	Cipher            Cipher
	Checks            Checks
	Errors            []Message
	Ed25519VerifyKeys map[string]string
	Info              struct{}
	Keys              json.RawMessage `json:",omitempty"`
}

// Certificate is one of the chain.
type Certificate struct {
	SubjectCommonName string
	IssuerCommonName  string
	SHA256Fingerprint string // base64
	DNSNames          []string
	NotAfter          time.Time
}

// Cipher is how the connection is protected.
type Cipher struct{ Version, CipherSuite string }

// Checks are what the tester checks.
type Checks struct {
	AllChecksOK        bool
	MatchingServerName bool
	FutureValidUntilTS bool
	HasEd25519Key      bool
	AllEd25519ChecksOK bool
	Ed25519Checks      map[string]KeyChecks
	ValidCertificates  bool
}

// KeyChecks are what the tester checks of a key.
type KeyChecks struct{ ValidEd25519, MatchingSignature bool }

// Version is what the server says that it is.
type Version struct {
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	Error   string `json:"error,omitempty"`
}
