package fleet

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain sees that sessions which ended leave nothing running: a fleet connects and disconnects for as long as the operator lives.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}
