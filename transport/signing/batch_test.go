// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// makeChecks signs n messages of the given size, the i-th with key i modulo keys. All are valid and reproducible.
func makeChecks(n, keys, size int) []Check {
	random := rand.NewChaCha8([32]byte{1})
	private := make([]ed25519.PrivateKey, keys)
	for i := range private {
		seed := make([]byte, ed25519.SeedSize)
		random.Read(seed)
		private[i] = ed25519.NewKeyFromSeed(seed)
	}
	checks := make([]Check, n)
	for i := range checks {
		message := make([]byte, size)
		random.Read(message)
		key := private[i%keys]
		checks[i] = Check{Public: key.Public().(ed25519.PublicKey), Message: message, Signature: ed25519.Sign(key, message)}
	}
	return checks
}

// damages are the ways in which a check may be spoilt. None may panic (G-C4, G-C5).
var damages = map[string]func(*Check){
	"message": func(c *Check) { c.Message = append(slices.Clone(c.Message), 'x') },
	"R":       func(c *Check) { c.Signature = flip(c.Signature, 5) },
	"s":       func(c *Check) { c.Signature = flip(c.Signature, 40) },
	"s over the order": func(c *Check) {
		c.Signature = append(slices.Clone(c.Signature[:32]), bytes.Repeat([]byte{0xff}, 32)...)
	},
	"key":             func(c *Check) { c.Public = flip(c.Public, 3) },
	"key not a point": func(c *Check) { c.Public = append([]byte{2}, make([]byte, 31)...) },
	"short key":       func(c *Check) { c.Public = c.Public[:3] },
	"no key":          func(c *Check) { c.Public = nil },
	"long key":        func(c *Check) { c.Public = append(slices.Clone(c.Public), 0) },
	"short signature": func(c *Check) { c.Signature = c.Signature[:63] },
	"no signature":    func(c *Check) { c.Signature = nil },
	"long signature":  func(c *Check) { c.Signature = append(slices.Clone(c.Signature), 0) },
}

func flip(b []byte, i int) []byte {
	b = slices.Clone(b)
	b[i] ^= 1
	return b
}

// The standard library is the judge, whatever the size of the batch and wherever the bad one is.
func TestVerifyBatch(t *testing.T) {
	for _, verifier := range []batchVerifier{curveVerifier{}, oneByOne{}} {
		for _, n := range []int{0, 1, 2, 17, 33, 65, 130} {
			good := makeChecks(n, 3, 50)
			if got, want := verifyBatch(good, verifier), slices.Repeat([]bool{true}, n); !cmp.Equal(got, want) {
				t.Errorf("%T, %d good ones: %v", verifier, n, got)
			}
			for name, damage := range damages {
				for i := 0; i < n; i += 1 + n/2 {
					checks := slices.Clone(good)
					damage(&checks[i])
					want := slices.Repeat([]bool{true}, n)
					want[i] = false
					if got := verifyBatch(checks, verifier); !cmp.Equal(got, want) {
						t.Errorf("%T, %d with %s of %d spoilt: %v", verifier, n, name, i, got)
					}
				}
			}
		}
	}
}

func TestVerifyBatchProperty(t *testing.T) {
	names := make([]string, 0, len(damages))
	for name := range damages {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 80).Draw(t, "n")
		checks := makeChecks(n, rapid.IntRange(1, 5).Draw(t, "keys"), 20)
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, n-1), 0, min(n, 3), rapid.ID).Draw(t, "bad") {
			damages[rapid.SampledFrom(names).Draw(t, "damage")](&checks[i])
		}
		want := make([]bool, n)
		for i, c := range checks {
			want[i] = len(c.Public) == ed25519.PublicKeySize && ed25519.Verify(c.Public, c.Message, c.Signature)
		}
		if diff := cmp.Diff(want, VerifyBatch(checks)); diff != "" {
			t.Error(diff)
		}
	})
}

// RFC 8032, section 7.1: tests 1 to 3.
func TestVerifyBatchRFC8032(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	checks := []Check{{
		Public:    unhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
		Signature: unhex("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"),
	}, {
		Public:    unhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
		Message:   unhex("72"),
		Signature: unhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"),
	}, {
		Public:    unhex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025"),
		Message:   unhex("af82"),
		Signature: unhex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"),
	}}
	if got := VerifyBatch(checks); !cmp.Equal(got, []bool{true, true, true}) {
		t.Error(got)
	}
	if !(curveVerifier{}).allValid(checks) {
		t.Error("the batch equation refuses good signatures")
	}
	checks[2].Message = nil
	if (curveVerifier{}).allValid(checks) {
		t.Error("the batch equation accepts a bad signature")
	}
}

// A key of small order is nobody's: with the identity as key and R, and s = 0, the standard library accepts every message. The
// batch must not have another opinion.
func TestVerifyBatchSmallOrderKey(t *testing.T) {
	identity := append([]byte{1}, make([]byte, 31)...)
	odd := Check{Public: identity, Message: []byte("anything"), Signature: append(slices.Clone(identity), make([]byte, 32)...)}
	alone := VerifyBatch([]Check{odd})[0]
	checks := append(makeChecks(20, 2, 10), odd)
	if got := VerifyBatch(checks); got[20] != alone || slices.Contains(got[:20], false) {
		t.Errorf("%v alone, in company %v", alone, got)
	}
}

// BenchmarkVerifyBatch reports, besides the time for one signature, its ratio to the standard library's for the same messages in
// the same run on as many cores. A PDU's signed form has about 800 bytes.
func BenchmarkVerifyBatch(b *testing.B) {
	for _, n := range []int{1, 10, 50} {
		for _, keys := range []int{1, n} {
			b.Run(fmt.Sprintf("n=%d/keys=%d", n, keys), func(b *testing.B) {
				checks := makeChecks(n, keys, 800)
				b.ReportAllocs()
				var ours, floor time.Duration
				for b.Loop() {
					start := time.Now()
					verdicts := VerifyBatch(checks)
					ours += time.Since(start)
					if slices.Contains(verdicts, false) {
						b.Fatal("refused")
					}
					b.StopTimer()
					start = time.Now()
					verifyBatch(checks, oneByOne{})
					floor += time.Since(start)
					b.StartTimer()
				}
				b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N*n)/1e3, "µs/sig")
				b.ReportMetric(float64(ours)/float64(floor), "ratio")
			})
			if n == 1 {
				break
			}
		}
	}
}
