// SPDX-License-Identifier: Apache-2.0

// Package house holds the rules of the house, as tests: which package may import which, and how long a file or a function
// may grow. It has no code of its own.
//
//	imports_test.go   the import table: calls go down, through the floors of docs/architecture.md
//	budget_test.go    the style budget: lengths, package docs, licence lines, words that must not appear
//
// A rule that makes a piece of code worse is changed here, in the same commit and with its reason.
package house
