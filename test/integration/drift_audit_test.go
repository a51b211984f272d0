package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/test/cluster"
)

// auditLogs are the API servers' own records of requests, by cluster.
var auditLogs = map[string]string{}

// audited returns the flags that make an API server record who asks for what.
func audited(dir, name string) []string {
	policy := filepath.Join(dir, "policy.yaml")
	const text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived, ResponseStarted]\nrules: [{level: Metadata}]\n"
	if err := os.WriteFile(policy, []byte(text), 0o600); err != nil {
		panic(err)
	}
	auditLogs[name] = filepath.Join(dir, name+".log")
	return []string{"--audit-policy-file=" + policy, "--audit-log-path=" + auditLogs[name]}
}

// request is one that the API server answered.
type request struct {
	verb, resource, name string
	code                 int
	at                   time.Time
}

func (r request) String() string { return strings.TrimSpace(r.verb + " " + r.resource + " " + r.name) }

// requests returns what the API server recorded of a user agent. Watches are recorded when they end.
func requests(t *testing.T, on *cluster.Cluster, agent string) []request {
	t.Helper()
	content, err := os.ReadFile(auditLogs[on.Name])
	if err != nil {
		t.Fatal(err)
	}
	var out []request
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct {
			Verb, UserAgent          string
			ObjectRef                struct{ Resource, Name string }
			ResponseStatus           struct{ Code int }
			RequestReceivedTimestamp time.Time
		}
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil || event.UserAgent != agent || event.ObjectRef.Resource == "" {
			continue // the last line may be cut
		}
		out = append(out, request{event.Verb, event.ObjectRef.Resource, event.ObjectRef.Name, event.ResponseStatus.Code, event.RequestReceivedTimestamp})
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
