package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/test/audit"
	"multicloud.network/operator/test/cluster"
)

// request is one that the API server answered.
type request struct {
	verb, resource, name string
	code                 int
	at                   time.Time
}

func (r request) String() string { return strings.TrimSpace(r.verb + " " + r.resource + " " + r.name) }

// requests returns what the API server answered to a user agent about resources.
func requests(t *testing.T, on *cluster.Cluster, agent string) []request {
	t.Helper()
	var out []request
	for _, e := range audit.By(audit.Read(t, on), agent) {
		if e.ObjectRef != nil && e.ObjectRef.Resource != "" {
			out = append(out, request{e.Verb, e.ObjectRef.Resource, e.ObjectRef.Name, e.Code(), e.RequestReceivedTimestamp})
		}
	}
	return out
}

// count counts the requests with some verb.
func count(all []request, verbs ...string) int {
	n := 0
	for _, r := range all {
		if slices.Contains(verbs, r.verb) {
			n++
		}
	}
	return n
}

var writeVerbs = []string{"create", "update", "patch", "delete", "deletecollection"}

// listOf is an empty list of one of the kinds that we write.
func listOf(kind string) *unstructured.UnstructuredList {
	out := &unstructured.UnstructuredList{}
	out.SetGroupVersionKind(apply.GroupVersionKind(kind + "List"))
	return out
}
