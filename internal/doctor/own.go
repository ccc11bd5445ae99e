// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/transport/keys"
)

// Own is what can be told of our own server without asking anybody. It comes before the steps of a report on our own name.
type Own struct {
	Files       string   // what was read
	Faults      []string // of the configuration
	KeyFile     string
	Keys        []keys.OwnKey
	KeyErr      error             // why there is none
	Certificate *x509.Certificate // nil: not from a file
	CertErr     error
	Running     string // where the server answers, "" if it does not
}

// Precede puts what is known of our own server in front of a report.
func (r *Report) Precede(o Own, now time.Time) {
	var steps []Step
	var all []Finding
	add := func(id string, evidence []string, findings ...Finding) {
		steps, all = append(steps, newStep(id, evidence, findings)), append(all, findings...)
	}
	var faults []Finding
	for _, fault := range o.Faults {
		faults = append(faults, found(codeConfig, "%s", fault))
	}
	add("configuration", []string{o.Files}, faults...)
	if o.KeyErr != nil {
		add("key file", []string{o.KeyFile}, found(codeKeyFile, "%v", o.KeyErr))
	} else {
		evidence := []string{o.KeyFile}
		for _, k := range o.Keys {
			evidence = append(evidence, fmt.Sprintf("%s %s", k.ID, k.Phase))
		}
		add("key file", evidence)
	}
	switch {
	case o.CertErr != nil:
		add("certificate", nil, found(codeOwnCert, "%v", o.CertErr))
	case o.Certificate != nil:
		add("certificate", []string{fmt.Sprintf("for %v, until %s", names(o.Certificate.DNSNames, o.Certificate.IPAddresses),
			o.Certificate.NotAfter.UTC().Format(time.RFC3339))}, certificateAge(o.Certificate, now)...)
	}
	if o.Running == "" {
		add("process", []string{"no server answers its control socket"}, found(codeNotRunning, ""))
	} else {
		add("process", []string{"answers at " + o.Running})
	}
	r.Steps, r.Findings = slices.Concat(steps, r.Steps), slices.Concat(all, r.Findings)
	for i := range r.Steps {
		r.Steps[i].N = i + 1
	}
	r.conclude()
}

func certificateAge(cert *x509.Certificate, now time.Time) []Finding {
	switch left := cert.NotAfter.Sub(now); {
	case left < 0:
		return []Finding{found(codeOwnCert, "it expired at %s", cert.NotAfter.UTC().Format(time.RFC3339))}
	case left < expiresSoon:
		return []Finding{found(codeOwnExpiring, "at %s", cert.NotAfter.UTC().Format(time.RFC3339))}
	}
	return nil
}
