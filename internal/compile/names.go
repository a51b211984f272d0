package compile

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"strings"
)

// cutLength is how much of a user's name stands in the name of an object; the hash behind it holds the rest.
const cutLength = 20

// hashLength is the length of a hash in a name: 60 bits.
const hashLength = 12

// encoding spells hashes in what a DNS label allows.
var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// hash returns a short hash over parts. Parts cannot run into each other.
func hash(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return encoding.EncodeToString(h.Sum(nil))[:hashLength]
}

// cut shortens a DNS label to what fits in a name.
func cut(name string) string {
	if len(name) > cutLength {
		name = name[:cutLength]
	}
	return strings.TrimRight(name, "-")
}

// canonical returns JSON that is equal for equal values: struct fields in order, map keys sorted.
func canonical(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		// The values are Calico's own API types; one that does not marshal could not be sent either.
		return fmt.Sprintf("%#v", value)
	}
	return string(text)
}
