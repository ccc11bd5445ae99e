// SPDX-License-Identifier: Apache-2.0

// Package todevice is messages from device to device: kept until the device that they are for has acknowledged them.
//
//	PUT /sendToDevice ──┬─► users of ours ──► hs_to_device ──► /sync ──► the next /sync acknowledges: deleted
//	                    └─► others: messaging, in the same job      ▲
//	messaging: m.direct_to_device, once each ───────────────────────┘
//
// A message has its position in the one sequence from the job that keeps it. Rules: Client-Server API, "Send-to-Device messaging"
// (S-23, M-55).
//
// Not here: what is in the messages.
package todevice
