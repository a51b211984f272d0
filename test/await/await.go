// Package await is how tests wait: for a condition, with a limit, and never for a time.
package await

import (
	"testing"
	"time"
)

// pollEvery is the time between two looks.
const pollEvery = 100 * time.Millisecond

// Until looks until there is no fault any more, and returns how long that took. After the limit it fails the test with what is waited for and the last fault.
func Until(t testing.TB, limit time.Duration, what string, fault func() string) time.Duration {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		last := fault()
		if last == "" {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			t.Fatalf("%s: not within %s: %s", what, limit, last)
		}
		<-tick.C
	}
}
