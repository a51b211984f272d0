package main

import (
	"testing"

	"k8s.io/client-go/features"
)

// calico-apiserver cannot serve streamed lists. main turns them off by environment, which works only while no package has looked at it before.
func TestNothingReadsClientFeaturesBeforeMain(t *testing.T) {
	t.Setenv("KUBE_FEATURE_WatchListClient", "false")
	if features.FeatureGates().Enabled(features.WatchListClient) {
		t.Error("WatchListClient is on although the environment says false: a package that main imports asked before main began")
	}
}
