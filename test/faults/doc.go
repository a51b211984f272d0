// Package faults breaks a running fleet, row by row of its fault matrix, and holds what the operator does about it: the real program under the roles
// that it ships with, a hub and four members, each behind a proxy that breaks what passes. docs/faults.md is made from the rows; `go test ./test/faults
// -update-docs` measures and writes it.
package faults
