// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestWait(t *testing.T) {
	policy := RetryPolicy{First: 10 * time.Second, Max: time.Hour, Factor: 2, Jitter: 0.5}
	tests := []struct {
		name    string
		failure failure
		random  float64
		want    time.Duration
	}{
		{"first failure", failure{streak: 1}, 0, 10 * time.Second},
		{"doubles", failure{streak: 3}, 0, 40 * time.Second},
		{"jitter takes up to its share off", failure{streak: 1}, 0.5, 7500 * time.Millisecond},
		{"capped", failure{streak: 10}, 0, time.Hour},
		{"no overflow after a very long outage", failure{streak: 5000}, 0, time.Hour},
		{"the peer asks for more", failure{streak: 1, asked: time.Minute}, 0, time.Minute},
		{"the peer asks for less", failure{streak: 3, asked: time.Second}, 0, 40 * time.Second},
		{"the peer may not ask for more than the cap", failure{streak: 1, asked: 240 * time.Hour}, 0, time.Hour},
		{"the first time, gone is as good as down", failure{streak: 1, gone: true}, 0, 10 * time.Second},
		{"what looks gone ages at twice the pace", failure{streak: 3, gone: true}, 0, 160 * time.Second},
		{"and is given up no more than others", failure{streak: 5000, gone: true}, 0, time.Hour},
	}
	for _, tt := range tests {
		if got := policy.wait(tt.failure, tt.random); got != tt.want {
			t.Errorf("%s: wait(%+v, %v) = %v, want %v", tt.name, tt.failure, tt.random, got, tt.want)
		}
	}
}

// Those that failed together, in an outage of our own say, wake evenly spread between the wait before and the present one: no tenth
// of that time has much more than a tenth of them.
func TestCohortsAreSpreadEvenly(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	policy := DefaultRetryPolicy()
	const servers, parts = 10_000, 10
	for streak := 1; streak <= 20; streak++ {
		longest := policy.wait(failure{streak: streak}, 0)
		shortest := longest / 2
		var woken [parts]int
		for range servers {
			part := int(parts * (policy.wait(failure{streak: streak}, random.Float64()) - shortest) / (longest - shortest + 1))
			woken[part]++
		}
		for _, n := range woken { // a tenth is 1000 with a deviation of 30
			if n < servers/parts-150 || n > servers/parts+150 {
				t.Fatalf("after %d failures, by tenths of the time: %v", streak, woken)
			}
		}
	}
}
