// SPDX-License-Identifier: Apache-2.0

package pdu

import "fmt"

// NotAllowed is the error for an event of our own that the rules refuse. Nothing of it was stored.
type NotAllowed struct {
	Verdict Verdict
}

// Error names the check and the rule that refused.
func (n *NotAllowed) Error() string {
	check := n.Verdict.Decisive()
	return fmt.Sprintf("event not allowed (%s, %s): %s", check.ID, check.Rule, check.Detail)
}
