// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"fmt"
	"net/http"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// inboundTransaction is the body of PUT /send, split but not looked into. Its parts share the memory of the body.
type inboundTransaction struct {
	pdus [][]byte
	edus []EDU
}

// parseTransaction splits a body. Only what is wrong with the transaction as a whole is an error, a *transport.Error: it is
// then refused whole (T-13). What is wrong within a PDU or an EDU is the affair of that one alone.
func parseTransaction(origin ident.ServerName, body canonicaljson.Value) (txn inboundTransaction, err error) {
	members := map[string]canonicaljson.Value{}
	for name, member := range body.Members() {
		if _, twice := members[name]; twice {
			return txn, badTransaction(fmt.Sprintf("%.100q comes twice", name))
		}
		members[name] = member
	}
	claimed, ok := members["origin"].Text()
	if !ok {
		return txn, badTransaction("origin is not a string")
	}
	if claimed != string(origin) {
		return txn, &transport.Error{
			Status: http.StatusForbidden, Code: spec.ErrorForbidden,
			Message: fmt.Sprintf("the transaction says that it is from another server than %s, which signed the request", origin),
		}
	}
	pdus, err := elements(members, "pdus", MaxPDUs, true)
	if err != nil {
		return txn, err
	}
	edus, err := elements(members, "edus", MaxEDUs, false)
	if err != nil {
		return txn, err
	}
	txn.pdus = make([][]byte, len(pdus))
	for i, pdu := range pdus {
		txn.pdus[i] = pdu.Canonical()
	}
	for _, edu := range edus {
		if parsed, ok := parseEDU(origin, edu); ok {
			txn.edus = append(txn.edus, parsed)
		}
	}
	return txn, nil
}

// elements gives the elements of an array, bounded by T-01.
func elements(members map[string]canonicaljson.Value, name string, limit int, required bool) ([]canonicaljson.Value, error) {
	field := members[name]
	if field.Kind() == canonicaljson.Invalid && !required {
		return nil, nil
	}
	if field.Kind() != canonicaljson.Array {
		return nil, badTransaction(name + " is not an array")
	}
	var list []canonicaljson.Value
	for element := range field.Elements() {
		if len(list) == limit {
			return nil, badTransaction(fmt.Sprintf("more than %d %s in a transaction", limit, name))
		}
		list = append(list, element)
	}
	return list, nil
}

func badTransaction(why string) error {
	return &transport.Error{Status: http.StatusBadRequest, Code: spec.ErrorBadJSON, Message: why}
}
