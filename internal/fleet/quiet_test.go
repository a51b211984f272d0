package fleet

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	toolscache "k8s.io/client-go/tools/cache"
)

// TestWhatClientGoSaysOfWatchesIsQuietAndNamesTheMember lets lists fail and watches end at once, as a proxy on the way may do.
func TestWhatClientGoSaysOfWatchesIsQuietAndNamesTheMember(t *testing.T) {
	for name, verbosity := range map[string]int{"by default": 0, "when asked for": 9} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			var mu sync.Mutex
			var lines []string
			log := funcr.New(func(_, args string) {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, args)
			}, funcr.Options{Verbosity: verbosity}).WithValues("cluster", "aws")
			lists, watches := make(chan struct{}, 100), make(chan struct{}, 100)
			source := &toolscache.ListWatch{
				ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
					lists <- struct{}{}
					if len(lists) == 1 {
						return nil, errors.New("no route")
					}
					return &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "1"}}, nil
				},
				WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) {
					watches <- struct{}{}
					ended := watch.NewFake()
					ended.Stop()
					return ended, nil
				},
			}
			informer := quietInformer{toolscache.NewSharedIndexInformer(withoutWatchList{source}, &corev1.Pod{}, 0, nil), log.V(1)}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { informer.RunWithContext(ctx); close(done) }()
			g.Eventually(watches, time.Minute).Should(gomega.HaveLen(2))
			cancel()
			g.Eventually(done, time.Minute).Should(gomega.BeClosed())
			mu.Lock()
			defer mu.Unlock()
			if verbosity == 0 && len(lines) > 0 {
				t.Errorf("logged %q", lines)
			}
			said := strings.Join(lines, "\n")
			if verbosity > 0 && (!strings.Contains(said, "no route") || !strings.Contains(said, "very short watch")) {
				t.Errorf("logged %q, want why the list failed and why the watch ended", said)
			}
			for _, line := range lines {
				if !strings.Contains(line, `"cluster"="aws"`) {
					t.Errorf("%s does not name the member", line)
				}
			}
		})
	}
}
