package member

import (
	"testing"
	"time"
)

func TestWaitingSaysForWhomAndUntilWhen(t *testing.T) {
	end := time.Date(2026, 1, 1, 13, 0, 30, 0, time.FixedZone("CET", 3600))
	for want, tc := range map[string]struct {
		others []string
		end    time.Time
	}{
		"waiting for cluster a until 2026-01-01T12:00:30Z at the latest (--barrier)":                    {[]string{"a"}, end},
		"waiting for clusters a, b until 2026-01-01T12:00:31Z at the latest (--barrier)":                {[]string{"a", "b"}, end.Add(time.Millisecond)},
		"waiting for clusters a, b, c, and 2 more until 2026-01-01T12:00:30Z at the latest (--barrier)": {[]string{"a", "b", "c", "d", "e"}, end},
	} {
		if got := waits(tc.others, tc.end); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
