// SPDX-License-Identifier: Apache-2.0

package trace

// ClientFailed is a client's request that ended with an error of ours.
type ClientFailed struct {
	Method string
	Route  string // the pattern, not the path
	Error  string
}

// Kind is "client.failed".
func (ClientFailed) Kind() string { return "client.failed" }
