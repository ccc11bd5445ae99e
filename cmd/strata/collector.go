// SPDX-License-Identifier: Apache-2.0

package main

import "runtime/debug"

// collectorPercent is how much a server's memory may grow between two runs of the garbage collector: twice what Go takes, for a
// twentieth less CPU time under load and a fifth more memory.
const collectorPercent = 200

// relaxCollector sets that, unless the environment says otherwise.
func relaxCollector(env map[string]string) {
	if env["GOGC"] == "" {
		debug.SetGCPercent(collectorPercent)
	}
}
