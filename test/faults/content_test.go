package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// content is what a member holds of an operator's, by kind and name.
type content map[string]*unstructured.Unstructured

// kinds are those that operators write.
var kinds = []string{"Tier", "GlobalNetworkPolicy", "StagedGlobalNetworkPolicy", "GlobalNetworkSet", "IPPool"}

// content reads what a member holds, past the proxy; of the given networks, or of everything without any. The name "" is what networks share.
func (s *site) content(networks ...string) (content, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out := content{}
	for _, kind := range kinds {
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion("projectcalico.org/v3")
		list.SetKind(kind + "List")
		if err := s.admin.List(ctx, list, client.HasLabels{mcnv1alpha1.OwnerLabel}); err != nil {
			return nil, fmt.Errorf("listing %s of %s: %w", kind, s.name, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			if len(networks) == 0 || slices.Contains(networks, o.GetLabels()[mcnv1alpha1.NetworkLabel]) {
				out[kind+" "+o.GetName()] = o
			}
		}
	}
	return out, nil
}

// held is content, read again until that works.
func (s *site) held(t *testing.T, networks ...string) content {
	t.Helper()
	var out content
	eventually(t, "reading what "+s.name+" holds", func() (err error) {
		out, err = s.content(networks...)
		return err
	})
	return out
}

// differs tells the first object of which a single byte is not as it was, the resource version included: nothing was written to those that are as they
// were, and none was deleted and made again.
func (c content) differs(now content) error {
	for key, was := range c {
		is, ok := now[key]
		if !ok {
			return fmt.Errorf("%s is gone", key)
		}
		before, err := json.Marshal(was)
		if err != nil {
			return err
		}
		after, err := json.Marshal(is)
		if err != nil {
			return err
		}
		if string(before) != string(after) {
			return fmt.Errorf("%s was %s and is %s", key, before, after)
		}
	}
	for key := range now {
		if c[key] == nil {
			return fmt.Errorf("%s is new", key)
		}
	}
	return nil
}

// baseOf are the base networks and what networks share.
func baseOf() []string { return append(slices.Clone(base), "") }

// remember reads what members hold of the base networks, and returns a check that nobody has written to it since.
func (w *world) remember(t *testing.T, names ...string) (untouched func(*testing.T)) {
	t.Helper()
	before := map[string]content{}
	for _, name := range names {
		before[name] = w.sites[name].held(t, baseOf()...)
	}
	return func(t *testing.T) {
		t.Helper()
		for name, was := range before {
			if err := was.differs(w.sites[name].held(t, baseOf()...)); err != nil {
				t.Errorf("on %s %v", name, err)
			}
		}
	}
}

// down stops the member's API server the hard way; it is started again at the end of the row at the latest.
func (s *site) down(t *testing.T) {
	t.Helper()
	must(t, s.KillAPIServer())
	t.Cleanup(func() {
		if s.away {
			s.up(t)
		}
	})
	s.away = true
}

// up starts the member's API server again.
func (s *site) up(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	must(t, s.StartAPIServer(ctx))
	s.away = false
}
