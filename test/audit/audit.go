// Package audit reads the audit logs of test clusters: who asked an API server for what, and what it answered.
package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"

	"multicloud.network/operator/test/cluster"
)

// logFile is in the cluster's folder; as a log it is kept when a test fails.
const logFile = "audit.log"

// policy logs every request when it has been answered, and watches when they begin: those end long after the test. Of access reviews, by which
// calico-apiserver asks whether somebody may write to a tier, it logs question and answer.
const policy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
  resources: [{group: authorization.k8s.io, resources: [subjectaccessreviews]}]
- level: Metadata
`

// Args are the flags of kube-apiserver that make it keep an audit log, for cluster.Options.APIServerArgs.
func Args(t testing.TB) []string {
	t.Helper()
	args, err := ArgsIn(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return args
}

// ArgsIn is Args for clusters that outlive a test: it puts the audit policy into a folder that must last as long as the cluster.
func ArgsIn(dir string) ([]string, error) {
	file := filepath.Join(dir, "audit-policy.yaml")
	if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
		return nil, fmt.Errorf("writing the audit policy: %w", err)
	}
	return []string{"--audit-policy-file=" + file, "--audit-log-path=" + logFile, "--audit-log-mode=blocking"}, nil
}

// Event is one entry of the log.
type Event struct {
	Stage      string
	RequestURI string
	Verb       string
	User       struct {
		Username string
		Extra    map[string][]string
	}
	UserAgent string
	ObjectRef *struct {
		APIGroup, Resource, Subresource, Namespace, Name string
	}
	ResponseStatus *struct {
		Code    int
		Message string
	}
	RequestObject            *authorizationv1.SubjectAccessReview
	ResponseObject           *authorizationv1.SubjectAccessReview
	RequestReceivedTimestamp time.Time
}

// Code is the HTTP status of the answer; 0 if there was none yet.
func (e *Event) Code() int {
	if e.ResponseStatus == nil {
		return 0
	}
	return e.ResponseStatus.Code
}

// Writes reports whether the request was to change something.
func (e *Event) Writes() bool {
	return e.Verb != "get" && e.Verb != "list" && e.Verb != "watch"
}

// Read returns what the cluster's API server has logged so far.
func Read(t testing.TB, c *cluster.Cluster) []Event {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(c.Dir, logFile))
	if err != nil {
		t.Fatalf("cluster %s has no audit log; start it with audit.Args: %v", c.Name, err)
	}
	var out []Event
	lines := bufio.NewScanner(bytes.NewReader(content))
	lines.Buffer(nil, len(content)+1)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			var syntax *json.SyntaxError
			if errors.As(err, &syntax) && !bytes.HasSuffix(lines.Bytes(), []byte("}")) {
				break // the last line, which is being written
			}
			t.Fatalf("audit log of cluster %s: %v in %s", c.Name, err, lines.Text())
		}
		out = append(out, e)
	}
	return out
}

// Credential names the token that the request came with; "" if it came with none.
func (e *Event) Credential() string {
	return strings.Join(e.User.Extra["authentication.kubernetes.io/credential-id"], ",")
}

// By returns the events of a user agent.
func By(events []Event, agent string) []Event {
	return slices.DeleteFunc(events, func(e Event) bool { return e.UserAgent != agent })
}

// Of returns the events of a service account, by namespace and name.
func Of(events []Event, namespace, account string) []Event {
	var out []Event
	for _, e := range events {
		if e.User.Username == ServiceAccount(namespace, account) {
			out = append(out, e)
		}
	}
	return out
}

// ServiceAccount is the name of a service account as a user.
func ServiceAccount(namespace, name string) string {
	return strings.Join([]string{"system", "serviceaccount", namespace, name}, ":")
}
