package integration

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// auditPolicy records who asked for what, and nothing of what was sent.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
`

// auditLog is what a kube-apiserver wrote of the requests that it got.
type auditLog struct{ path string }

// newAuditLog returns a log and the flags with which a kube-apiserver writes it.
func newAuditLog(t *testing.T) (auditLog, []string) {
	t.Helper()
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	must(t, os.WriteFile(policy, []byte(auditPolicy), 0o600))
	log := auditLog{path: filepath.Join(dir, "audit.log")}
	return log, []string{"--audit-policy-file=" + policy, "--audit-log-path=" + log.path}
}

// auditEvent is a part of an event.
type auditEvent struct {
	Stage, Verb, UserAgent, RequestURI string
	User                               struct {
		Username string
		Extra    map[string][]string
	}
	ResponseStatus struct{ Code int }
}

// credential names the token that the request came with.
func (e *auditEvent) credential() string {
	return strings.Join(e.User.Extra["authentication.kubernetes.io/credential-id"], ",")
}

// operator returns the operator's requests with one of these verbs, or with any, in the order in which they were answered. A watch is there twice: when it
// begins and when it ends.
func (l auditLog) operator(t *testing.T, verbs ...string) []auditEvent {
	t.Helper()
	file, err := os.Open(l.path)
	must(t, err)
	defer file.Close()
	var out []auditEvent
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event auditEvent
		if json.Unmarshal(lines.Bytes(), &event) != nil || event.UserAgent != "multicloud-network-operator" {
			continue // another's, or a line that is being written
		}
		for _, verb := range verbs {
			if event.Verb == verb {
				out = append(out, event)
			}
		}
		if len(verbs) == 0 {
			out = append(out, event)
		}
	}
	must(t, lines.Err())
	return out
}
