//go:build race

package identity

// defaultOperations is small, because the race detector makes each ten times as slow.
const defaultOperations = 20_000
