// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"errors"

	"github.com/strata-matrix/strata/pdu/event"
)

// parseFormat is the first check on receipt: the event must be one of the room's version, or it is dropped (server-server
// API, "Checks performed on receipt of a PDU"; P-25). Parsing also does the third, the content hash: an event that fails it
// goes on as its redacted copy (P-15).
func parseFormat(v *event.Version, wire []byte) (*event.Event, *Check) {
	parsed, err := event.Parse(v, wire)
	if err == nil {
		return parsed, nil
	}
	check := Check{ID: "P-25", Rule: "P-25", Detail: err.Error()}
	if malformed, ok := errors.AsType[*event.FormatError](err); ok {
		check.Rule, check.Detail = malformed.Rule, malformed.Detail
	}
	return nil, &check
}
