package cli

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

func TestLabelChanges(t *testing.T) {
	got := labelChanges("aws", map[string]string{"env": "prod", "team": "a", "same": "x"}, map[string]string{"env": "dev", "team": "a", "same": "x", "new": ""})
	want := []string{`label env of aws: "prod" -> "dev"`, `label new of aws: (none) -> ""`}
	if !slices.Equal(got, want) {
		t.Errorf("the changes are %q, want %q", got, want)
	}
}

func TestNetworkChanges(t *testing.T) {
	selector := func(key, value string) metav1.LabelSelector {
		return metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	}
	network := func(name string, clusters metav1.LabelSelector, change ...func(*mcnv1alpha1.MultiCloudNetwork)) mcnv1alpha1.MultiCloudNetwork {
		n := mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Spec.Clusters.Selector = clusters
		for _, c := range change {
			c(&n)
		}
		return n
	}
	canary := selector("canary", "true")
	networks := []mcnv1alpha1.MultiCloudNetwork{
		network("all", metav1.LabelSelector{}),
		network("prod", selector("env", "prod")),
		network("dev", selector("env", "dev")),
		network("held", selector("env", "dev"), func(n *mcnv1alpha1.MultiCloudNetwork) { n.Spec.Updates = mcnv1alpha1.UpdatesHeld }),
		network("staged", metav1.LabelSelector{}, func(n *mcnv1alpha1.MultiCloudNetwork) { n.Spec.StagedClusters = &canary }),
		network("going", selector("env", "dev"), func(n *mcnv1alpha1.MultiCloudNetwork) { n.DeletionTimestamp = &metav1.Time{Time: time.Unix(0, 0)} }),
		network("unreadable", metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Sometimes"}}}),
	}
	prod := &memberView{labels: map[string]string{"env": "prod", "canary": "true"}, role: mcnv1alpha1.RoleManaged}
	dev := &memberView{labels: map[string]string{"env": "dev"}, role: mcnv1alpha1.RoleManaged}
	source := &memberView{labels: prod.labels, role: mcnv1alpha1.RoleSource}
	for name, tc := range map[string]struct {
		before, after *memberView
		want          []string
	}{
		"nothing": {prod, prod, nil},
		"a new member": {nil, prod, []string{
			"multicloudnetwork/all begins to select aws: enforced there",
			"multicloudnetwork/prod begins to select aws: enforced there",
			"multicloudnetwork/staged begins to select aws: staged there",
		}},
		"other labels": {prod, dev, []string{
			"multicloudnetwork/dev begins to select aws: enforced there",
			"multicloudnetwork/held begins to select aws: enforced there (policies change when nothing is Held any more)",
			"multicloudnetwork/prod ceases to select aws: enforced there until now",
			"multicloudnetwork/staged still selects aws: staged there until now, enforced from now on",
		}},
		"another role": {prod, source, []string{
			"multicloudnetwork/all still selects aws: enforced there until now, only read from now on",
			"multicloudnetwork/prod still selects aws: enforced there until now, only read from now on",
			"multicloudnetwork/staged still selects aws: staged there until now, only read from now on",
		}},
	} {
		if got := networkChanges("aws", networks, tc.before, tc.after); !slices.Equal(got, tc.want) {
			t.Errorf("%s: the changes are\n%q, want\n%q", name, got, tc.want)
		}
	}
}
