// Package samples proves that what config/samples shows works: every sample decodes strictly, compiles without errors or warnings against
// a small fleet, and is taken by a real API server.
package samples

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/snapshot"
	"multicloud.network/operator/test/cluster"
)

const (
	folder    = "../../config/samples"
	configDir = "../../config"
)

// document is one YAML document of a sample.
type document struct {
	file string
	kind string
	text []byte
}

// documents reads all samples.
func documents(t *testing.T) []document {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples in %s: %v", folder, err)
	}
	var all []document
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		reader := yaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(content)))
		for buffer := make([]byte, 1<<16); ; {
			n, err := reader.Read(buffer)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			text := bytes.Clone(buffer[:n])
			var kind metav1.TypeMeta
			if err := sigsyaml.Unmarshal(text, &kind); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, document{file: filepath.Base(file), kind: kind.Kind, text: text})
		}
	}
	return all
}

// networks decodes the samples' MultiCloudNetworks strictly, each an hour younger than the one before.
func networks(t *testing.T) []*mcnv1alpha1.MultiCloudNetwork {
	t.Helper()
	var all []*mcnv1alpha1.MultiCloudNetwork
	for _, d := range documents(t) {
		if d.kind != "MultiCloudNetwork" {
			continue
		}
		network := &mcnv1alpha1.MultiCloudNetwork{}
		if err := sigsyaml.UnmarshalStrict(d.text, network); err != nil {
			t.Errorf("%s does not decode: %v", d.file, err)
			continue
		}
		network.CreationTimestamp = metav1.NewTime(time.Date(2026, 1, 1, len(all), 0, 0, 0, time.UTC))
		all = append(all, network)
	}
	return all
}

func TestMembersDecode(t *testing.T) {
	t.Parallel()
	seen := 0
	for _, d := range documents(t) {
		if d.kind != "MemberCluster" {
			continue
		}
		seen++
		if err := sigsyaml.UnmarshalStrict(d.text, &mcnv1alpha1.MemberCluster{}); err != nil {
			t.Errorf("%s does not decode: %v", d.file, err)
		}
	}
	if seen == 0 {
		t.Error("no sample of a MemberCluster")
	}
}

// TestEveryModelIsShown keeps one sample for each model.
func TestEveryModelIsShown(t *testing.T) {
	t.Parallel()
	shown := map[mcnv1alpha1.Model]bool{}
	for _, network := range networks(t) {
		shown[network.Spec.Model] = true
	}
	for _, model := range []mcnv1alpha1.Model{mcnv1alpha1.ModelFlat, mcnv1alpha1.ModelVLAN, mcnv1alpha1.ModelCalico} {
		if !shown[model] {
			t.Errorf("no sample of model %s", model)
		}
	}
}

// TestNetworksCompile compiles all samples together, as a fleet would that has them all.
func TestNetworksCompile(t *testing.T) {
	t.Parallel()
	all := networks(t)
	fleet := fleet()
	compiler := compile.New(compile.Input{
		Settings: compile.Settings{
			OwnerID: "samples", Tier: mcnv1alpha1.DefaultTier, TierOrder: mcnv1alpha1.DefaultTierOrder,
			ExcludedNamespaces: append(mcnv1alpha1.DefaultExcludedNamespaces(), mcnv1alpha1.DefaultNamespace),
		},
		Networks: all, Fleet: fleet,
	})
	for _, network := range all {
		t.Run(network.Name, func(t *testing.T) {
			result := compiler.Network(network.Name)
			if len(result.Errors) > 0 {
				t.Fatalf("errors: %v", result.Errors)
			}
			for _, warning := range result.Warnings {
				if !expected(network.Name, warning) {
					t.Errorf("unexpected warning %s on %q: %s", warning.Code, warning.Cluster, warning.Message)
				}
			}
			if len(result.Clusters) != len(fleet.Members) {
				t.Errorf("compiled for %d of %d clusters", len(result.Clusters), len(fleet.Members))
			}
			if result.Pods == 0 {
				t.Error("the network has no pods in the fixture")
			}
			for _, c := range result.Clusters {
				if len(c.Objects) == 0 {
					t.Errorf("nothing is compiled for %s", c.Name)
				}
			}
		})
	}
}

// expected says which warnings the samples are to have.
func expected(network string, w compile.Warning) bool {
	switch w.Code {
	// An Open Flat network permits what nothing denies, as long as nobody else denies anything to its pods.
	case mcnv1alpha1.WarningNoPolicyEffect:
		return network == "search"
	default:
		return false
	}
}

// TestTeamsSharePods proves what two-teams.yaml says: the broker's pods are in both networks.
func TestTeamsSharePods(t *testing.T) {
	t.Parallel()
	compiler := compile.New(compile.Input{
		Settings: compile.Settings{OwnerID: "samples", Tier: mcnv1alpha1.DefaultTier, TierOrder: mcnv1alpha1.DefaultTierOrder},
		Networks: networks(t), Fleet: fleet(),
	})
	for _, name := range []string{"orders", "shipping"} {
		if got := compiler.Network(name).SharedPods; got == 0 {
			t.Errorf("network %s shares no pods", name)
		}
	}
}

// TestAPIServerTakesSamples applies the manifests and all samples to a real API server, with kubectl as a user would.
func TestAPIServerTakesSamples(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	hub, err := cluster.Start(ctx, cluster.Options{Name: "samples", Progress: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := hub.Stop(); err != nil {
			t.Error(err)
		}
	})
	kubectl := func(args ...string) {
		t.Helper()
		out, err := hub.Kubectl(ctx, args...)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(out)
	}
	kubectl("apply", "--server-side", "-k", filepath.Join(configDir, "crd"))
	// The first wait is for the second, which fails on a CRD whose list of conditions is still null.
	for _, condition := range []string{"jsonpath={.status.acceptedNames.singular}", "condition=Established"} {
		kubectl("wait", "--for="+condition, "--timeout=30s", "crd/memberclusters.multicloud.network", "crd/multicloudnetworks.multicloud.network")
	}
	kubectl("apply", "--server-side", "-k", filepath.Join(configDir, "default"))
	kubectl("apply", "--server-side", "-k", filepath.Join(configDir, "member-rbac"))
	kubectl("apply", "--server-side", "--validate=strict", "-k", folder)
	kubectl("apply", "--server-side", "--validate=strict", "-f", filepath.Join(folder, "membercluster.yaml"))
	kubectl("apply", "--server-side", "--validate=strict", "-f", filepath.Join(folder, "membercluster-local.yaml"))
	kubectl("get", "memberclusters,multicloudnetworks")
}

// fleet is two production clusters with one pod of each kind that the samples select.
func fleet() snapshot.Fleet {
	var fleet snapshot.Fleet
	for i, name := range []string{"aws", "gcp"} {
		member := snapshot.Member{
			Name: name, ClusterID: name, Role: mcnv1alpha1.RoleManaged,
			Labels: map[string]string{"env": "prod", "canary": []string{"true", "false"}[i]},
			Calico: mcnv1alpha1.CalicoStatus{
				Version: "v3.31.0", API: mcnv1alpha1.CalicoAPIAggregated, CNI: "Calico", Dataplane: "Nftables",
			},
			PodCIDRs:      []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(16 + i), 0, 0}), 16)},
			NodeAddresses: []netip.Addr{netip.AddrFrom4([4]byte{172, byte(16 + i), 0, 10})},
		}
		for _, group := range []struct{ namespace, name, namespaceLabel, key, value string }{
			{"ingress-nginx", "controller", "", "app", "ingress-nginx"},
			{"payments", "api", "team=payments", "tier", "api"},
			{"payments", "ledger", "team=payments", "tier", "ledger"},
			{"shop", "web", "team=shop", "tier", "web"},
			{"shop", "cart", "team=shop", "tier", "cart"},
			{"search", "index", "team=search", "app", "index"},
			{"booking", "web", "team=booking", "app", "web"},
			{"booking", "api", "team=booking", "app", "api"},
			{"checkout", "checkout", "team=checkout", "app", "checkout"},
			{"orders", "orders", "team=orders", "app", "orders"},
			{"shipping", "shipping", "team=shipping", "app", "shipping"},
			{"broker", "broker", "team=broker", "app", "broker"},
			{"sandbox", "try", "stage=dev", "app", "try"},
			{"monitoring", "prometheus", "", "app.kubernetes.io/name", "prometheus"},
		} {
			addGroup(&member, i, group.namespace, group.name, group.namespaceLabel, group.key, group.value)
		}
		fleet.Members = append(fleet.Members, member)
	}
	return fleet
}

// addGroup adds a pod, and its namespace if that is new.
func addGroup(m *snapshot.Member, index int, namespace, name, namespaceLabel, key, value string) {
	if len(m.Namespaces) == 0 || m.Namespaces[len(m.Namespaces)-1].Name != namespace {
		labels := map[string]string{"kubernetes.io/metadata.name": namespace}
		if k, v, ok := strings.Cut(namespaceLabel, "="); ok {
			labels[k] = v
		}
		m.Namespaces = append(m.Namespaces, snapshot.Namespace{Name: namespace, Labels: labels})
	}
	m.Pods = append(m.Pods, snapshot.Pod{
		Namespace: namespace, Name: name, UID: m.Name + name + namespace, Labels: map[string]string{key: value},
		Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(16 + index), 1, byte(10 + len(m.Pods))})},
	})
}
