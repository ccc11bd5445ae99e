// SPDX-License-Identifier: Apache-2.0

// Package memo keeps answers of the network until they expire, and has each question asked once however many wait for its answer.
//
//	Ask(key) ──► kept and fresh? ──yes──► answer
//	                  │ no
//	                  ▼
//	           asked by another already? ──yes──► wait for that one
//	                  │ no
//	                  ▼
//	           work ──► kept until it expires ──► answer, to all who wait
//
// What is kept is bounded, whatever names peers come up with. The package does not know what an answer is nor how long it is good.
package memo
