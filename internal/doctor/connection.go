// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/signing"
)

// expiresSoon is when a certificate is worth a warning: those of Let's Encrypt are renewed 30 days before they end.
const expiresSoon = 14 * 24 * time.Hour

// connections is what every address showed.
func (e *exam) connections(took time.Duration) {
	var evidence []string
	var failures, warnings []Finding
	good := 0
	for _, v := range e.visits {
		line, finding := e.connection(v)
		evidence = append(evidence, line)
		switch {
		case v.Err == nil:
			good++
			if finding != nil {
				warnings = append(warnings, *finding)
			}
		case finding != nil:
			failures = append(failures, *finding)
		}
	}
	if good > 0 && len(failures) > 0 { // others get through, if later
		warnings = append(warnings, found(codeOneOfMany, "%s", failures[0].Text))
		failures = nil
	}
	if len(failures) > 1 {
		failures = failures[:1] // the lines have the others
	}
	e.step("TCP and TLS", took, evidence, append(failures, warnings...)...)
}

// connection describes one address, in a line and in the tester's form.
func (e *exam) connection(v visit) (line string, finding *Finding) {
	note := func(c Code, format string, args ...any) {
		f := found(c, format, args...)
		finding = &f
	}
	addr := v.addr.String()
	if v.TLS == nil {
		e.report.ConnectionErrors[addr] = Message{v.Err.Error()}
		code := codeConnect
		if v.Err.Class == transport.ClassTLS {
			code = codeTLS
		}
		note(code, "%v", v.Err)
		return fmt.Sprintf("%s: %v", addr, v.Err), finding
	}
	report := Connection{
		Cipher: Cipher{tls.VersionName(v.TLS.Version), tls.CipherSuiteName(v.TLS.CipherSuite)},
		Checks: Checks{ValidCertificates: v.Certificate == nil, Ed25519Checks: map[string]KeyChecks{}},
		Errors: []Message{}, Ed25519VerifyKeys: map[string]string{},
	}
	for _, cert := range v.TLS.PeerCertificates {
		sum := sha256.Sum256(cert.Raw)
		report.Certificates = append(report.Certificates, Certificate{
			cert.Subject.CommonName, cert.Issuer.CommonName, signing.EncodeBase64(sum[:]), cert.DNSNames, cert.NotAfter,
		})
	}
	leaf := v.TLS.PeerCertificates[0]
	left := time.Until(leaf.NotAfter)
	line = fmt.Sprintf("%s: %s, certificate for %v by %q, expires in %d days, as %s", addr, tls.VersionName(v.TLS.Version),
		names(leaf.DNSNames, leaf.IPAddresses), leaf.Issuer.CommonName, int(left.Hours()/24), v.target.TLSName)
	switch {
	case v.Certificate != nil && !v.Unverified:
		note(codeCertificate, "%v", v.Certificate)
		line += ": " + v.Certificate.Error()
	case v.Err != nil:
		note(codeVersion, "%v", v.Err)
		line += ": " + v.Err.Error()
	case v.Certificate != nil:
		note(codeUnverified, "%v", v.Certificate)
	case left < expiresSoon:
		note(codeExpiring, "%s", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	if v.Certificate != nil {
		report.Errors = append(report.Errors, Message{v.Certificate.Error()})
	} else if v.Err != nil {
		report.Errors = append(report.Errors, Message{v.Err.Error()})
	}
	e.report.ConnectionReports[addr] = report
	return line, finding
}

// names are those that a certificate is for, the first few of them.
func names[IP fmt.Stringer](hosts []string, addrs []IP) []string {
	const shown = 4
	all := slices.Clone(hosts)
	for _, addr := range addrs {
		all = append(all, addr.String())
	}
	return all[:min(len(all), shown)]
}

// version is E-02.
func (e *exam) version() {
	var first error
	for _, v := range e.answered() {
		name, version, err := transport.ReadVersion(v.Replies[0])
		if err == nil {
			e.report.Version = Version{Name: name, Version: version}
			e.step("/version", v.Replies[0].Took, []string{fmt.Sprintf("%s %s", name, version)})
			return
		}
		first = err
	}
	e.report.Version.Error = first.Error()
	e.step("/version", 0, []string{first.Error()}, found(codeVersion, "%v", first))
}

// keys are E-03 at every address, and what a notary says.
func (e *exam) keys(ctx context.Context) {
	var evidence []string
	var findings []Finding
	var document *KeyReport
	for _, v := range e.answered() {
		raw := v.Replies[1]
		if raw.Status != 200 || !json.Valid(raw.Body) {
			findings = append(findings, found(codeNoKeys, "%s: status %d", v.addr, raw.Status))
			continue
		}
		r := ExamineKeys(e.name, raw.Body, e.now)
		evidence = append(evidence, fmt.Sprintf("%s: %s", v.addr, r.summary(e.now)))
		e.report.addKeys(v.addr.String(), r, raw.Body, e.now)
		if document == nil {
			document, findings = &r, append(findings, r.Findings...)
		}
	}
	if document != nil {
		findings = append(findings, e.compareOwn(*document)...)
		findings = append(findings, e.compareSeen(*document)...)
		told, disagree := e.askNotaries(ctx, *document)
		evidence, findings = append(evidence, told...), append(findings, disagree...)
	}
	e.step("keys", 0, evidence, findings...)
}

// addKeys puts a key document into the tester's form.
func (r *Report) addKeys(addr string, k KeyReport, raw []byte, now time.Time) {
	c := r.ConnectionReports[addr]
	c.Keys = raw
	c.Checks.MatchingServerName = len(k.Keys) > 0
	c.Checks.FutureValidUntilTS = k.ValidUntil > now.UnixMilli()
	c.Checks.AllEd25519ChecksOK = true
	for _, state := range k.Keys {
		if state.ExpiredTS != 0 {
			continue
		}
		c.Checks.HasEd25519Key = true
		matches := state.Signature == signatureOK
		c.Checks.Ed25519Checks[state.KeyID] = KeyChecks{ValidEd25519: true, MatchingSignature: matches}
		c.Checks.AllEd25519ChecksOK = c.Checks.AllEd25519ChecksOK && matches
		c.Ed25519VerifyKeys[state.KeyID] = state.Public
	}
	c.Checks.AllChecksOK = c.Checks.MatchingServerName && c.Checks.FutureValidUntilTS && c.Checks.HasEd25519Key &&
		c.Checks.AllEd25519ChecksOK && c.Checks.ValidCertificates
	r.ConnectionReports[addr] = c
}

// compareSeen holds it against what the server itself said before.
func (e *exam) compareSeen(document KeyReport) (findings []Finding) {
	for _, k := range document.Keys {
		if before := e.Seen[k.KeyID]; before != "" && before != k.Public {
			findings = append(findings, found(codeChangedKey, "%s was %s and is %s", k.KeyID, before, k.Public))
		}
	}
	return findings
}

// compareOwn holds what is published under our name against our key file.
func (e *exam) compareOwn(document KeyReport) (findings []Finding) {
	if e.Own == nil {
		return nil
	}
	signer := e.Own.SigningKey()
	for _, k := range document.Keys {
		if k.KeyID == string(signer.ID) && k.Public == signing.EncodeBase64(signer.Public()) && k.ExpiredTS == 0 {
			return nil
		}
	}
	return []Finding{found(codeOtherKeys, "%s, with which we sign, is not among them", signer.ID)}
}

// askNotaries tells who agrees with the server's document.
func (e *exam) askNotaries(ctx context.Context, document KeyReport) (evidence []string, findings []Finding) {
	direct := map[string]string{}
	for _, k := range document.Keys {
		direct[k.KeyID] = k.Public
	}
	for _, notary := range e.Notary {
		if e.Ring == nil || notary == e.name {
			continue
		}
		docs, err := e.Ring.Hear(ctx, notary, e.name)
		if len(docs) == 0 {
			evidence = append(evidence, fmt.Sprintf("notary %s: %v", notary, err))
			continue
		}
		verdict := "agrees"
		for id, public := range docs[len(docs)-1].Current {
			if direct[string(id)] != signing.EncodeBase64(public) {
				verdict = "tells another key " + string(id)
				findings = append(findings, found(codeDisagree, "%s: %s", notary, id))
			}
		}
		evidence = append(evidence, fmt.Sprintf("notary %s %s", notary, verdict))
	}
	return evidence, findings
}

// errcode is that of a Matrix error, "" for none.
func errcode(body []byte) string {
	var reply struct{ Errcode string }
	_ = json.Unmarshal(body, &reply) // what is no Matrix error has none
	return reply.Errcode
}

// cut is the beginning of a reply.
func cut(body []byte) string {
	const shown = 200
	return fmt.Sprintf("%.*q", shown, body[:min(len(body), shown)])
}
