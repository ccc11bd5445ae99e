// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// inboundTransaction is the body of PUT /send, split but not looked into.
type inboundTransaction struct {
	pdus [][]byte
	edus []inboundEDU
}

type inboundEDU struct {
	Type    string
	Content []byte
}

// parseTransaction splits a body. Only what is wrong with the transaction as a whole is an error, a *transport.Error: it is
// then refused whole (T-13). Keys are matched exactly, which encoding/json does for maps and not for structs.
func parseTransaction(origin ident.ServerName, body []byte) (inboundTransaction, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return inboundTransaction{}, badTransaction("the body is not a JSON object")
	}
	var claimed string
	if json.Unmarshal(fields["origin"], &claimed) != nil {
		return inboundTransaction{}, badTransaction("origin is not a string")
	}
	if claimed != string(origin) {
		return inboundTransaction{}, &transport.Error{
			Status: http.StatusForbidden, Code: spec.ErrorForbidden,
			Message: fmt.Sprintf("the transaction says that it is from another server than %s, which signed the request", origin),
		}
	}
	pdus, err := elements(fields, "pdus", MaxPDUs, true)
	if err != nil {
		return inboundTransaction{}, err
	}
	edus, err := elements(fields, "edus", MaxEDUs, false)
	if err != nil {
		return inboundTransaction{}, err
	}
	txn := inboundTransaction{pdus: make([][]byte, len(pdus))}
	for i, pdu := range pdus {
		txn.pdus[i] = pdu
	}
	for _, edu := range edus {
		if parsed, ok := parseEDU(edu); ok {
			txn.edus = append(txn.edus, parsed)
		}
	}
	return txn, nil
}

// elements gives the elements of an array field, bounded by T-01.
func elements(fields map[string]json.RawMessage, name string, limit int, required bool) ([]json.RawMessage, error) {
	field, present := fields[name]
	if !present && !required {
		return nil, nil
	}
	if len(field) == 0 || field[0] != '[' {
		return nil, badTransaction(name + " is not an array")
	}
	// One by one: a body has room for millions of elements, and a slice of them would be many times its size.
	decoder := json.NewDecoder(bytes.NewReader(field))
	_, err := decoder.Token()
	var list []json.RawMessage
	for err == nil && decoder.More() {
		if len(list) == limit {
			return nil, badTransaction(fmt.Sprintf("more than %d %s in a transaction", limit, name))
		}
		var element json.RawMessage
		err = decoder.Decode(&element)
		list = append(list, element)
	}
	if err != nil {
		return nil, badTransaction(name + " cannot be read")
	}
	return list, nil
}

// parseEDU tells whether an EDU has the shape of one. One that has not gets no result and harms no other (T-10).
func parseEDU(raw []byte) (inboundEDU, bool) {
	var fields map[string]json.RawMessage
	var edu inboundEDU
	if json.Unmarshal(raw, &fields) != nil || json.Unmarshal(fields["edu_type"], &edu.Type) != nil {
		return edu, false
	}
	edu.Content = fields["content"]
	return edu, edu.Type != "" && len(edu.Content) > 0 && edu.Content[0] == '{'
}

func badTransaction(why string) error {
	return &transport.Error{Status: http.StatusBadRequest, Code: spec.ErrorBadJSON, Message: why}
}
