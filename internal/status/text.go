package status

import "unicode/utf8"

// MaxMessage is the length that messages of ours are cut to, in bytes.
const MaxMessage = 1024

// Truncate cuts a message to MaxMessage, at a whole character. keep is what should stay at its end.
func Truncate(message string, keep ...string) string { return truncate(message, MaxMessage, keep...) }

// truncate cuts a message to a number of bytes.
func truncate(message string, most int, keep ...string) string {
	if len(message) <= most {
		return message
	}
	tail := "..."
	for _, k := range keep {
		tail += k
	}
	cut := message[:max(0, most-len(tail))]
	for len(cut) > 0 && !utf8.RuneStart(message[len(cut)]) {
		cut = cut[:len(cut)-1]
	}
	return cut + tail
}
