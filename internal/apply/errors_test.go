package apply

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

func TestAConflictSaysHowToEndIt(t *testing.T) {
	object := func(kind, owner, hash string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{}}
		u.SetGroupVersionKind(gvk(kind))
		u.SetName("x")
		if owner != "" {
			u.SetLabels(map[string]string{mcnv1alpha1.OwnerLabel: owner})
		}
		if hash != "" {
			u.SetAnnotations(map[string]string{mcnv1alpha1.ContentHashAnnotation: hash})
		}
		return u
	}
	const adopt = "run with its --owner-id to adopt it"
	for name, tc := range map[string]struct {
		live *unstructured.Unstructured
		want []string
		not  string
	}{
		"somebody's": {live: object(KindSet, "", ""), want: []string{"carries no label", "rename or delete it"}, not: "kubectl label"},
		"another's":  {live: object(KindSet, "theirs", "h"), want: []string{`belongs to owner "theirs"`, adopt}, not: "kubectl label"},
		"a set's":    {live: object(KindSet, "", "h"), want: []string{"kubectl label globalnetworksets.projectcalico.org x multicloud.network/owner=ours;", "addresses are not updated"}, not: adopt},
		"a policy's": {live: object(KindPolicy, "", "h"), want: []string{"kubectl label globalnetworkpolicies.projectcalico.org x multicloud.network/owner=ours;"}, not: adopt},
		"a staged's": {live: object(KindStaged, "", "h"), want: []string{"kubectl label stagedglobalnetworkpolicies.projectcalico.org x "}},
		"a pool's":   {live: object(KindPool, "", "h"), want: []string{"kubectl label ippools.projectcalico.org x "}},
		"the tier's": {live: object(KindTier, "", "h"), want: []string{"kubectl label tiers.projectcalico.org x ", "if no other hub writes here", "nothing is written to this cluster"}},
	} {
		got := New(nil, "ours").conflict(tc.live, []string{"kubectl-label"}).Error()
		for _, want := range append(tc.want, `"kubectl-label"`) {
			if !strings.Contains(got, want) || (tc.not != "" && strings.Contains(got, tc.not)) {
				t.Errorf("%s: %q, want %q in it, and not %q", name, got, want, tc.not)
			}
		}
	}
}
