// SPDX-License-Identifier: Apache-2.0

// Package push tells which events a user wants to hear of: push rules, their evaluation, and the counts of what was not read.
//
//	rules:  defaults(user) + what the user changed ──► Ruleset ──► m.push_rules in the account data
//	                                                      │
//	event ──► Ruleset.Evaluate: override, content, room, sender, underride: the first rule that matches decides
//	                                                      │
//	                          notify? ──► hs_unread, one row per event and user ──► a receipt deletes them ──► counts in /sync
//
// The rules and their evaluation are plain values and functions. Rules: Client-Server API, "Push Notifications" (S-20 to S-22).
//
// Not here: sending pushes to gateways. Pushers are kept and listed.
package push
