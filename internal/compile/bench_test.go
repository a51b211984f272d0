package compile

import (
	"fmt"
	"net/netip"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/snapshot"
)

// BenchmarkCompile compiles a VLAN network of four segments for all members of a fleet, from nothing: the cost of one whole pass.
func BenchmarkCompile(b *testing.B) {
	for _, size := range []struct{ members, pods int }{{3, 100}, {3, 1000}, {30, 1000}} {
		b.Run(fmt.Sprintf("members=%d/pods=%d", size.members, size.pods), func(b *testing.B) {
			in := Input{Settings: testSettings(), Fleet: benchFleet(size.members, size.pods), Networks: []*mcnv1alpha1.MultiCloudNetwork{benchNetwork()}}
			b.ReportAllocs()
			for b.Loop() {
				if r := New(in).Network("bench"); len(r.Errors) > 0 {
					b.Fatal(r.Errors.ToAggregate())
				}
			}
			pods := float64(size.members * size.pods * b.N)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/pods, "ns/pod")
		})
	}
}

func benchFleet(members, pods int) snapshot.Fleet {
	var fleet snapshot.Fleet
	for i := range members {
		m := snapshot.Member{
			Name: fmt.Sprintf("member-%d", i), Role: mcnv1alpha1.RoleManaged,
			PodCIDRs:   []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)},
			Namespaces: []snapshot.Namespace{{Name: "pay", Labels: map[string]string{"team": "pay"}}},
		}
		for j := range pods {
			m.Pods = append(m.Pods, snapshot.Pod{
				Namespace: "pay", Name: fmt.Sprintf("pod-%d", j), Labels: map[string]string{"tier": fmt.Sprintf("tier-%d", j%4)},
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i), byte(j >> 8), byte(j)})},
			})
		}
		fleet.Members = append(fleet.Members, m)
	}
	return fleet
}

func benchNetwork() *mcnv1alpha1.MultiCloudNetwork {
	n := &mcnv1alpha1.MultiCloudNetwork{ObjectMeta: metav1.ObjectMeta{Name: "bench"}}
	n.Spec = mcnv1alpha1.MultiCloudNetworkSpec{Model: mcnv1alpha1.ModelVLAN, VLAN: &mcnv1alpha1.VLANSpec{}}
	for i := range 4 {
		n.Spec.VLAN.Segments = append(n.Spec.VLAN.Segments, mcnv1alpha1.Segment{
			Name: fmt.Sprintf("tier-%d", i),
			Pods: &mcnv1alpha1.PodSelection{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": "pay"}},
				PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"tier": fmt.Sprintf("tier-%d", i)}},
			},
		})
	}
	return n
}
