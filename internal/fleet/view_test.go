package fleet

import (
	"errors"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"multicloud.network/operator/internal/gather"
)

// step is the end of a list or watch, some time after the one before it, and what frozen says then.
type step struct {
	after time.Duration
	kind  gather.Kind
	verb  string
	err   error
	want  string
}

func TestFrozenView(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("by a test"))
	broken := apierrors.NewInternalError(errors.New("by a test"))
	const cannotWatch = "cannot watch pods: forbidden; grant get, list and watch on pods to the operator's account on the member"
	for name, steps := range map[string][]step{
		"a watch that stays forbidden, although lists succeed, until it is granted": {
			{0, gather.Pods, "watch", nil, ""},
			{0, gather.Pods, "watch", forbidden, ""},
			{30 * time.Second, gather.Pods, "list", nil, ""},
			{29 * time.Second, gather.Pods, "watch", forbidden, ""},
			{time.Second, gather.Pods, "list", nil, cannotWatch},
			{time.Second, gather.Pods, "watch", nil, ""},
			{time.Hour, gather.Pods, "watch", nil, ""},
		},
		"a list that stays broken": {
			{0, gather.Services, "list", broken, ""},
			{time.Minute, gather.Services, "list", broken, "cannot list services: the API server answers InternalError"},
			{0, gather.Services, "list", nil, ""},
		},
		"a watch that is taken up again in between": {
			{0, gather.Nodes, "watch", broken, ""},
			{59 * time.Second, gather.Nodes, "watch", nil, ""},
			{0, gather.Nodes, "watch", broken, ""},
			{59 * time.Second, gather.Nodes, "watch", broken, ""},
		},
		"a kind that may be missing": {
			{0, gather.CRDs, "list", forbidden, ""},
			{time.Hour, gather.CRDs, "list", forbidden, ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(5000, 0)
			opts := &Options{Now: func() time.Time { return now }}
			opts.setDefaults()
			w := newView(nil, opts, gather.Facts{}, nil)
			for i, s := range steps {
				now = now.Add(s.after)
				w.setProblem(s.kind.GroupVersionKind, s.verb, s.err)
				if got := w.frozen(); got != s.want {
					t.Errorf("step %d: got %q, want %q", i, got, s.want)
				}
			}
		})
	}
}
