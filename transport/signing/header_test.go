// SPDX-License-Identifier: Apache-2.0

package signing_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/signing"
)

// G-H2 and the example of the server-server API, "Request Authentication" (V-16).
func TestParseAuthorization(t *testing.T) {
	plain := signing.Credentials{Origin: "a.com", Destination: "b.com", Key: "ed25519:k", Signature: "AB/+"}
	for _, tt := range []struct {
		name, header string
		want         signing.Credentials
	}{
		{"V-16", `X-Matrix origin="origin.hs.example.com",destination="destination.hs.example.com",key="ed25519:key1",sig="ABCDEF..."`,
			signing.Credentials{Origin: "origin.hs.example.com", Destination: "destination.hs.example.com", Key: "ed25519:key1", Signature: "ABCDEF..."}},
		{"scheme in any case", `x-matrix origin="a.com",destination="b.com",key="ed25519:k",sig="AB/+"`, plain},
		{"several spaces", `X-Matrix   origin="a.com",destination="b.com",key="ed25519:k",sig="AB/+"`, plain},
		{"blanks around commas", "X-Matrix origin=\"a.com\" ,\tdestination=\"b.com\"\t , key=\"ed25519:k\",  sig=\"AB/+\"  ", plain},
		{"blanks around =", "X-Matrix origin = \"a.com\",destination\t=b.com,key= \"ed25519:k\",sig=\"AB/+\"", plain},
		{"names in any case and order", `X-Matrix SIG="AB/+",kEy="ed25519:k",Destination="b.com",ORIGIN="a.com"`, plain},
		{"bare values with a colon", `X-Matrix origin=a.com:80,destination=[::1]:8448,key=ed25519:k,sig=AB/+`,
			signing.Credentials{Origin: "a.com:80", Destination: "[::1]:8448", Key: "ed25519:k", Signature: "AB/+"}},
		{"bare padded base64", `X-Matrix origin=a.com,destination=b.com,key=ed25519:k,sig=AA==`,
			signing.Credentials{Origin: "a.com", Destination: "b.com", Key: "ed25519:k", Signature: "AA=="}},
		{"escapes", `X-Matrix origin="a\.com",destination="b.\c\o\m",key="ed25519:k",sig="A\B/+"`, plain},
		{"comma and quote inside quotes", `X-Matrix x="a,origin=\"c.com\",",origin="a.com",destination="b.com",key="ed25519:k",sig="AB/+"`, plain},
		{"unknown parameters", `X-Matrix origin="a.com",signature=zz,destination="b.com",key="ed25519:k",sig="AB/+",é="1"`, signing.Credentials{}},
		{"unknown token parameters", `X-Matrix origin="a.com",signature=zz,x-y="é",destination="b.com",key="ed25519:k",sig="AB/+"`, plain},
		{"empty list elements", `X-Matrix ,origin="a.com",,destination="b.com", ,key="ed25519:k",sig="AB/+",`, plain},
		{"X-42: no destination", `X-Matrix origin="a.com",key="ed25519:k",sig="AB/+"`,
			signing.Credentials{Origin: "a.com", Key: "ed25519:k", Signature: "AB/+"}},
	} {
		got, err := signing.ParseAuthorization(tt.header)
		if (err == nil) != (tt.want != signing.Credentials{}) {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestParseAuthorizationRefuses(t *testing.T) {
	for _, header := range []string{
		"", "X-Matrix", "X-Matrix ", "Bearer abc", "X-Matrixorigin=a",
		"X-Matrix\torigin=\"a.com\",key=\"ed25519:k\",sig=\"AB\"",
		`X-Matrix origin="a.com",key="ed25519:k"`,
		`X-Matrix origin="a.com",sig="AB"`,
		`X-Matrix key="ed25519:k",sig="AB"`,
		`X-Matrix origin="a.com",key="ed25519:k",signature="AB"`, // only sig
		`X-Matrix origin="a.com",origin="a.com",key="ed25519:k",sig="AB"`,
		`X-Matrix origin="a.com",ORIGIN="b.com",key="ed25519:k",sig="AB"`,
		`X-Matrix origin="a com",key="ed25519:k",sig="AB"`,
		`X-Matrix origin="",key="ed25519:k",sig="AB"`,
		`X-Matrix origin=,key="ed25519:k",sig="AB"`,
		`X-Matrix origin="a.com",destination="",key="ed25519:k",sig="AB"`,
		`X-Matrix origin="a.com",destination="é",key="ed25519:k",sig="AB"`,
		`X-Matrix origin="a.com",key="ed25519",sig="AB"`,
		`X-Matrix origin="a.com",key="ed25519:k-1",sig="AB"`,
		`X-Matrix origin="a.com",key="ed25519:k",sig="AB`,
		`X-Matrix origin="a.com",key="ed25519:k",sig="AB\`,
		`X-Matrix origin="a.com"key="ed25519:k",sig="AB"`,
		`X-Matrix origin="a.com" key="ed25519:k",sig="AB"`,
		`X-Matrix origin="a.com",key="ed25519:k",sig=A"B`,
		`X-Matrix origin="a.com",key="ed25519:k",sig="AB",x`,
		`X-Matrix origin="a.com",key="ed25519:k",sig="AB",=x`,
		"X-Matrix origin=\"a.com\",key=\"ed25519:k\",sig=\"A\x00B\"",
		`X-Matrix origin="a.com",key="ed25519:k",sig="AB",x="` + strings.Repeat("x", 4096) + `"`,
	} {
		if got, err := signing.ParseAuthorization(header); !errors.Is(err, signing.ErrMalformedHeader) {
			t.Errorf("ParseAuthorization(%.80q) = %v, %v, want ErrMalformedHeader", header, got, err)
		}
	}
}

// Whatever parses survives being written in the strict form.
func FuzzParseAuthorization(f *testing.F) {
	f.Add(`X-Matrix origin="a.com",destination="b.com",key="ed25519:k",sig="AB/+"`)
	f.Add(`x-matrix ,origin = a:80 , x="\"," , key=ed25519:k,sig=AA==,`)
	f.Fuzz(func(t *testing.T, header string) {
		got, err := signing.ParseAuthorization(header)
		if err != nil || strings.ContainsAny(got.Signature, `"\`) {
			return
		}
		strict := `X-Matrix origin="` + string(got.Origin) + `",key="` + string(got.Key) + `",sig="` + got.Signature + `"`
		if got.Destination != "" {
			strict += `,destination="` + string(got.Destination) + `"`
		}
		if len(strict) > 4096 {
			return
		}
		again, err := signing.ParseAuthorization(strict)
		if err != nil || again != got {
			t.Errorf("%q gives %v; its strict form gives %v, %v", header, got, again, err)
		}
	})
}
