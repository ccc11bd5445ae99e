// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/dns"
)

// wellKnown is step 3 of the specification, X-22 to X-24.
func (e *exam) wellKnown(ctx context.Context, everywhere bool) {
	i := slices.IndexFunc(e.resolved.Steps, func(s discovery.Step) bool { return s.Document != nil })
	if i < 0 {
		e.report.WellKnownResult.Result = "not asked for: the name has a port or is an IP address"
		e.skip("well-known", "the name has a port or is an IP address (X-20, X-21)")
		return
	}
	d := e.resolved.Steps[i].Document
	e.report.WellKnownResult = WellKnown{Server: string(d.Server), Expiry: d.Expires.Unix()}
	evidence := []string{fmt.Sprintf("%s: status %d, %q, %d bytes, kept until %s",
		d.URL, d.Status, d.ContentType, d.Bytes, d.Expires.UTC().Format(time.RFC3339))}
	if e.resolved.Steps[i].Kept {
		evidence[0] += " (kept)"
	}
	var findings []Finding
	switch {
	case d.IsStale():
		evidence = append(evidence, "m.server = "+string(d.Server)+", of before: "+d.Problem)
		findings = append(findings, found(codeStale, "%s", d.Problem))
	case d.Server != "":
		evidence = append(evidence, "m.server = "+string(d.Server))
		if kind, _, _ := mime.ParseMediaType(d.ContentType); kind != "application/json" {
			findings = append(findings, found(codeWellKnownType, "%q", d.ContentType))
		}
	case d.Note != "" && d.Status != http.StatusNotFound:
		findings = append(findings, found(codeWellKnown, "%s", d.Note))
		e.report.WellKnownResult.Result = d.Note
	case d.Problem != "":
		evidence = []string{d.Problem + ": passed over"}
		e.report.WellKnownResult.Result = d.Problem
	default:
		evidence = append(evidence, "no delegation")
		e.report.WellKnownResult.Result = "no delegation"
	}
	if everywhere {
		lines, differ := compareDocuments(e.Network.DocumentByAddress(ctx, d.Host))
		evidence, findings = append(evidence, lines...), append(findings, differ...)
	}
	e.step("well-known", e.resolved.Steps[i].Took, evidence, findings...)
}

// compareDocuments tells what each address of the host answers, if that is not the same everywhere: whoever asks gets one of them.
func compareDocuments(all []transport.AddressedDocument) (evidence []string, findings []Finding) {
	said := map[string]bool{}
	for _, d := range all {
		said[string(d.Server)] = true
		answer := "m.server = " + string(d.Server)
		if d.Server == "" {
			answer = d.Problem
		}
		evidence = append(evidence, fmt.Sprintf("%s: %s", d.Addr, answer))
	}
	if len(said) < 2 {
		return nil, nil
	}
	return evidence, []Finding{found(codeDiffers, "")}
}

// services are the SRV records, X-27, X-28, X-32.
func (e *exam) services() {
	result := &e.report.DNSResult
	var evidence []string
	var findings []Finding
	var took time.Duration
	for _, s := range e.resolved.Steps {
		if s.Service == "" {
			continue
		}
		took += s.Took
		result.SRVCName = s.Service
		switch {
		case s.Err != nil:
			result.SRVError = &Message{s.Err.Error()}
			evidence = append(evidence, s.Service+": "+s.Err.Error())
			findings = append(findings, found(codeSRV, "%v", s.Err))
			continue
		case len(s.Services.List) == 0:
			evidence = append(evidence, s.Service+": none"+kept(s.Kept))
			continue
		case strings.HasPrefix(s.Service, "_matrix."):
			findings = append(findings, found(codeLegacySRV, "%s", s.Service))
		}
		for _, r := range s.Services.List {
			result.SRVRecords = append(result.SRVRecords, SRV{r.Target, r.Port, r.Priority, r.Weight})
			evidence = append(evidence, fmt.Sprintf("%s: %d %d %d %s.%s", s.Service, r.Priority, r.Weight, r.Port, r.Target, kept(s.Kept)))
		}
	}
	if evidence == nil {
		result.SRVSkipped = true
		e.skip("SRV", "a port or an address is given already (X-20, X-21, X-25, X-26)")
		return
	}
	if errors.Is(e.resolved.Err, discovery.ErrNoService) {
		findings = append(findings, found(codeNoService, ""))
	}
	e.step("SRV", took, evidence, findings...)
}

// addresses are those of all targets. It is false when there is none to connect to.
func (e *exam) addresses(took time.Duration) bool {
	var evidence []string
	var findings []Finding
	usable := 0
	for _, p := range e.resolved.Places {
		host := Host{CName: p.Canonical, Addrs: []string{}}
		target := Target{Address: p.Target.Address, Addresses: []string{}, Host: p.Target.Host, Certificate: p.Target.TLSName, Step: p.Target.Step}
		for _, addr := range p.Addresses {
			host.Addrs = append(host.Addrs, addr.Addr().String())
			target.Addresses = append(target.Addresses, addr.String())
		}
		usable += len(p.Addresses)
		line := fmt.Sprintf("step %s: %s is at %s%s", p.Target.Step, p.Target.Address, orNowhere(host.Addrs), kept(p.Kept))
		if p.Err != nil {
			host.Error = &Message{p.Err.Error()}
			line = fmt.Sprintf("step %s: %s: %v", p.Target.Step, p.Target.Address, p.Err)
		}
		if len(p.Denied) > 0 {
			line += fmt.Sprintf("; we do not connect to %v", p.Denied)
		}
		evidence, findings = append(evidence, line), append(findings, findingsOfPlace(p)...)
		e.report.Targets = append(e.report.Targets, target)
		e.report.DNSResult.Addrs = append(e.report.DNSResult.Addrs, target.Addresses...)
		if name, _, err := net.SplitHostPort(p.Target.Address); err == nil {
			e.report.DNSResult.Hosts[name] = host
		}
	}
	if e.resolved.Err != nil {
		e.report.Error = e.resolved.Err.Error()
		evidence = append(evidence, e.resolved.Err.Error())
		if !slices.ContainsFunc(e.report.Findings, Finding.IsFailure) {
			findings = append(findings, found(codeNoAddress, "%v", e.resolved.Err))
		}
	}
	e.step("address", took, evidence, findings...)
	return usable > 0
}

func orNowhere(addrs []string) string {
	if len(addrs) == 0 {
		return "no address that we connect to"
	}
	return strings.Join(addrs, " ")
}

// kept marks what was not asked for now.
func kept(is bool) string {
	if is {
		return " (kept)"
	}
	return ""
}

// findingsOfPlace are what is wrong with a target's host.
func findingsOfPlace(p transport.Place) (findings []Finding) {
	switch {
	case p.Err == nil:
	case p.Target.Direct && p.Canonical != "":
		findings = append(findings, found(codeAlias, "%v", p.Err))
	case errors.Is(p.Err, dns.ErrNoAddress):
		findings = append(findings, found(codeNoAddress, "%v", p.Err))
	default:
		findings = append(findings, found(codeLookup, "%v", p.Err))
	}
	switch {
	case len(p.Denied) == 0:
	case len(p.Addresses) == 0:
		findings = append(findings, found(codeDenied, "%v", p.Denied))
	default: // others are tried
		findings = append(findings, found(codeSomeDenied, "%v", p.Denied))
	}
	return findings
}
