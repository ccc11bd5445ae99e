// SPDX-License-Identifier: Apache-2.0

// Package profiles is the names, pictures and other fields by which users show themselves.
//
//	PUT /profile ──► one job: hs_profiles, hs_profile_changes ──► Run: the memberships of every room that the user is in
//	GET /profile ◄── hs_profiles, or the user's own server
//	messaging ── Profiles ──► Book
//
// What a membership shows is brought up to date in the background, room by room; a change is noted until that is done, so that a
// restart goes on with it. Rules: Client-Server API, "Profiles" (M-68).
//
// Not here: the first membership in a room, which carries the profile from the start (rooms).
package profiles
