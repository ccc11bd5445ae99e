// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// operator asks one server's admin API.
type operator struct{ base, token string }

const destinationsPath = "/_synapse/admin/v1/federation/destinations"

func (o operator) ask(ctx context.Context, method, path string, body any) (status int, reply map[string]any, err error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, o.base+path, bytes.NewReader(encoded))
	if err != nil {
		return 0, nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+o.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	err = json.NewDecoder(response.Body).Decode(&reply)
	return response.StatusCode, reply, err
}

// newSynapseOperator makes an administrator, as register_new_matrix_user does: "Shared-Secret Registration" in Synapse's documentation.
func newSynapseOperator(ctx context.Context, base string) (operator, error) {
	const path, user, password = "/_synapse/admin/v1/register", "operator", "interop"
	o := operator{base: base}
	_, reply, err := o.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return o, err
	}
	mac := hmac.New(sha1.New, []byte("interop"))
	fmt.Fprintf(mac, "%s\x00%s\x00%s\x00admin", reply["nonce"], user, password)
	status, reply, err := o.ask(ctx, http.MethodPost, path, map[string]any{
		"nonce": reply["nonce"], "username": user, "password": password, "admin": true, "mac": hex.EncodeToString(mac.Sum(nil)),
	})
	if err != nil || status != http.StatusOK {
		return o, fmt.Errorf("register an administrator: %d %v %w", status, reply, err)
	}
	o.token, _ = reply["access_token"].(string)
	return o, nil
}

// shape is a JSON value with its numbers and texts replaced by what they are.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		shapes := map[string]any{}
		for name, member := range v {
			shapes[name] = shape(member)
		}
		return shapes
	case []any:
		shapes := []any{}
		for _, element := range v {
			shapes = append(shapes, shape(element))
		}
		return shapes
	}
	return fmt.Sprintf("%T", v)
}

// Both servers tell of each other, and of what they do not know, in one shape and with the same statuses and errcodes.
func TestAdminAPIHasSynapsesShape(t *testing.T) {
	ctx, cancel := bounded(t, outageTimeout)
	defer cancel()
	p := newPair(t)
	room := p.room(ctx, t, "10")
	tell(ctx, t, room, p.alice, p.bob, "welcome")
	synapse, err := newSynapseOperator(ctx, p.bob.baseURL)
	if err != nil {
		t.Fatal(err)
	}
	strata := operator{p.strata.(*Strata).admin, adminToken}
	toStrata, toSynapse := "/"+url.PathEscape(p.strata.ServerName()), "/"+url.PathEscape(p.synapse.ServerName())
	for deadline := time.Now().Add(time.Minute); ; { // Synapse notes a success after the transaction
		_, reply, err := synapse.ask(ctx, http.MethodGet, destinationsPath+toStrata, nil)
		if err != nil {
			t.Fatal(err)
		}
		if reply["last_successful_stream_ordering"] != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Synapse has delivered nothing: %v", reply)
		}
		<-time.After(100 * time.Millisecond)
	}
	for _, test := range []struct {
		method              string
		ofSynapse, ofStrata string // paths below that of the destinations
	}{
		{"GET", "", ""}, {"GET", "?limit=0", "?limit=0"}, {"GET", "?from=5", "?from=5"}, {"GET", "?order_by=failure_ts&dir=b", "?order_by=failure_ts&dir=b"},
		{"GET", "?destination=LOCAL", "?destination=LOCAL"}, {"GET", "?destination=nobody", "?destination=nobody"},
		{"GET", "?from=-1", "?from=-1"}, {"GET", "?dir=x", "?dir=x"}, {"GET", "?order_by=x", "?order_by=x"}, {"GET", "?limit=x", "?limit=x"},
		{"GET", toStrata, toSynapse}, {"GET", toStrata + "/rooms", toSynapse + "/rooms"}, {"GET", toStrata + "/rooms?from=1", toSynapse + "/rooms?from=1"},
		{"POST", toStrata + "/reset_connection", toSynapse + "/reset_connection"},
		{"GET", "/nobody.example", "/nobody.example"}, {"GET", "/nobody.example/rooms", "/nobody.example/rooms"},
		{"POST", "/nobody.example/reset_connection", "/nobody.example/reset_connection"},
	} {
		wantStatus, want, err := synapse.ask(ctx, test.method, destinationsPath+test.ofSynapse, map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		gotStatus, got, err := strata.ask(ctx, test.method, destinationsPath+test.ofStrata, map[string]any{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(shape(want), shape(got)); diff != "" || gotStatus != wantStatus || want["errcode"] != got["errcode"] {
			t.Errorf("%s %s: status %d and %v, Synapse's are %d and %v (-Synapse +Strata)\n%s",
				test.method, test.ofStrata, gotStatus, got["errcode"], wantStatus, want["errcode"], diff)
		}
	}
	stranger := []int{}
	for _, o := range []operator{{synapse.base, "nonsense"}, {strata.base, "nonsense"}} {
		status, reply, err := o.ask(ctx, http.MethodGet, destinationsPath, nil)
		if err != nil || reply["errcode"] != "M_UNKNOWN_TOKEN" {
			t.Errorf("%s without the token: %d %v, %v", o.base, status, reply, err)
		}
		stranger = append(stranger, status)
	}
	if len(slices.Compact(stranger)) != 1 {
		t.Errorf("statuses without the token: %v", stranger)
	}
}
