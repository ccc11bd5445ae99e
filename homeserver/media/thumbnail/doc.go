// SPDX-License-Identifier: Apache-2.0

// Package thumbnail makes small pictures of large ones. The large ones are anybody's: what one costs is known before it is decoded.
//
//	file ──► Inspect ──► Picture: sides, memory that decoding takes ──► who has that much to spare ──► Make ──► small picture
//	            │                                                                                       │
//	            └ ErrUnknown, ErrTooLarge                                decode ─► cut and average ─► turn upright ─► JPEG or PNG
//
// It reads JPEG, PNG, GIF and WebP, of animations the first picture. Rules: Client-Server API, "Thumbnails" (M-85): a thumbnail is never
// larger than the picture, and no side is smaller than was asked for unless the picture's is.
//
// Not here: files, waiting, and who may see what. The package keeps nothing and starts nothing.
package thumbnail
