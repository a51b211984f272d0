package integration

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
)

// trap is what a kubeconfig that is obeyed would touch.
type trap struct {
	program, ran, file, address string
	connections                 atomic.Int32
}

// canaryText stands in every field of a bad kubeconfig; nothing that the operator writes may hold it.
const canaryText = "c4n4ry-of-the-kubeconfig"

func newTrap(t *testing.T) *trap {
	t.Helper()
	dir := t.TempDir()
	tr := &trap{program: filepath.Join(dir, canaryText), ran: filepath.Join(dir, "ran"), file: filepath.Join(dir, "file")}
	must(t, os.WriteFile(tr.program, []byte("#!/bin/sh\ntouch "+tr.ran+"\n"), 0o700))
	must(t, os.WriteFile(tr.file, []byte(canaryText), 0o600))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	tr.address = listener.Addr().String()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			tr.connections.Add(1)
			_ = conn.Close()
		}
	}()
	return tr
}

// TestABadKubeconfigTouchesNothing replaces the credential of a member in use by one that would run a program, read a file, take a detour or take all
// memory. The operator says why it does not use it, in words that hold nothing of it; what is in force on the member stays as it is; and with the good
// credential back all is well again.
func TestABadKubeconfigTouchesNothing(t *testing.T) {
	t.Parallel()
	f := startFleet(t, map[string]cluster.Calico{"native": cluster.Native})
	f.pod("native", "pay", "web", nil, "10.110.1.1")
	f.startOperator()
	f.create(f.hub, flatNetwork("payments", nil))
	f.waitCondition("payments", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	before, err := oursOn(t.Context(), f.clients["native"])
	must(t, err)

	tr, good := newTrap(t), string(access.MemberKubeconfig(t, f.members["native"]))
	user := func(fields string) string {
		return strings.Replace(good, "    token:", "    "+fields+"\n    token:", 1)
	}
	server := func(fields string) string {
		return strings.Replace(good, "    server:", "    "+fields+"\n    server:", 1)
	}
	for _, tc := range []struct {
		name, text string
		reason     mcnv1alpha1.Reason
		code       string
	}{
		{"exec", user("exec: {apiVersion: client.authentication.k8s.io/v1, command: " + tr.program + ", interactiveMode: Never}"), mcnv1alpha1.ReasonKubeconfigRefused, "Exec"},
		{"auth provider", user("auth-provider: {name: gcp, config: {cmd-path: " + tr.program + "}}"), mcnv1alpha1.ReasonKubeconfigRefused, "AuthProvider"},
		{"token file", user("tokenFile: " + tr.file), mcnv1alpha1.ReasonKubeconfigRefused, "FilePath"},
		{"certificate file", user("client-certificate: " + tr.file), mcnv1alpha1.ReasonKubeconfigRefused, "FilePath"},
		{"proxy", server("proxy-url: http://" + tr.address), mcnv1alpha1.ReasonKubeconfigRefused, "Proxy"},
		{"no verification", server("insecure-skip-tls-verify: true"), mcnv1alpha1.ReasonKubeconfigRefused, "Insecure"},
		{"plain http", strings.Replace(good, f.members["native"].URL(), "http://"+tr.address, 1), mcnv1alpha1.ReasonKubeconfigRefused, "NotHTTPS"},
		{"impersonation", user("as: " + canaryText), mcnv1alpha1.ReasonKubeconfigRefused, "Impersonation"},
		{"metadata service", strings.Replace(good, f.members["native"].URL(), "https://169.254.169.254", 1), mcnv1alpha1.ReasonKubeconfigRefused, "LinkLocal"},
		{"no current context", strings.Replace(good, "current-context: member", "", 1), mcnv1alpha1.ReasonKubeconfigInvalid, "Missing"},
		{"YAML bomb", "a: &a [" + canaryText + "]\nb: &b [*a,*a,*a]\nc: [*b,*b]\n", mcnv1alpha1.ReasonKubeconfigRefused, "UnknownField"},
		{"1 MB", good + "#" + strings.Repeat(canaryText, (1<<20-len(good)-1000)/len(canaryText)) + "\n---\n", mcnv1alpha1.ReasonKubeconfigInvalid, "ManyDocuments"},
		{"no YAML", "{" + canaryText, mcnv1alpha1.ReasonKubeconfigInvalid, "NotYAML"},
	} {
		f.replaceKubeconfig("native", tc.text)
		condition := f.waitReachable("native", metav1.ConditionFalse, tc.reason, "("+tc.code+")")
		if strings.Contains(condition.Message, canaryText) || strings.Contains(condition.Message, tr.file) || len(condition.Message) > 1024 {
			t.Errorf("%s: the message echoes the kubeconfig: %q", tc.name, condition.Message)
		}
		now, err := oursOn(t.Context(), f.clients["native"])
		if err != nil || !maps.Equal(before, now) {
			t.Errorf("%s: the member went from %v to %v (%v)", tc.name, before, now, err)
		}
	}
	if _, err := os.Stat(tr.ran); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the operator ran the program of a kubeconfig (%v)", err)
	}
	if n := tr.connections.Load(); n > 0 {
		t.Errorf("the operator connected %d times to where a bad kubeconfig leads", n)
	}
	f.replaceKubeconfig("native", good)
	f.waitReachable("native", metav1.ConditionTrue, mcnv1alpha1.ReasonConnected, "")
	f.waitCondition("payments", mcnv1alpha1.ConditionReady, metav1.ConditionTrue, mcnv1alpha1.ReasonReady)
	if now, err := oursOn(t.Context(), f.clients["native"]); err != nil || !maps.Equal(before, now) {
		t.Errorf("after the return the member went from %v to %v (%v)", before, now, err)
	}
}

// replaceKubeconfig changes what a member's Secret holds.
func (f *fleetOfTest) replaceKubeconfig(name, text string) {
	f.t.Helper()
	eventually(f.t, "replacing the kubeconfig of "+name, func() string {
		secret := &corev1.Secret{}
		err := f.hub.Get(f.t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: name}, secret)
		if err == nil {
			secret.Data["kubeconfig"] = []byte(text)
			err = f.hub.Update(f.t.Context(), secret)
		}
		if err != nil {
			return err.Error()
		}
		return ""
	})
}

// waitReachable waits for what a member's condition Reachable says.
func (f *fleetOfTest) waitReachable(name string, status metav1.ConditionStatus, reason mcnv1alpha1.Reason, message string) *metav1.Condition {
	f.t.Helper()
	var condition *metav1.Condition
	eventually(f.t, fmt.Sprintf("%s to be Reachable=%s, %s %s", name, status, reason, message), func() string {
		var m mcnv1alpha1.MemberCluster
		if err := f.hub.Get(f.t.Context(), client.ObjectKey{Name: name}, &m); err != nil {
			return err.Error()
		}
		condition = apimeta.FindStatusCondition(m.Status.Conditions, mcnv1alpha1.ConditionReachable)
		if condition != nil && condition.Status == status && condition.Reason == string(reason) && strings.Contains(condition.Message, message) {
			return ""
		}
		return fmt.Sprintf("%+v", condition)
	})
	return condition
}
