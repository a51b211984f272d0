package controllers

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/member"
)

// metricPrefix begins the name of every metric of ours.
const metricPrefix = "multicloud_network_"

// metric describes one metric. What is said here is all that docs/metrics.md says.
type metric struct {
	name   string
	kind   string
	labels []string
	help   string
}

// Kinds of metrics, as docs/metrics.md says them.
const (
	kindGauge     = "gauge"
	kindCounter   = "counter"
	kindHistogram = "histogram"
)

// The label "cluster" is a member's name, as it is in logs. No label holds an address, a pod or a message.
var (
	metricBuildInfo = metric{"build_info", kindGauge, []string{"version", "revision", "go_version"}, "1, with what the operator was built from."}
	metricMembers   = metric{"members", kindGauge, []string{"state"},
		"MemberClusters by state: ready, not_ready (connected, but Calico takes no policies), connecting, unreachable."}
	metricConnected = metric{"member_connected", kindGauge, []string{"cluster"}, "1 while the operator is connected to the cluster and watches it, else 0."}
	metricViewAge   = metric{"member_view_age_seconds", kindGauge, []string{"cluster"},
		"How long ago the operator lost sight of the cluster; 0 while it watches it, absent before it first did. What is known of the cluster is that old."}
	metricObjects = metric{"member_objects", kindGauge, []string{"cluster", "state"},
		"Objects of networks on the cluster by state: desired are those that should be there, applied those of them that were read back as they should be."}
	metricNetworkClusters = metric{"clusters", kindGauge, []string{"network", "state"},
		"Clusters of a network by state: selected (role Managed), programmed, unreachable, staged, held."}
	metricNetworkPods = metric{"pods", kindGauge, []string{"network"}, "Pods that the network picks, in all its clusters."}
	metricCondition   = metric{"status_condition", kindGauge, []string{"kind", "name", "type", "status"},
		"1 for the status (true, false or unknown) that a condition of a MultiCloudNetwork or MemberCluster has, 0 for the other two. Of Reconciling and Stalled there is nothing while they are absent."}
	metricWrites = metric{"writes_total", kindCounter, []string{"cluster", "kind", "outcome"},
		"Writes to the cluster by kind of object and outcome: Created, Updated, Deleted."}
	metricDrift = metric{"drift_corrected_total", kindCounter, []string{"cluster", "kind"},
		"Objects of ours on the cluster that somebody else changed or deleted, and that were put back."}
	metricFailures = metric{"failures_total", kindCounter, []string{"cluster", "reason"}, "Reads and writes on the cluster that failed, by the reason that its networks report."}
	metricTokenEnd = metric{"member_token_expiration_timestamp_seconds", kindGauge, []string{"cluster"},
		"When the token ends with which the operator reaches the cluster, in seconds since 1970; only of tokens that it renews."}
	metricRenewals = metric{"token_renewals_total", kindCounter, []string{"cluster", "outcome"}, "Tries to renew the token of the cluster by outcome: Renewed, Failed."}
	metricPass     = metric{"member_pass_duration_seconds", kindHistogram, nil, "How long a worker took to look at its cluster and do all that could be done."}
	metricLatency  = metric{"intent_applied_duration_seconds", kindHistogram, nil,
		"From the moment that a new spec was compiled for a cluster until it was read back there; outages of the cluster count, updates that are Held do not."}
)

// allMetrics are all that the operator adds to those of controller-runtime.
func allMetrics() []metric {
	return []metric{
		metricBuildInfo, metricMembers, metricConnected, metricViewAge, metricObjects, metricNetworkClusters, metricNetworkPods, metricCondition,
		metricWrites, metricDrift, metricFailures, metricTokenEnd, metricRenewals, metricPass, metricLatency,
	}
}

func (m metric) desc() *prometheus.Desc {
	return prometheus.NewDesc(metricPrefix+m.name, m.help, m.labels, nil)
}

func (m metric) gauge() *prometheus.GaugeVec {
	return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: metricPrefix + m.name, Help: m.help}, m.labels)
}

func (m metric) counter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: metricPrefix + m.name, Help: m.help}, m.labels)
}

func (m metric) histogram(buckets []float64) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: metricPrefix + m.name, Help: m.help, Buckets: buckets})
}

// metrics counts what happens, and collects what is. It is a prometheus.Collector and the workers' Observer. Series of a member end with the member.
type metrics struct {
	state stateCollector

	writes, drift, failures, renewals *prometheus.CounterVec
	tokenEnd                          *prometheus.GaugeVec
	pass, latency                     prometheus.Histogram

	mu sync.Mutex
	// members are those that have workers. What a worker that is ending still tells of another must not bring its series back.
	members map[string]bool
}

var (
	_ prometheus.Collector = &metrics{}
	_ member.Observer      = &metrics{}
)

func newMetrics(state stateCollector) *metrics {
	return &metrics{
		state:  state,
		writes: metricWrites.counter(), drift: metricDrift.counter(), failures: metricFailures.counter(),
		renewals: metricRenewals.counter(), tokenEnd: metricTokenEnd.gauge(),
		pass:    metricPass.histogram(prometheus.ExponentialBuckets(0.005, 2, 14)),
		latency: metricLatency.histogram(prometheus.ExponentialBuckets(0.1, 2, 14)),
		members: map[string]bool{},
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range allMetrics() {
		ch <- d.desc()
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{m.writes, m.drift, m.failures, m.renewals, m.tokenEnd, m.pass, m.latency} {
		c.Collect(ch)
	}
	m.state.collect(ch)
}

// run registers the metrics until the context ends. Of several operators in one process the first has them.
func (m *metrics) run(ctx context.Context, registry prometheus.Registerer) error {
	if err := registry.Register(m); err != nil {
		var already prometheus.AlreadyRegisteredError
		if errors.As(err, &already) {
			return nil
		}
		return err
	}
	<-ctx.Done()
	registry.Unregister(m)
	return nil
}

// setMembers says which members have workers. The series of others end.
func (m *metrics) setMembers(names map[string]member.Intent) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name := range m.members {
		if _, is := names[name]; !is {
			delete(m.members, name)
			for _, vector := range []*prometheus.CounterVec{m.writes, m.drift, m.failures} {
				vector.DeletePartialMatch(prometheus.Labels{"cluster": name})
			}
		}
	}
	for name := range names {
		m.members[name] = true
	}
}

// count adds one, for a member that has a worker.
func (m *metrics) count(vector *prometheus.CounterVec, cluster string, labels ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.members[cluster] {
		vector.WithLabelValues(append([]string{cluster}, labels...)...).Inc()
	}
}

// Wrote implements member.Observer.
func (m *metrics) Wrote(cluster, kind string, outcome apply.Outcome) {
	if outcome != apply.Unchanged {
		m.count(m.writes, cluster, kind, string(outcome))
	}
}

// Drift implements member.Observer.
func (m *metrics) Drift(cluster, kind string) { m.count(m.drift, cluster, kind) }

// Failed implements member.Observer.
func (m *metrics) Failed(cluster string, reason mcnv1alpha1.Reason) {
	m.count(m.failures, cluster, string(reason))
}

// Pass implements member.Observer.
func (m *metrics) Pass(_ string, took time.Duration) { m.pass.Observe(took.Seconds()) }

// Outcomes of a try to renew a token.
const (
	renewalRenewed = "Renewed"
	renewalFailed  = "Failed"
)

// tokenEnds notes when a member's token ends. It and its kin do nothing on nil.
func (m *metrics) tokenEnds(cluster string, end time.Time) {
	if m != nil {
		m.tokenEnd.WithLabelValues(cluster).Set(float64(end.Unix()))
	}
}

// renewed counts a try to renew a member's token.
func (m *metrics) renewed(cluster, outcome string) {
	if m != nil {
		m.renewals.WithLabelValues(cluster, outcome).Inc()
	}
}

// forgetToken ends the series of a member whose token is not renewed.
func (m *metrics) forgetToken(cluster string) {
	if m != nil {
		m.tokenEnd.DeleteLabelValues(cluster)
		m.renewals.DeletePartialMatch(prometheus.Labels{"cluster": cluster})
	}
}

// buildLabels are the values of the labels of build_info.
func buildLabels() []string {
	version, revision, goVersion := "unknown", "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return []string{version, revision, goVersion}
}
