package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/features"

	"multicloud.network/operator/controllers"
)

// calico-apiserver cannot serve streamed lists. main turns them off by environment, which works only while no package has looked at it before.
func TestNothingReadsClientFeaturesBeforeMain(t *testing.T) {
	t.Setenv("KUBE_FEATURE_WatchListClient", "false")
	if features.FeatureGates().Enabled(features.WatchListClient) {
		t.Error("WatchListClient is on although the environment says false: a package that main imports asked before main began")
	}
}

func TestFlagsThatMakeNoSenseAreRefused(t *testing.T) {
	good := flags{settle: 0, barrier: 30 * time.Second, concurrency: 1, maxResponse: 1, limits: controllers.MemberLimits{WriteRate: 0.5, WriteBurst: 1, PauseAfter: 1, Pause: time.Second}}
	if err := good.validate(); err != nil {
		t.Errorf("good flags: %v", err)
	}
	for want, change := range map[string]func(*flags){
		"--settle -1s: write a duration of 0 or more":  func(f *flags) { f.settle = -time.Second },
		"--barrier -1s: write a duration of 0 or more": func(f *flags) { f.barrier = -time.Second },
		"--concurrency 0: write 1 or more":             func(f *flags) { f.concurrency = 0 },
		"--max-response 0: write 1 or more":            func(f *flags) { f.maxResponse = 0 },
		"--member-write-rate 0: write a number above":  func(f *flags) { f.limits.WriteRate = 0 },
		"--member-write-rate NaN: write a number":      func(f *flags) { f.limits.WriteRate = math.NaN() },
		`"false --settle 5s" is no flag, and flags`:    func(f *flags) { f.rest = []string{"false", "--settle", "5s"} },
		"--member-write-burst 0: write 1 or more":      func(f *flags) { f.limits.WriteBurst = 0 },
		"--member-pause-after 0: write 1 or more":      func(f *flags) { f.limits.PauseAfter = 0 },
		"--member-pause 1ms: write a duration of 1s":   func(f *flags) { f.limits.Pause = time.Millisecond },
		"--concurrency -1: write 1 or more":            func(f *flags) { f.concurrency = -1 },
	} {
		f := good
		change(&f)
		if err := f.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
