// SPDX-License-Identifier: Apache-2.0

package transaction

// ParsePulled is parsePulled for fuzzing.
func ParsePulled(body []byte) (txnID string, err error) {
	got, err := parsePulled(body)
	return got.txnID, err
}
