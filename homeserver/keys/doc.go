// SPDX-License-Identifier: Apache-2.0

// Package keys is the keys by which users' devices encrypt to each other: device keys, one-time and fallback keys, cross-signing keys
// and signatures. It keeps those of our users, for clients and other servers, and follows those of users of other servers whom ours
// share rooms with.
//
//	our clients ── upload ──► hs_device_keys, hs_one_time_keys, hs_signing_keys ──┬─► stream entry: who shares a room asks anew
//	                                │                                             └─► messaging: m.device_list_update, m.signing_key_update
//	clients, servers ── query, claim ◄┘
//	                        │ of users of others: what is followed, or else asked of their server
//	messaging ── DeviceLists ──► hs_remote_lists, hs_remote_devices
//
// A one-time key is handed out once, whoever asks (M-66). What somebody has signed is shown to all when it is their own, and else to
// them alone (M-67).
//
// Not here: messages to devices, backups of keys, the devices themselves (accounts), and whom a change concerns, which a sync tells.
package keys
