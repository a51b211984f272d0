package identity

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"multicloud.network/operator/internal/snapshot"
)

// benchPod makes the i-th pod as an API server has it: ten of one ReplicaSet share their labels.
func benchPod(i int) *corev1.Pod {
	set := fmt.Sprintf("payments-api-%d-7d9f8b6c5d", i/10)
	ip := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String()
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: fmt.Sprintf("team-%d", i/10%50), Name: fmt.Sprintf("%s-%05x", set, i), UID: types.UID(fmt.Sprintf("0b8b7b9e-9d0c-4f0e-8d1c-%012x", i)),
			Labels: map[string]string{"app": "payments-api", "tier": fmt.Sprintf("tier-%d", i/10%4), "pod-template-hash": set, "version": "v1", "team": "payments"},
		},
		Spec:   corev1.PodSpec{ServiceAccountName: "payments"},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}},
	}
}

// benchIndex is an Index with so many pods in one member, a quarter of them in each of four groups.
func benchIndex(tb testing.TB, pods int) *Index {
	tb.Helper()
	ix := NewIndex()
	ix.SetMember("m", "", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	for i := range 50 {
		ix.UpsertNamespace("m", snapshot.Namespace{Name: fmt.Sprintf("team-%d", i), Labels: map[string]string{"team": "pay"}})
	}
	for i := range 4 {
		s, err := Parse("team == 'pay'", fmt.Sprintf("tier == 'tier-%d'", i))
		if err != nil {
			tb.Fatal(err)
		}
		ix.Register(Group{ID: fmt.Sprint("tier-", i), Selection: s, Purpose: Permit, Sources: []string{"m"}})
	}
	var filter Filter
	for i := range pods {
		if pod, ok := filter.Pod(benchPod(i)); ok {
			// Names and labels are cut out of a buffer, as a decoder may do: nothing may keep the buffer alive.
			ix.UpsertPod("m", pod)
		}
	}
	ix.Take()
	return ix
}

// An event that changes nothing of what counts is recognised without an allocation.
func TestIrrelevantEventsAllocateNothing(t *testing.T) {
	ix := benchIndex(t, 100)
	var filter Filter
	pod := benchPod(7)
	pod.ResourceVersion, pod.Status.Conditions = "2", []corev1.PodCondition{{Type: corev1.PodReady}}
	dual := benchPod(8)
	dual.Status.PodIPs = append(dual.Status.PodIPs, corev1.PodIP{IP: "fd00::8"})
	hosted := benchPod(9)
	hosted.Spec.HostNetwork, hosted.Name = true, "hosted"
	upsert := func(p *corev1.Pod) {
		if reduced, ok := filter.Pod(p); ok {
			ix.UpsertPod("m", reduced)
		} else {
			ix.DeletePod("m", p.Namespace, p.Name)
		}
	}
	upsert(dual)
	ix.Take()
	for name, p := range map[string]*corev1.Pod{"another condition": pod, "dual-stack": dual, "host-networked": hosted} {
		if allocs := testing.AllocsPerRun(200, func() { upsert(p) }); allocs != 0 {
			t.Errorf("%s: an event that changes nothing allocates %v times, want 0", name, allocs)
		}
	}
	if changes := ix.Take(); len(changes) > 0 {
		t.Errorf("events that change nothing changed %+v", changes)
	}
}

// maxBytesPerPod is what a pod may cost in memory, its groups and shards included.
const maxBytesPerPod = 200

func TestAPodCostsFewBytes(t *testing.T) {
	const pods = 50_000
	before := heap()
	ix := benchIndex(t, pods)
	perPod := float64(heap()-before) / pods
	t.Logf("%.0f bytes for each of %d pods", perPod, pods)
	if perPod > maxBytesPerPod {
		t.Errorf("a pod costs %.0f bytes, want at most %d", perPod, maxBytesPerPod)
	}
	runtime.KeepAlive(ix)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

func BenchmarkIndexMemory(b *testing.B) {
	for _, pods := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("pods=%d", pods), func(b *testing.B) {
			var perPod float64
			for b.Loop() {
				before := heap()
				ix := benchIndex(b, pods)
				perPod = float64(heap()-before) / float64(pods)
				runtime.KeepAlive(ix)
			}
			b.ReportMetric(perPod, "B/pod")
		})
	}
}

// BenchmarkIndexUpdate relabels one pod and back, in groups of a quarter of so many addresses, and takes what changed.
func BenchmarkIndexUpdate(b *testing.B) {
	for _, pods := range []int{400, 4_000, 40_000, 400_000} {
		b.Run(fmt.Sprintf("addresses=%d", pods/4), func(b *testing.B) {
			ix := benchIndex(b, pods)
			var filter Filter
			from, to := benchPod(3), benchPod(3)
			to.Labels["tier"] = "tier-2"
			b.ReportAllocs()
			for b.Loop() {
				for _, pod := range []*corev1.Pod{to, from} {
					reduced, _ := filter.Pod(pod)
					ix.UpsertPod("m", reduced)
					if got := len(ix.Take()); got != 2 {
						b.Fatalf("%d groups changed, want 2", got)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/change")
		})
	}
}

// BenchmarkIrrelevantEvent is an event of a pod of which nothing changed that counts.
func BenchmarkIrrelevantEvent(b *testing.B) {
	ix := benchIndex(b, 10_000)
	var filter Filter
	pod := benchPod(77)
	b.ReportAllocs()
	for b.Loop() {
		if reduced, ok := filter.Pod(pod); !ok || ix.UpsertPod("m", reduced) {
			b.Fatal("something changed")
		}
	}
}

// BenchmarkReplace is a complete list of which nothing changed.
func BenchmarkReplace(b *testing.B) {
	const pods = 10_000
	ix := benchIndex(b, pods)
	objects := make([]*corev1.Pod, pods)
	for i := range objects {
		objects[i] = benchPod(i)
	}
	var filter Filter
	b.ReportAllocs()
	for b.Loop() {
		d := ix.ReplacePods("m", func(yield func(snapshot.Pod) bool) {
			for _, object := range objects {
				if reduced, ok := filter.Pod(object); ok && !yield(reduced) {
					return
				}
			}
		})
		if d.Added+d.Changed+d.Removed > 0 {
			b.Fatalf("%+v", d)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(pods*b.N), "ns/pod")
}

// BenchmarkRegister adds a group to a member that is known.
func BenchmarkRegister(b *testing.B) {
	ix := benchIndex(b, 10_000)
	s, err := Parse("", "version == 'v1' && "+strings.Repeat("!has(absent) && ", 3)+"has(app)")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		ix.Register(Group{ID: "new", Selection: s, Purpose: Deny, Sources: []string{"m"}})
		if len(ix.Take()) != 1 {
			b.Fatal("the group has no addresses")
		}
		ix.Unregister("new")
	}
}
