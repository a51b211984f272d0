package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"multicloud.network/operator/test/cluster/tools"
)

// Kubeconfig returns a kubeconfig of an administrator: https, the authority's certificate and the client's certificate inline. The same
// is in the file "kubeconfig" in Dir.
func (c *Cluster) Kubeconfig() ([]byte, error) { return c.kubeconfig(c.certs.admin) }

// KubeconfigPath is the file with the administrator's kubeconfig.
func (c *Cluster) KubeconfigPath() string { return c.path("kubeconfig") }

// kubeconfig returns the kubeconfig of the owner of a client certificate.
func (c *Cluster) kubeconfig(user *keyPair) ([]byte, error) {
	config := api.NewConfig()
	config.Clusters[c.Name] = &api.Cluster{Server: c.URL(), CertificateAuthorityData: c.certs.ca.certPEM}
	config.AuthInfos[user.cert.Subject.CommonName] = &api.AuthInfo{ClientCertificateData: user.certPEM, ClientKeyData: user.keyPEM}
	config.Contexts[c.Name] = &api.Context{Cluster: c.Name, AuthInfo: user.cert.Subject.CommonName}
	config.CurrentContext = c.Name
	return clientcmd.Write(*config)
}

// Kubectl runs kubectl as the administrator and returns what it prints; its complaint is in the error.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.KubectlInput(ctx, nil, args...)
}

// KubectlInput is Kubectl with something on standard input, for "apply -f -".
func (c *Cluster) KubectlInput(ctx context.Context, input io.Reader, args ...string) (string, error) {
	program, err := c.kubectlProgram(ctx)
	if err != nil {
		return "", err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, &stdout, &stderr
	cmd.Env = []string{"KUBECONFIG=" + c.KubeconfigPath(), "HOME=" + c.Dir, "PATH=" + os.Getenv("PATH")}
	if err := cmd.Run(); err != nil {
		message := errors.New(string(bytes.TrimSpace(stderr.Bytes())))
		return stdout.String(), fmt.Errorf("kubectl %q on cluster %s: %w: %w", args, c.Name, err, message)
	}
	return stdout.String(), nil
}

// kubectlProgram returns where kubectl is; the first call builds it if needed.
func (c *Cluster) kubectlProgram(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kubectl == "" {
		paths, err := tools.Ensure(ctx, c.opts.Progress, tools.Kubectl)
		if err != nil {
			return "", err
		}
		c.kubectl = paths[tools.Kubectl]
	}
	return c.kubectl, nil
}
