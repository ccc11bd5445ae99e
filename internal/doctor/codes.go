// SPDX-License-Identifier: Apache-2.0

package doctor

// Code names a finding. Codes are stable: one that is out of use is not given to something else.
type Code struct {
	Code string
	Spec string // the rule of docs/conformance.md
	Text string // what is wrong
	Fix  string // what to do, for the operator of the server that is looked at
}

// The codes, by step.
var (
	codeConfig      = Code{"E001", "", "the configuration has faults", "correct what is listed; strata config check lists them too"}
	codeKeyFile     = Code{"E002", "X-50", "the signing key cannot be read", "put the copy of the key file in place; without it nobody believes that it is you"}
	codeOwnCert     = Code{"E003", "X-35", "our certificate is of no use", "renew it, for the name that others look for"}
	codeNotRunning  = Code{"E004", "", "the server does not run", "start it: strata serve"}
	codeOtherKeys   = Code{"E005", "X-50", "whoever answers under our name has other keys than we", "another server answers there, or a restart is due: see the address"}
	codeOwnExpiring = Code{"W006", "X-35", "our certificate expires soon", "renew it; what renews it by itself seems not to"}

	codeName         = Code{"E101", "X-10", "this is no server name", "write the part of a user id after its first colon"}
	codeNotFederated = Code{"E102", "", "we do not federate with it, by our own configuration", "see federation_domain_whitelist and forbidden_remote_server_names"}

	codeWellKnown     = Code{"W201", "X-23", "the well-known document cannot be used, and is passed over", "have it answered with status 200 and {\"m.server\": \"host:port\"}, or with 404 if it is not wanted"}
	codeWellKnownType = Code{"W202", "X-23", "the well-known document does not say that it is JSON", "send it with Content-Type: application/json"}
	codeStale         = Code{"W203", "X-24", "the well-known document cannot be had now, and what it said before is used for up to 48 hours", "see that the web server answers"}
	codeDiffers       = Code{"W204", "X-22", "the addresses of the host give different well-known documents", "have all of them answer the same, IPv4 and IPv6"}

	codeSRV       = Code{"E301", "X-27", "the DNS does not answer", "see whether the name servers of the domain work; others get no further either"}
	codeNoService = Code{"E302", "X-32", "the SRV record says that there is no such service", "remove the record with target \".\", or name the server in it"}
	codeLegacySRV = Code{"W303", "X-28", "the SRV record is of the deprecated service _matrix", "name it _matrix-fed as well"}

	codeNoAddress  = Code{"E401", "X-29", "the host has no address", "add A and AAAA records for it"}
	codeDenied     = Code{"E402", "", "the address is of a range that we do not connect to", "publish a public address; in a private network set ip_range_whitelist or allow_private_addresses"}
	codeAlias      = Code{"E403", "X-31", "the target of the SRV record is an alias", "name the host itself in the record, not a CNAME"}
	codeLookup     = Code{"E404", "X-29", "the DNS does not tell the address of the host", "see whether the name servers of the domain work, and ours: dns_servers"}
	codeSomeDenied = Code{"W405", "X-32", "some of the addresses are of ranges that we do not connect to", "remove private addresses from the DNS"}

	codeConnect     = Code{"E501", "X-20", "nobody answers there", "start the server, open its port in the firewall, or correct the address"}
	codeOneOfMany   = Code{"W502", "X-32", "the server answers at some of its addresses only", "open the port for that address too, or remove the record"}
	codeCertificate = Code{"E503", "X-35", "the certificate is not good for the name", "get one from a public authority for that name, with its chain; an SRV record does not change the name"}
	codeExpiring    = Code{"W504", "X-35", "the certificate expires in less than 14 days", "renew it"}
	codeTLS         = Code{"E505", "X-01", "TLS does not come about", "speak TLS 1.2 or later on that port"}
	codeUnverified  = Code{"W506", "X-36", "the certificate is not checked, by our own configuration", "remove the exception when the server has a good certificate"}

	codeVersion = Code{"E601", "E-02", "no Matrix server answers there", "have the proxy hand on everything below /_matrix, to Matrix clients that are no browsers too"}

	codeNoKeys     = Code{"E701", "E-03", "the server does not publish its keys", "have the proxy hand on /_matrix/key"}
	codeBadKeys    = Code{"E702", "X-51", "the published keys are not good", "sign them for the server's own name, with one of them"}
	codeOutdated   = Code{"E703", "X-52", "the published keys have run out", "see to the server's clock, or restart it"}
	codeShort      = Code{"W704", "X-55", "the published keys are valid for less than an hour", "publish a validity of at least an hour"}
	codeDisagree   = Code{"W705", "X-61", "a notary tells other keys", "see strata keys show: one of the two is wrong, or has not heard of a rotation yet"}
	codeChangedKey = Code{"E706", "X-50", "a key id stands for another key than before", "give a new key a new id; others believe the key that they saw first"}

	codeRefused   = Code{"E801", "X-46", "the server does not accept our signature", "see that others can fetch our keys: strata doctor, without a name"}
	codeQueryFail = Code{"W802", "X-40", "a signed request does not get a proper answer", "see what the answer says; strata raw shows all of it"}

	codeClock  = Code{"E901", "X-52", "the clocks differ by more than five minutes", "set the clock by NTP"}
	codeSkewed = Code{"W902", "X-52", "the clocks differ by more than ten seconds", "set the clock by NTP"}
)

// Codes is all of them in order.
func Codes() []Code {
	return []Code{
		codeConfig, codeKeyFile, codeOwnCert, codeNotRunning, codeOtherKeys, codeOwnExpiring,
		codeName, codeNotFederated,
		codeWellKnown, codeWellKnownType, codeStale, codeDiffers,
		codeSRV, codeNoService, codeLegacySRV,
		codeNoAddress, codeDenied, codeAlias, codeLookup, codeSomeDenied,
		codeConnect, codeOneOfMany, codeCertificate, codeExpiring, codeTLS, codeUnverified,
		codeVersion,
		codeNoKeys, codeBadKeys, codeOutdated, codeShort, codeDisagree, codeChangedKey,
		codeRefused, codeQueryFail,
		codeClock, codeSkewed,
	}
}
