// SPDX-License-Identifier: Apache-2.0

package canonicaljson

// Rewrite is the canonical form by the scanner alone, whatever the source is.
func Rewrite(src []byte, rules Rules) ([]byte, error) { return new(Outline).rewrite(src, rules, nil) }
