package compile

import (
	"fmt"
	"math"
	"strings"
	"testing"
)

func TestSettingsSayWhatIsWrongByFlag(t *testing.T) {
	many := make([]string, 200)
	for i := range many {
		many[i] = fmt.Sprintf("namespace-%d", i)
	}
	tests := map[string]struct {
		change func(*Settings)
		want   string
	}{
		"no owner":                       {func(s *Settings) { s.OwnerID = "" }, "--owner-id"},
		"an owner that is no label":      {func(s *Settings) { s.OwnerID = "a b" }, "--owner-id"},
		"a tier with a dot":              {func(s *Settings) { s.Tier = "multi.cloud" }, "--tier"},
		"a tier in front of Calico's":    {func(s *Settings) { s.TierOrder = 100 }, "--tier-order"},
		"a tier behind the Admin tier":   {func(s *Settings) { s.TierOrder = 1000 }, "--tier-order"},
		"a tier order that is no number": {func(s *Settings) { s.TierOrder = math.NaN() }, "--tier-order"},
		"a namespace that is a selector": {func(s *Settings) { s.ExcludedNamespaces = []string{`a"} || has(x) || b in {"c`} }, "--excluded-namespaces"},
		"more than a selector takes":     {func(s *Settings) { s.ExcludedNamespaces = many }, "multicloud.network/exclude"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := testSettings()
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			tc.change(&s)
			if err := s.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate() = %v, want an error with %q", err, tc.want)
			}
		})
	}
}
