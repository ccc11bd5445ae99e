// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	policy := RetryPolicy{First: 10 * time.Second, Max: time.Hour, Factor: 2, Jitter: 0.5}
	tests := []struct {
		name     string
		failures int
		asked    time.Duration
		random   float64
		want     time.Duration
	}{
		{"first failure", 1, 0, 0, 10 * time.Second},
		{"doubles", 3, 0, 0, 40 * time.Second},
		{"jitter takes up to its share off", 1, 0, 0.5, 7500 * time.Millisecond},
		{"capped", 10, 0, 0, time.Hour},
		{"no overflow after a very long outage", 5000, 0, 0, time.Hour},
		{"the peer asks for more", 1, time.Minute, 0, time.Minute},
		{"the peer asks for less", 3, time.Second, 0, 40 * time.Second},
		{"the peer may not ask for more than the cap", 1, 240 * time.Hour, 0, time.Hour},
	}
	for _, tt := range tests {
		if got := policy.wait(tt.failures, tt.asked, tt.random); got != tt.want {
			t.Errorf("%s: wait(%d, %v, %v) = %v, want %v", tt.name, tt.failures, tt.asked, tt.random, got, tt.want)
		}
	}
}
