// SPDX-License-Identifier: Apache-2.0

// Package tally finds for whom an event counts as unread, and tells users what notified them.
//
//	feed ──► Derive(batch): each event ──► the users of ours who are joined, and whom it invites
//	                            │          how many are joined, what the sender may notify (state before it)
//	                            └──► push.Tally.Note, in the job that moves the feed's cursor ──► hs_unread, hs_notices
//	client ──► GET /notifications ──► push.Notices, newest first ──► the events, as the user may see them now
//
// So a count is there when the event is told, and comes with it (S-20). In which thread an event is counted its relations say, at most
// three steps up (S-21).
//
// Not here: the rules and their evaluation, and what takes counts away (push).
package tally
