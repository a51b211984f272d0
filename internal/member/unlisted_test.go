package member

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"multicloud.network/operator/internal/apply"
)

// answering is an API server that has some of our objects, may refuse to list a kind, and notes what is removed.
type answering struct {
	forbidden string // a plural
	objects   map[string][]unstructured.Unstructured
	mu        sync.Mutex
	writes    []string
}

func (s *answering) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	plural := strings.Split(strings.TrimPrefix(r.URL.Path, "/apis/projectcalico.org/v3/"), "/")[0]
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method != http.MethodGet:
		s.mu.Lock()
		s.writes = append(s.writes, r.Method+" "+r.URL.Path)
		s.objects[plural] = nil
		s.mu.Unlock()
		_, _ = w.Write([]byte(`{"kind":"Status","apiVersion":"v1","status":"Success"}`))
	case plural == s.forbidden:
		w.WriteHeader(http.StatusForbidden)
		status := apierrors.NewForbidden(schema.GroupResource{Group: "projectcalico.org", Resource: plural}, "", nil).Status()
		status.Kind, status.APIVersion = "Status", "v1"
		_ = json.NewEncoder(w).Encode(status)
	default:
		list := unstructured.UnstructuredList{Object: map[string]any{"metadata": map[string]any{"resourceVersion": "7"}}, Items: s.objects[plural]}
		list.SetGroupVersionKind(apply.GroupVersionKind(kindsByPlural[plural] + "List"))
		text, _ := list.MarshalJSON()
		_, _ = w.Write(text)
	}
}

var kindsByPlural = map[string]string{
	"tiers": apply.KindTier, "ippools": apply.KindPool, "globalnetworksets": apply.KindSet,
	"globalnetworkpolicies": apply.KindPolicy, "stagedglobalnetworkpolicies": apply.KindStaged,
}

// connectTo is a connection to a server that answers so.
func connectTo(t *testing.T, s *answering) Connection {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	mapper := meta.NewDefaultRESTMapper(nil)
	for plural, kind := range kindsByPlural {
		gvk := apply.GroupVersionKind(kind)
		mapper.AddSpecific(gvk, gvk.GroupVersion().WithResource(plural), gvk.GroupVersion().WithResource(strings.ToLower(kind)), meta.RESTScopeRoot)
	}
	c, err := client.New(&rest.Config{Host: server.URL}, client.Options{Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	return Connection{ID: s, ClusterID: "id", Client: c}
}

// TestSetsStayWhileThePoliciesThatMayNeedThemAreNotKnown: policies go before their sets, and policies that may not be listed may still stand. A denial whose
// permit has lost its set cuts what was open.
func TestSetsStayWhileThePoliciesThatMayNeedThemAreNotKnown(t *testing.T) {
	for forbidden, want := range map[string]int{"globalnetworkpolicies": 0, "": 1} {
		set := versioned("mcn-a", "5", "h")
		set.SetUID("uid")
		s := &answering{forbidden: forbidden, objects: map[string][]unstructured.Unstructured{"globalnetworksets": {*set}}}
		conn := connectTo(t, s)
		m := NewManager(Options{OwnerID: "o", Settle: time.Nanosecond, Connect: func(string) (Connection, bool) { return conn, true }})
		w := newWorker(m, "one")
		w.setIntent(prepare(Intent{Networks: map[string]NetworkIntent{"net": {Remove: true, Deleted: true}}}), nil, nil)
		w.pass(t.Context())
		if len(s.writes) != want {
			t.Errorf("with %q forbidden: %v were written, want %d removals of the set", forbidden, s.writes, want)
		}
	}
}
