// SPDX-License-Identifier: Apache-2.0

// Package media is the content repository: pictures and files that users upload, and what they look at of other servers'.
//
//	client ──► upload ──► draft ──► own/ab/cdef… ─► hs_media          what is uploaded stays, up to a quota
//	client ──► download ─┬─► own ───────────────────────────┐
//	                     └─► cache/ab/cdef… ─► hs_media_cache ├──► the file, piece by piece
//	                           ▲         ▲                    │
//	     other servers ──► fetched   reduced ◄── thumbnail ◄──┘
//	other servers ──► messaging ──► Content, Thumbnail: of own only (M-80)
//
// A file's name is the SHA-256 of what is in it. It is complete and on the disk before a row names it; a crash leaves at the most files
// that no row names, of what was being stored. The cache holds what can be had again, fetched and reduced, up to a size; what was not
// looked at for longest goes first, and where an operator says so what nobody has looked at since some time. What an operator removes is gone
// with its thumbnails; that of another server is not fetched again. The folder "cache" may be removed while the server does not run, and need not be saved with a backup.
//
// Everything is done by the goroutine of the request that needs it; who needs the same at the same time waits for it. What is done at one
// time is bounded: for each user, for each server, and for all.
//
// Rules: Client-Server API, "Content repository"; M-80 … M-86.
//
// Not here: previews of web pages, which answer M_UNRECOGNIZED; animated thumbnails.
package media
