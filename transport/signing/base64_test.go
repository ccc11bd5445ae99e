// SPDX-License-Identifier: Apache-2.0

package signing_test

import (
	"testing"

	"github.com/strata-matrix/strata/transport/signing"
)

// V-07: the appendices, "Unpadded Base64".
func TestBase64Vectors(t *testing.T) {
	for _, tt := range []struct{ plain, unpadded, padded string }{
		{"", "", ""},
		{"f", "Zg", "Zg=="},
		{"fo", "Zm8", "Zm8="},
		{"foo", "Zm9v", "Zm9v"},
		{"foob", "Zm9vYg", "Zm9vYg=="},
		{"fooba", "Zm9vYmE", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy", "Zm9vYmFy"},
	} {
		if got := signing.EncodeBase64([]byte(tt.plain)); got != tt.unpadded {
			t.Errorf("EncodeBase64(%q) = %q, want %q", tt.plain, got, tt.unpadded)
		}
		for _, encoded := range []string{tt.unpadded, tt.padded} {
			if got, err := signing.DecodeBase64(encoded); err != nil || string(got) != tt.plain {
				t.Errorf("DecodeBase64(%q) = %q, %v, want %q", encoded, got, err, tt.plain)
			}
		}
	}
}

// both alphabets, but not at the same time, and padding only where it belongs.
func TestDecodeBase64(t *testing.T) {
	for _, encoded := range []string{"+/+/", "-_-_"} {
		if got, err := signing.DecodeBase64(encoded); err != nil || string(got) != "\xfb\xff\xbf" {
			t.Errorf("DecodeBase64(%q) = %x, %v", encoded, got, err)
		}
	}
	for _, bad := range []string{"+_", "Zg=", "Zg===", "=", "====", "Z", "Zm9v=", "Zm9v====", "Zm=9", "Zm\n8", "Z g", "Zm8\r\n", "é"} {
		if got, err := signing.DecodeBase64(bad); err == nil {
			t.Errorf("DecodeBase64(%q) = %x, want an error", bad, got)
		}
	}
}
