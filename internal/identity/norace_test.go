//go:build !race

package identity

// defaultOperations is what the regular run proves.
const defaultOperations = 1_000_000
