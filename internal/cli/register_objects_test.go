package cli

import (
	"bytes"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/tools/clientcmd/api"
)

// TestServersThatTheHubMayNotReach: an address of this machine and a proxy are explained, with what to do; other servers are not remarked on.
func TestServersThatTheHubMayNotReach(t *testing.T) {
	const here = "is right if the operator is a program on this machine, as in the demo; otherwise, also if it is a pod, give --server-for-hub https://HOST:PORT"
	for name, tc := range map[string]struct {
		cluster      api.Cluster
		serverForHub string
		want         string
	}{
		"loopback":           {cluster: api.Cluster{Server: "https://127.0.0.1:6443"}, want: here},
		"loopback by name":   {cluster: api.Cluster{Server: "https://localhost:6443"}, want: here},
		"loopback, IPv6":     {cluster: api.Cluster{Server: "https://[::1]:6443"}, want: here},
		"loopback, mapped":   {cluster: api.Cluster{Server: "https://[::ffff:127.0.0.1]:6443"}, want: here},
		"another for hub":    {cluster: api.Cluster{Server: "https://127.0.0.1:6443"}, serverForHub: "https://api.example.com"},
		"behind a proxy":     {cluster: api.Cluster{Server: "https://api.example.com", ProxyURL: "http://proxy"}, want: "uses a proxy, which the operator does not: give --server-for-hub"},
		"elsewhere":          {cluster: api.Cluster{Server: "https://api.example.com:6443"}},
		"elsewhere, address": {cluster: api.Cluster{Server: "https://192.0.2.1:6443"}},
	} {
		var out, errOut bytes.Buffer
		o := &registerOptions{IOStreams: genericiooptions.IOStreams{Out: &out, ErrOut: &errOut}, name: "aws", serverForHub: tc.serverForHub}
		o.warnServer(&side{context: "aws", cluster: &tc.cluster})
		if got := errOut.String(); (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) || out.Len() > 0 {
			t.Errorf("%s: the warning is %q, want %q in it", name, got, tc.want)
		}
	}
}
