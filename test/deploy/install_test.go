package deploy

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/operator"
)

// TestInstall follows the guide on a fresh hub: apply, run, use, delete.
func TestInstall(t *testing.T) {
	t.Parallel()
	clusters := cluster.AllForTest(t, cluster.Options{Name: "install"}, cluster.Options{Name: "installed-member", Calico: cluster.Native})
	hub, member := clusters[0], clusters[1]
	t.Run("apply", func(t *testing.T) { checkApply(t, hub) })
	deployment := &appsv1.Deployment{}
	for _, object := range build(t, "default") {
		if object.GetKind() == "Deployment" {
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, deployment); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("the pod is admitted", func(t *testing.T) { checkAdmission(t, hub, deployment) })
	t.Run("the hub may become a member", func(t *testing.T) { checkLocal(t, hub) })
	t.Run("run and delete", func(t *testing.T) { checkRun(t, hub, member, deployment) })
}

// checkApply applies everything in both ways, each twice; the second time changes nothing.
func checkApply(t *testing.T, hub *cluster.Cluster) {
	folder := access.Config(t, "default")
	want := map[string]bool{}
	for _, o := range build(t, "default") {
		want[fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())] = true
	}
	var before map[string]string
	for _, way := range [][]string{{"apply", "-k", folder}, {"apply", "--server-side", "-k", folder}} {
		kubectl(t, hub, way...)
		access.WaitForKinds(t, hub)
		before = live(t, hub, "default")
		for object := range want {
			if before[object] == "" {
				t.Errorf("kubectl %v: %s is not there", way, object)
			}
		}
		out := kubectl(t, hub, way...)
		for line := range strings.SplitSeq(strings.TrimSpace(out), "\n") {
			if !slices.Contains(way, "--server-side") && !strings.HasSuffix(line, " unchanged") {
				t.Errorf("the second kubectl %v says %q", way, line)
			}
		}
		if after := live(t, hub, "default"); !maps.Equal(before, after) {
			t.Errorf("the second kubectl %v changed something: %v to %v", way, before, after)
		}
	}
	kubectl(t, hub, "apply", "-k", access.Config(t, "samples"))
	kubectl(t, hub, "delete", "--wait=false", "-k", access.Config(t, "samples"))
}

// checkAdmission creates a Pod of the Deployment's template: PodSecurity judges pods, and only warns about Deployments.
func checkAdmission(t *testing.T, hub *cluster.Cluster, deployment *appsv1.Deployment) {
	c := operator.Admin(t, hub)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: deployment.Namespace, Name: "of-the-template", Labels: deployment.Spec.Template.Labels},
		Spec:       deployment.Spec.Template.Spec,
	}
	good := pod.DeepCopy()
	if err := c.Create(t.Context(), good); err != nil {
		t.Fatalf("a pod of the Deployment's template is refused: %v", err)
	}
	if err := c.Delete(t.Context(), good, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	bad := pod.DeepCopy()
	bad.Spec.Containers[0].SecurityContext.AllowPrivilegeEscalation = new(true)
	if err := c.Create(t.Context(), bad); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("a pod that may escalate its privileges got %v, want a refusal by PodSecurity", err)
	}
	account := &corev1.ServiceAccount{}
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: pod.Namespace, Name: pod.Spec.ServiceAccountName}, account); err != nil {
		t.Errorf("the pod's service account: %v", err)
	}
}

// checkLocal applies the members' manifests to the hub; its namespace keeps what the Deployment relies on.
func checkLocal(t *testing.T, hub *cluster.Cluster) {
	for _, folder := range []string{"local", "member-rbac"} {
		kubectl(t, hub, "apply", "-k", access.Config(t, folder))
		namespace := &corev1.Namespace{}
		if err := operator.Admin(t, hub).Get(t.Context(), client.ObjectKey{Name: access.Namespace}, namespace); err != nil {
			t.Fatal(err)
		}
		if got := namespace.Labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
			t.Errorf("after kubectl apply -k config/%s the namespace enforces Pod Security %q, want restricted", folder, got)
		}
	}
}

// arguments returns the Deployment's arguments as the kubelet would hand them over, on ports that are free here: those of the metrics and the probes.
func arguments(t *testing.T, deployment *appsv1.Deployment) (args []string, metrics, probes int) {
	t.Helper()
	container := deployment.Spec.Template.Spec.Containers[0]
	ports := map[string]int32{}
	for _, p := range container.Ports {
		ports[p.Name] = p.ContainerPort
	}
	metrics, probes = operator.FreePort(t), operator.FreePort(t)
	replace := strings.NewReplacer(
		"$(POD_NAMESPACE)", deployment.Namespace,
		fmt.Sprintf(":%d", ports["metrics"]), fmt.Sprintf(":%d", metrics), fmt.Sprintf(":%d", ports["probes"]), fmt.Sprintf(":%d", probes),
	)
	for _, arg := range container.Args {
		args = append(args, replace.Replace(arg))
	}
	for port, free := range map[string]int{"metrics": metrics, "probes": probes} {
		if !strings.Contains(strings.Join(args, " "), fmt.Sprintf(":%d", free)) {
			t.Errorf("no argument binds the container port %s, %d: %v", port, ports[port], container.Args)
		}
	}
	for _, env := range container.Env {
		if env.Name == "POD_NAMESPACE" && env.ValueFrom.FieldRef.FieldPath == "metadata.namespace" {
			return args, metrics, probes
		}
	}
	t.Errorf("the container has no POD_NAMESPACE from metadata.namespace: %v", container.Env)
	return args, metrics, probes
}

// get reads a path of a server on this machine, and returns what is wrong with the answer.
func get(port int, path, contains string) string {
	answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", port, path))
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), contains) {
		return fmt.Sprintf("%s answers %d %.200q (%v), want %q", path, answer.StatusCode, body, err, contains)
	}
	return ""
}

// holder returns who holds the operator's lease; nobody while there is none.
func holder(t *testing.T, c client.Client) string {
	t.Helper()
	var lease coordinationv1.Lease
	err := c.Get(t.Context(), client.ObjectKey{Namespace: access.Namespace, Name: "multicloud-network-operator"}, &lease)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// checkRun runs the program as the Deployment says, takes a network into force, and deletes everything in the order that the guide gives.
func checkRun(t *testing.T, hub, member *cluster.Cluster, deployment *appsv1.Deployment) {
	admin := operator.Admin(t, hub)
	args, metrics, probes := arguments(t, deployment)
	p := operator.Start(t, operator.Build(t), hub, args...)
	probe := deployment.Spec.Template.Spec.Containers[0]
	for _, path := range []string{probe.LivenessProbe.HTTPGet.Path, probe.ReadinessProbe.HTTPGet.Path} {
		eventually(t, "the probe to be answered", func() string { return get(probes, path, "ok") })
	}
	eventually(t, "the operator to lead", func() string {
		if err := p.Running(); err != nil {
			t.Fatal(err)
		}
		return get(metrics, "/metrics", `leader_election_master_status{name="multicloud-network-operator"} 1`)
	})
	if holder(t, admin) == "" {
		t.Error("the operator leads without the lease")
	}
	operator.Register(t, hub, member, "member")
	network := flat("payments")
	if err := admin.Create(t.Context(), network); err != nil {
		t.Fatal(err)
	}
	waitReady(t, admin, "payments")
	if len(ours(t, member)) == 0 {
		t.Error("the network is ready, and the member holds nothing")
	}
	kubectl(t, hub, "delete", "multicloudnetworks", "--all", "--timeout=90s")
	kubectl(t, hub, "delete", "memberclusters", "--all", "--timeout=90s")
	eventually(t, "the member to be empty", func() string { return strings.Join(slices.Sorted(maps.Keys(ours(t, member))), ", ") })
	if err := p.Stop(); err != nil {
		t.Errorf("the operator ended with %v after SIGTERM", err)
	}
	if got := holder(t, admin); got != "" {
		t.Errorf("the operator ended, and %s still holds the lease", got)
	}
	// Nobody here would complete the deletion of the namespace.
	kubectl(t, hub, "delete", "--wait=false", "-k", access.Config(t, "default"))
	eventually(t, "the kinds to be gone", func() string {
		for _, name := range access.CRDs {
			crd := &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"}}
			err := operator.Admin(t, hub).Get(t.Context(), client.ObjectKey{Name: strings.TrimPrefix(name, "crd/")}, crd)
			if !apierrors.IsNotFound(err) {
				return fmt.Sprintf("%s is there (%v), with finalizers %v", name, err, crd.Finalizers)
			}
		}
		return ""
	})
}
