// SPDX-License-Identifier: Apache-2.0

package roomview

import "testing"

func TestParseToken(t *testing.T) {
	for _, text := range []string{"", "0", "-1", "x", "t", "t1", "t1.", "t1.2.3.4", "t-1.2", "t1.-2", "t1.x", "99999999999999999999"} {
		if token, err := ParseToken(text); err == nil {
			t.Errorf("%q is read as %+v", text, token)
		}
	}
	for _, text := range []string{"1", "12", "t7.12", "t7.12.3"} {
		if token, err := ParseToken(text); err != nil || token.String() != text {
			t.Errorf("%q is read as %+v, which is %s, %v", text, token, token, err)
		}
	}
}

// What is taken for a token is one, and is written as a token that means the same.
func FuzzParseToken(f *testing.F) {
	f.Add("t7.12.3")
	f.Add("12")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		if again, err := ParseToken(token.String()); err != nil || again != token {
			t.Errorf("%q is %+v, written %s, read as %+v, %v", text, token, token, again, err)
		}
	})
}
