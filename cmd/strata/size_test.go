// SPDX-License-Identifier: Apache-2.0

package main

import "testing"

func TestSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1": 1, "1023": 1023, "1K": 1024, "50M": 52428800, "10G": 10737418240, "1T": 1099511627776, "8388607T": 9223370937343148032,
	} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err != nil || int64(s) != want {
			t.Errorf("%s is %d, %v; want %d", text, s, err, want)
		}
		if again, err := s.MarshalText(); err != nil || string(again) != text {
			t.Errorf("%d is written %s, %v; want %s", want, again, err, text)
		}
	}
	for _, text := range []string{"", "M", "-1", "1.5M", "50MB", "50 M", "50m", "8388608T", "99999999999999999999", "1KM"} {
		var s size
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for %d", text, s)
		}
	}
}
