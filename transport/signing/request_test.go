// SPDX-License-Identifier: Apache-2.0

package signing_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// with Synapse's signer as the judge: the same signature, in our strict header; and its header is understood.
func TestRequestAgainstSynapse(t *testing.T) {
	for _, tt := range loadRecorded(t).Requests {
		key := mustKey(t, tt.Key, tt.Seed)
		request := signing.Request{
			Method: tt.Method, URI: tt.URI,
			Origin: ident.ServerName(tt.Origin), Destination: ident.ServerName(tt.Destination),
		}
		if tt.Content != nil {
			request.Content = parse(t, *tt.Content)
		}
		want := `X-Matrix origin="` + tt.Origin + `",destination="` + tt.Destination + `",key="` + tt.Key + `",sig="` + tt.Signature + `"`
		ours := request.Authorization(key)
		if ours != want {
			t.Errorf("%s %s: %s\nwant %s", tt.Method, tt.URI, ours, want)
		}
		for _, header := range []string{ours, tt.Header} {
			credentials, err := signing.ParseAuthorization(header)
			if err != nil {
				t.Fatal(err)
			}
			if err := request.Verify(credentials, key.Public()); err != nil {
				t.Errorf("%s: %v", header, err)
			}
		}
	}
}

func TestRequestVerifyRefuses(t *testing.T) {
	key := specKey(t)
	request := signing.Request{
		Method: "PUT", URI: "/_matrix/federation/v1/send/1?a=b", Origin: "a.example", Destination: "b.example",
		Content: parse(t, `{"pdus":[]}`),
	}
	good, err := signing.ParseAuthorization(request.Authorization(key))
	if err != nil {
		t.Fatal(err)
	}
	type change func(r *signing.Request, c *signing.Credentials)
	for name, tt := range map[string]struct {
		change change
		want   error
	}{
		"as signed":               {func(*signing.Request, *signing.Credentials) {}, nil},
		"X-42: no destination":    {func(_ *signing.Request, c *signing.Credentials) { c.Destination = "" }, nil},
		"origin left to them":     {func(r *signing.Request, _ *signing.Credentials) { r.Origin = "" }, nil},
		"content in another form": {func(r *signing.Request, _ *signing.Credentials) { r.Content = parse(t, " { \"pdus\" : [ ] } ") }, nil},
		"padded signature":        {func(_ *signing.Request, c *signing.Credentials) { c.Signature += "==" }, nil},
		"X-42, G-H1: not for us":  {func(_ *signing.Request, c *signing.Credentials) { c.Destination = "B.example" }, signing.ErrWrongDestination},
		"signed for another":      {func(r *signing.Request, c *signing.Credentials) { r.Destination, c.Destination = "c.example", "" }, signing.ErrBadSignature},
		"X-46: two origins":       {func(_ *signing.Request, c *signing.Credentials) { c.Origin = "c.example" }, signing.ErrWrongOrigin},
		"method":                  {func(r *signing.Request, _ *signing.Credentials) { r.Method = "POST" }, signing.ErrBadSignature},
		"query":                   {func(r *signing.Request, _ *signing.Credentials) { r.URI = strings.TrimSuffix(r.URI, "?a=b") }, signing.ErrBadSignature},
		"content":                 {func(r *signing.Request, _ *signing.Credentials) { r.Content = parse(t, `{"pdus":[1]}`) }, signing.ErrBadSignature},
		"no content":              {func(r *signing.Request, _ *signing.Credentials) { r.Content = canonicaljson.Value{} }, signing.ErrBadSignature},
		"signature":               {func(_ *signing.Request, c *signing.Credentials) { c.Signature = "AA" + c.Signature[2:] }, signing.ErrBadSignature},
		"not base64":              {func(_ *signing.Request, c *signing.Credentials) { c.Signature = "?" }, signing.ErrBadSignature},
		"algorithm":               {func(_ *signing.Request, c *signing.Credentials) { c.Key = "rsa:1" }, signing.ErrBadSignature},
	} {
		r, c := request, good
		tt.change(&r, &c)
		if err := r.Verify(c, key.Public()); !errors.Is(err, tt.want) || (tt.want == nil && err != nil) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if err := request.Verify(good, []byte("short")); !errors.Is(err, signing.ErrBadSignature) {
		t.Errorf("G-C5: a short key gives %v", err)
	}
}

func parse(t *testing.T, text string) canonicaljson.Value {
	t.Helper()
	v, err := canonicaljson.Parse([]byte(text), canonicaljson.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
