// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
	"github.com/strata-matrix/strata/transport/turns"
)

// keyTimeout is how long a request waits for its origin's key: less than the 60 s for which peers wait for us.
const keyTimeout = 30 * time.Second

// claims are the X-Matrix headers of the request, unverified: all of one origin and none for another destination
// . On an open route they are not looked at.
func (in *inbound) claims() ([]signing.Credentials, error) {
	if in.match.route.Open {
		return nil, nil
	}
	var claims []signing.Credentials
	reason := "no X-Matrix authorization"
	for _, value := range in.http.Header.Values("Authorization") {
		if scheme, _, _ := strings.Cut(value, " "); !strings.EqualFold(scheme, signing.Scheme) {
			continue
		}
		if len(claims) == maxCredentials {
			return nil, errUnauthorized(fmt.Sprintf("more than %d X-Matrix headers", maxCredentials))
		}
		claim, err := signing.ParseAuthorization(value)
		switch {
		case err != nil:
			reason = err.Error()
		case claim.Destination != "" && claim.Destination != in.server.self:
			reason = fmt.Sprintf("signed for %s, this is %s", claim.Destination, in.server.self)
		case len(claims) > 0 && claims[0].Origin != claim.Origin:
			return nil, errUnauthorized("X-Matrix headers of several origins")
		default:
			claims = append(claims, claim)
		}
	}
	if len(claims) == 0 {
		return nil, errUnauthorized(reason)
	}
	if err := in.server.servers.Check(claims[0].Origin); err != nil {
		return nil, errForbidden // why is not for the peer to know
	}
	return claims, nil
}

// payer is who is charged for what is fetched for a request whose origin is not proven: the address that it came from, of IPv6 the
// network. Behind a proxy of ours all have one address: then it is the origin that is claimed, "" for none.
func (in *inbound) payer(claimed ident.ServerName) string {
	const network = 64 // bits; one customer's
	from, err := netip.ParseAddrPort(in.http.RemoteAddr)
	addr := from.Addr().Unmap()
	if err != nil || !(ranges{denied: DefaultDenied}).permit(addr) {
		return string(claimed)
	}
	if prefix, err := addr.Prefix(network); err == nil && addr.Is6() {
		return prefix.String()
	}
	return addr.String()
}

// verify finds a claim whose signature is good and returns its origin.
func (in *inbound) verify(ctx context.Context, claims []signing.Credentials, body canonicaljson.Value) (ident.ServerName, error) {
	fetching, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	now := time.Now().UnixMilli()
	queries := make([]keys.Query, len(claims))
	for i, claim := range claims {
		queries[i] = keys.Query{Server: claim.Origin, KeyID: claim.Key, At: now, Use: keys.ForRequest}
	}
	known := in.server.keys.Keys(fetching, queries)
	request := signing.Request{
		Method:      in.http.Method,
		URI:         in.uri(),
		Origin:      claims[0].Origin,
		Destination: in.server.self,
		Content:     body,
	}
	reason := ""
	verify := func() {
		for i, claim := range claims {
			public, found := known[queries[i]]
			if !found {
				reason = fmt.Sprintf("key %s of %s cannot be had", claim.Key, claim.Origin)
				continue
			}
			err := request.Verify(claim, public)
			if err == nil {
				reason = ""
				return
			}
			reason = err.Error()
		}
	}
	if err := turns.Do(ctx, verify); err != nil {
		return "", errBusy("the requests of others take too long")
	}
	if reason != "" {
		return "", errUnauthorized(reason)
	}
	return claims[0].Origin, nil
}
