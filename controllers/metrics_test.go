package controllers

import (
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
)

var updateDocs = flag.Bool("update", false, "write docs/metrics.md")

// benchOfMetrics is a registry with the metrics of a fleet that stands still.
type benchOfMetrics struct {
	*metrics
	t        *testing.T
	registry *prometheus.Registry
	states   map[string]fleet.State
	statuses map[string]member.Status
	clock    time.Time
}

func newBenchOfMetrics(t *testing.T) *benchOfMetrics {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := mcnv1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	n := networkObject("net", 1)
	n.Status.Summary = mcnv1alpha1.NetworkSummary{Total: 3, Programmed: 2, Unreachable: 1, Pods: 7}
	n.Status.Conditions = []metav1.Condition{condition(mcnv1alpha1.ConditionReady, metav1.ConditionFalse, mcnv1alpha1.ReasonProgressing)}
	m := memberObject("aws")
	m.Status.Conditions = []metav1.Condition{condition(mcnv1alpha1.ConditionReachable, metav1.ConditionTrue, mcnv1alpha1.ReasonConnected)}

	b := &benchOfMetrics{t: t, registry: prometheus.NewPedanticRegistry(), clock: time.Unix(10_000, 0)}
	lost := metav1.NewTime(b.clock.Add(-90 * time.Second))
	b.states = map[string]fleet.State{
		"aws": {Reachable: true, CalicoReady: true}, "bare": {Reachable: true}, "new": {Reason: mcnv1alpha1.ReasonConnecting},
		"gcp": {Reason: mcnv1alpha1.ReasonConnectionFailed, StaleSince: &lost},
	}
	b.statuses = map[string]member.Status{"aws": {Results: map[string]member.Result{"net": {Wanted: 4, Done: 3}, "other": {Wanted: 2, Done: 2}}}}
	leads := make(chan struct{})
	close(leads)
	b.metrics = newMetrics(stateCollector{
		reader: fake.NewClientBuilder().WithScheme(scheme).WithObjects(n, m).Build(), leads: leads,
		states: func() map[string]fleet.State { return b.states }, statuses: func() map[string]member.Status { return b.statuses },
		now: func() time.Time { return b.clock },
	})
	if err := b.registry.Register(b.metrics); err != nil {
		t.Fatal(err)
	}
	return b
}

// gather reads the registry: each series as name{label values}, with its value, or count of observations.
func (b *benchOfMetrics) gather() map[string]float64 {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	return seriesOf(families)
}

func seriesOf(families []*dto.MetricFamily) map[string]float64 {
	out := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			var labels []string
			for _, pair := range m.GetLabel() {
				labels = append(labels, pair.GetValue())
			}
			value := m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
			out[strings.TrimPrefix(family.GetName(), metricPrefix)+"{"+strings.Join(labels, ",")+"}"] = value
		}
	}
	return out
}

// observeAll makes every metric have a series.
func (b *benchOfMetrics) observeAll() {
	b.setMembers(map[string]member.Intent{"aws": {}})
	b.Wrote("aws", "Tier", apply.Created)
	b.Wrote("aws", "Tier", apply.Unchanged)
	b.Drift("aws", "GlobalNetworkSet")
	b.Failed("aws", mcnv1alpha1.ReasonWriteFailed)
	b.tokenEnds("aws", b.clock.Add(time.Hour))
	b.renewed("aws", renewalRenewed)
	b.Pass("aws", time.Second)
	b.latency.Observe(1)
}

func TestMetricsSayWhatIs(t *testing.T) {
	b := newBenchOfMetrics(t)
	b.observeAll()
	got := b.gather()
	want := map[string]float64{
		"members{ready}": 1, "members{not_ready}": 1, "members{connecting}": 1, "members{unreachable}": 1,
		"member_connected{aws}": 1, "member_connected{bare}": 1, "member_connected{new}": 0, "member_connected{gcp}": 0,
		"member_view_age_seconds{aws}": 0, "member_view_age_seconds{bare}": 0, "member_view_age_seconds{gcp}": 90,
		"member_objects{aws,desired}": 6, "member_objects{aws,applied}": 5,
		"clusters{net,selected}": 3, "clusters{net,programmed}": 2, "clusters{net,unreachable}": 1, "clusters{net,staged}": 0, "clusters{net,held}": 0, "pods{net}": 7,
		"status_condition{MultiCloudNetwork,net,true,Ready}": 0, "status_condition{MultiCloudNetwork,net,false,Ready}": 1,
		"status_condition{MultiCloudNetwork,net,unknown,Ready}": 0, "status_condition{MemberCluster,aws,true,Reachable}": 1,
		"status_condition{MemberCluster,aws,false,Reachable}": 0, "status_condition{MemberCluster,aws,unknown,Reachable}": 0,
		"writes_total{aws,Tier,Created}": 1, "drift_corrected_total{aws,GlobalNetworkSet}": 1, "failures_total{aws,WriteFailed}": 1,
		"member_token_expiration_timestamp_seconds{aws}": 13_600, "token_renewals_total{aws,Renewed}": 1,
		"member_pass_duration_seconds{}": 1, "intent_applied_duration_seconds{}": 1,
		"build_info{" + buildLabels()[2] + "," + buildLabels()[1] + "," + buildLabels()[0] + "}": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("series (-want +got):\n%s", diff)
	}
}

func TestSeriesEndWithTheirMember(t *testing.T) {
	b := newBenchOfMetrics(t)
	b.observeAll()
	b.setMembers(map[string]member.Intent{"gcp": {}})
	b.states, b.statuses = map[string]fleet.State{}, map[string]member.Status{}
	b.forgetToken("aws")
	b.Wrote("aws", "Tier", apply.Deleted) // a worker that is ending
	b.Wrote("gcp", "Tier", apply.Created)
	for series := range b.gather() {
		// The hub still has the MemberCluster, and with it its conditions.
		if strings.Contains(series, "aws") && !strings.HasPrefix(series, "status_condition") {
			t.Errorf("%s is still there", series)
		}
	}
	if b.gather()["writes_total{gcp,Tier,Created}"] != 1 {
		t.Error("a write on gcp was not counted")
	}
}

func TestAReplicaThatDoesNotLeadSaysWhatItIs(t *testing.T) {
	b := newBenchOfMetrics(t)
	b.state.leads = make(chan struct{})
	for series := range b.gather() {
		if !strings.HasPrefix(series, "build_info") && !strings.HasSuffix(series, "_seconds{}") {
			t.Errorf("%s is there, want build_info", series)
		}
	}
}

func TestMetricsFollowPrometheusConventions(t *testing.T) {
	b := newBenchOfMetrics(t)
	b.observeAll()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("problems: %+v (%v)", problems, err)
	}
}

// TestMetricsAreDocumented: the page says of each metric that there is what the code says, and of no other.
func TestMetricsAreDocumented(t *testing.T) {
	const page, begin, end = "../docs/metrics.md", "<!-- table -->\n\n", "\n<!-- end of table -->"
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", page)
	}
	table := "| metric | kind | labels | meaning |\n|---|---|---|---|\n"
	for _, m := range allMetrics() {
		labels := ""
		if len(m.labels) > 0 {
			labels = "`" + strings.Join(m.labels, "`, `") + "`"
		}
		table += "| `" + metricPrefix + m.name + "` | " + m.kind + " | " + labels + " | " + m.help + " |\n"
	}
	want := before + begin + table + end + after
	if *updateDocs {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(content)); diff != "" {
		t.Errorf("%s is not up to date; run: go test ./controllers -run TestMetricsAreDocumented -update (-want +got):\n%s", page, diff)
	}

	b := newBenchOfMetrics(t)
	b.observeAll()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[dto.MetricType]string{dto.MetricType_GAUGE: kindGauge, dto.MetricType_COUNTER: kindCounter, dto.MetricType_HISTOGRAM: kindHistogram}
	served, said := map[string]string{}, map[string]string{}
	for _, family := range families {
		served[family.GetName()] = kinds[family.GetType()]
	}
	for _, m := range allMetrics() {
		said[metricPrefix+m.name] = m.kind
	}
	if !maps.Equal(served, said) {
		t.Errorf("served are %v, documented %v", slices.Sorted(maps.Keys(served)), slices.Sorted(maps.Keys(said)))
	}
}

func TestLatencyIsThatOfNewSpecs(t *testing.T) {
	b := newBenchOfMetrics(t)
	f := &stubFleet{statuses: map[string]member.Status{}}
	w := &measuredWriter{MemberWriter: f, metrics: b.metrics, now: func() time.Time { return b.clock }}
	tell := func(generation int64, held bool) {
		w.SetIntents(map[string]member.Intent{"aws": {Networks: map[string]member.NetworkIntent{"net": {Generation: generation, Held: held}}}})
	}
	holds := func(generation int64) uint64 {
		b.clock = b.clock.Add(time.Second)
		f.statuses["aws"] = member.Status{Results: map[string]member.Result{"net": {Generation: generation, Programmed: true}}}
		w.Statuses()
		w.Statuses()
		return uint64(b.gather()["intent_applied_duration_seconds{}"])
	}
	tell(1, false)
	if got := holds(1); got != 0 {
		t.Errorf("%d measurements of what a starting operator found", got)
	}
	tell(2, false)
	tell(2, false)
	if got := holds(1); got != 0 {
		t.Errorf("%d measurements while the member holds the former spec", got)
	}
	if got := holds(2); got != 1 {
		t.Errorf("%d measurements, want 1", got)
	}
	tell(3, true)
	if got := holds(3); got != 1 {
		t.Errorf("%d measurements after one that was held, want still 1", got)
	}
}
