package gather

import (
	"os"
	"slices"
	"testing"

	calicov3 "github.com/projectcalico/api/pkg/apis/projectcalico/v3"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/snapshot"
)

// TestClustersOfASharedVPCExchangeSets takes the two clusters of the fixture, whose pods have addresses of one subnet, all the way to what is written to them: each
// gets the other's pods, because they name one domain, and none of them where they do not.
func TestClustersOfASharedVPCExchangeSets(t *testing.T) {
	for _, tc := range []struct {
		name, domain  string
		first, second []string // what each gets of the other
		overlaps      int
	}{
		{name: "one domain", domain: "vpc-0a1", first: []string{"10.20.2.88/32"}, second: []string{"10.20.1.77/32"}},
		{name: "domains of their own", overlaps: 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			compiler := compile.New(compile.Input{
				Settings: compile.Settings{OwnerID: "hub", Tier: mcnv1alpha1.DefaultTier, TierOrder: mcnv1alpha1.DefaultTierOrder},
				Fleet:    snapshot.Fleet{Members: []snapshot.Member{ofSharedVPC(t, "first", tc.domain), ofSharedVPC(t, "second", tc.domain)}},
				Networks: []*mcnv1alpha1.MultiCloudNetwork{{
					ObjectMeta: metav1.ObjectMeta{Name: "pay"},
					Spec: mcnv1alpha1.MultiCloudNetworkSpec{
						Model: mcnv1alpha1.ModelFlat, Boundary: mcnv1alpha1.BoundaryClosed,
						Flat: &mcnv1alpha1.FlatSpec{Pods: mcnv1alpha1.PodSelection{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "pay"}}}},
					},
				}},
			})
			result := compiler.Network("pay")
			for name, want := range map[string][]string{"first": tc.first, "second": tc.second} {
				if got := netsFor(result, name); !slices.Equal(got, want) {
					t.Errorf("%s gets the sets %v, want %v", name, got, want)
				}
			}
			if got := len(compiler.Overlaps()); got != tc.overlaps {
				t.Errorf("%d clusters are told to overlap, want %d", got, tc.overlaps)
			}
		})
	}
}

// ofSharedVPC is one of the two clusters, as its MemberCluster describes it but for the domain.
func ofSharedVPC(t *testing.T, name, domain string) snapshot.Member {
	t.Helper()
	text, err := os.ReadFile("testdata/shared-vpc/" + name + ".objects.yaml")
	if err != nil {
		t.Fatal(err)
	}
	all := objects(t, string(text))
	facts, err := Cluster(t.Context(), newFileReader(all))
	if err != nil {
		t.Fatal(err)
	}
	m := declare(t, facts.Member, all)
	m.Name, m.Domain, m.Role = name, domain, mcnv1alpha1.RoleManaged
	return *m
}

func netsFor(result compile.Result, cluster string) (out []string) {
	for _, c := range result.Clusters {
		if c.Name != cluster {
			continue
		}
		for _, o := range c.Objects {
			if set, is := o.Resource.(*calicov3.GlobalNetworkSet); is {
				out = append(out, set.Spec.Nets...)
			}
		}
	}
	slices.Sort(out)
	return out
}
