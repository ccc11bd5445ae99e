// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"bytes"
	"crypto/ed25519"
	"runtime"
	"slices"
	"sync"
)

// Batch sizes, measured: the cost per signature falls steeply up to about 16 and little beyond 64, and 64 signatures take less
// than a millisecond, so that nobody waits long behind a batch.
const (
	minBatch = 32 // no smaller batch is made merely to occupy another core: there are others who want it
	maxBatch = 64
)

// Check is one signature to be verified. A key or signature of the wrong length is simply not valid.
type Check struct {
	Public    ed25519.PublicKey
	Message   []byte
	Signature []byte
}

// batchVerifier checks many signatures together. It reports true only if all are valid; false says nothing about any one.
type batchVerifier interface {
	allValid(checks []Check) bool
}

// oneByOne is the batchVerifier made of the standard library.
type oneByOne struct{}

func (oneByOne) allValid(checks []Check) bool {
	for _, c := range checks {
		if !verify(c) {
			return false
		}
	}
	return true
}

// VerifyBatch returns one verdict per check, in order. It works in batches on at most GOMAXPROCS goroutines and returns when
// all are done; a caller that runs many of these at a time gains nothing but latency.
//
// The verdicts are the standard library's, save for one case: a batch is checked with the cofactored equation, so a signature
// that the key's own owner crafted with a small-order component may pass in company and fail alone. Nobody else can make one.
func VerifyBatch(checks []Check) []bool { return verifyBatch(checks, curveVerifier{}) }

func verifyBatch(checks []Check, verifier batchVerifier) []bool {
	if len(checks) <= maxBatch {
		return verifyShares(checks, verifier)
	}
	// Signatures by one key share a term of their batch, so they come together. So do the bad ones of a server that lies.
	order := make([]int, len(checks))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return bytes.Compare(checks[i].Public, checks[j].Public) })
	sorted := make([]Check, len(checks))
	for to, from := range order {
		sorted[to] = checks[from]
	}
	verdicts := make([]bool, len(checks))
	for i, valid := range verifyShares(sorted, verifier) {
		verdicts[order[i]] = valid
	}
	return verdicts
}

// verifyShares divides the checks into batches and works on them side by side.
func verifyShares(checks []Check, verifier batchVerifier) []bool {
	verdicts := make([]bool, len(checks))
	batches := (len(checks) + maxBatch - 1) / maxBatch
	workers := min(runtime.GOMAXPROCS(0), max(1, len(checks)/minBatch))
	batches = (max(batches, workers) + workers - 1) / workers * workers // the same number of batches for each worker
	if workers == 1 {
		verifyShare(checks, verdicts, verifier, 0, 1, batches)
		return verdicts
	}
	var wg sync.WaitGroup
	for worker := range workers {
		wg.Go(func() { verifyShare(checks, verdicts, verifier, worker, workers, batches) })
	}
	wg.Wait()
	return verdicts
}

// verifyShare works on every batch whose number is worker modulo workers.
func verifyShare(checks []Check, verdicts []bool, verifier batchVerifier, worker, workers, batches int) {
	for i := worker; i < batches; i += workers {
		from, to := i*len(checks)/batches, (i+1)*len(checks)/batches
		judge(checks[from:to], verdicts[from:to], verifier)
	}
}

// judge fills in the verdicts of one batch. The standard library decides about each signature of a batch that fails, and
// about one that has no company.
func judge(checks []Check, verdicts []bool, verifier batchVerifier) {
	all := len(checks) > 1 && verifier.allValid(checks)
	for i, c := range checks {
		verdicts[i] = all || verify(c)
	}
}

// verify is the standard library's verdict, without its panic at a key of the wrong length (G-C4, G-C5).
func verify(c Check) bool {
	return len(c.Public) == ed25519.PublicKeySize && ed25519.Verify(c.Public, c.Message, c.Signature)
}
