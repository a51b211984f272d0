package controllers

import (
	"context"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
)

// stateCollector reads, at each scrape, what the fleet, the workers and the hub's cache hold: nothing in it can be out of date or outlive its object.
type stateCollector struct {
	// reader is the hub's cache.
	reader client.Reader
	// states is the health of every member, statuses how far their workers are.
	states   func() map[string]fleet.State
	statuses func() map[string]member.Status
	// leads is closed while this process leads: another has nothing to say of the fleet.
	leads <-chan struct{}
	now   func() time.Time
}

// scrapeTimeout bounds the wait for a cache that is not filled yet.
const scrapeTimeout = 2 * time.Second

// Values of the label state of metricMembers.
const (
	stateReady       = "ready"
	stateNotReady    = "not_ready"
	stateConnecting  = "connecting"
	stateUnreachable = "unreachable"
)

// gauge sends one value.
func gauge(ch chan<- prometheus.Metric, m metric, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(m.desc(), prometheus.GaugeValue, value, labels...)
}

func (c *stateCollector) collect(ch chan<- prometheus.Metric) {
	gauge(ch, metricBuildInfo, 1, buildLabels()...)
	select {
	case <-c.leads:
	default:
		return
	}
	c.collectMembers(ch)
	for name, s := range c.statuses() {
		wanted, done := 0, 0
		for _, r := range s.Results {
			wanted, done = wanted+r.Wanted, done+r.Done
		}
		gauge(ch, metricObjects, float64(wanted), name, "desired")
		gauge(ch, metricObjects, float64(done), name, "applied")
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	c.collectObjects(ctx, ch)
}

func (c *stateCollector) collectMembers(ch chan<- prometheus.Metric) {
	counts := map[string]int{stateReady: 0, stateNotReady: 0, stateConnecting: 0, stateUnreachable: 0}
	for name, s := range c.states() {
		state, connected := stateUnreachable, 0.0
		switch {
		case s.Reachable && s.CalicoReady:
			state, connected = stateReady, 1
		case s.Reachable:
			state, connected = stateNotReady, 1
		case s.Reason == mcnv1alpha1.ReasonConnecting:
			state = stateConnecting
		}
		counts[state]++
		gauge(ch, metricConnected, connected, name)
		switch {
		case s.Reachable:
			gauge(ch, metricViewAge, 0, name)
		case s.StaleSince != nil:
			gauge(ch, metricViewAge, max(0, c.now().Sub(s.StaleSince.Time).Seconds()), name)
		}
	}
	for state, count := range counts {
		gauge(ch, metricMembers, float64(count), state)
	}
}

// collectObjects reads the hub's objects. While the cache is not filled, there is nothing to say of them.
func (c *stateCollector) collectObjects(ctx context.Context, ch chan<- prometheus.Metric) {
	var networks mcnv1alpha1.MultiCloudNetworkList
	if c.reader.List(ctx, &networks) == nil {
		for i := range networks.Items {
			n := &networks.Items[i]
			s := n.Status.Summary
			for state, count := range map[string]int32{
				"selected": s.Total, "programmed": s.Programmed, "unreachable": s.Unreachable, "staged": s.Staged, "held": s.Held,
			} {
				gauge(ch, metricNetworkClusters, float64(count), n.Name, state)
			}
			gauge(ch, metricNetworkPods, float64(s.Pods), n.Name)
			collectConditions(ch, "MultiCloudNetwork", n.Name, n.Status.Conditions)
		}
	}
	var members mcnv1alpha1.MemberClusterList
	if c.reader.List(ctx, &members) == nil {
		for i := range members.Items {
			collectConditions(ch, "MemberCluster", members.Items[i].Name, members.Items[i].Status.Conditions)
		}
	}
}

func collectConditions(ch chan<- prometheus.Metric, kind, name string, conditions []metav1.Condition) {
	for _, condition := range conditions {
		for _, status := range []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown} {
			value := 0.0
			if condition.Status == status {
				value = 1
			}
			gauge(ch, metricCondition, value, kind, name, condition.Type, strings.ToLower(string(status)))
		}
	}
}
