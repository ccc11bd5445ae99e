// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// EncodeBase64 is the unpadded standard base64 of the appendices, "Unpadded Base64".
func EncodeBase64(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// DecodeBase64 accepts padded and unpadded base64 in the standard or the URL-safe alphabet, but not a mixture of the two:
// peers emit all of these.
func DecodeBase64(s string) ([]byte, error) {
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(s, "-_") {
		encoding = base64.RawURLEncoding
	}
	if strings.ContainsAny(s, "\r\n") { // encoding/base64 would skip them
		return nil, fmt.Errorf("decode base64: line break")
	}
	b, err := encoding.DecodeString(unpad(s))
	if err != nil {
		return nil, fmt.Errorf("decode base64: %w", err)
	}
	return b, nil
}

// unpad removes padding where padding belongs; any other '=' stays and fails to decode.
func unpad(s string) string {
	if len(s) == 0 || len(s)%4 != 0 {
		return s
	}
	if rest, ok := strings.CutSuffix(s, "=="); ok {
		return rest
	}
	return strings.TrimSuffix(s, "=")
}
