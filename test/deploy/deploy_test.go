// Package deploy proves what config holds against real API servers: that the bases build and apply, that the Deployment is admitted and its program runs
// as it says, that one replica takes over from another without writing, and that every right that the roles give is used.
package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	ctrl "sigs.k8s.io/controller-runtime"

	"multicloud.network/operator/test/access"
	"multicloud.network/operator/test/await"
	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/cluster/tools"
)

// patience is how long a test waits for what should take moments.
const patience = 90 * time.Second

func TestMain(m *testing.M) {
	// As main does: calico-apiserver has no bookmarks at the end of a streamed list.
	if err := os.Setenv("KUBE_FEATURE_WatchListClient", "false"); err != nil {
		panic(err)
	}
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

// eventually waits until check says nothing, and fails with what it said last.
func eventually(t *testing.T, what string, check func() string) {
	t.Helper()
	await.Until(t, patience, what, check)
}

// kubectl runs kubectl as a cluster's administrator.
func kubectl(t *testing.T, c *cluster.Cluster, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	out, err := c.Kubectl(ctx, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// build returns what kustomize makes of folders of config, taken together.
func build(t *testing.T, folders ...string) []*unstructured.Unstructured {
	t.Helper()
	paths, err := tools.Ensure(t.Context(), t.Output(), tools.Kubectl)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	list := "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n"
	for _, folder := range folders {
		relative, err := filepath.Rel(dir, access.Config(t, folder))
		if err != nil {
			t.Fatal(err)
		}
		list += "- " + relative + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), paths[tools.Kubectl], "kustomize", dir)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kustomize of %v: %v\n%s", folders, err, stderr.String())
	}
	if stderr.Len() > 0 {
		t.Errorf("kustomize of %v complains:\n%s", folders, stderr.String())
	}
	return decode(t, out)
}

// decode reads a stream of YAML documents.
func decode(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 1<<16)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(object.Object) > 0 {
			out = append(out, object)
		}
	}
}

// live returns the resourceVersions of all objects of a folder of config, by kind and name.
func live(t *testing.T, c *cluster.Cluster, folder string) map[string]string {
	t.Helper()
	var list unstructured.UnstructuredList
	if err := json.Unmarshal([]byte(kubectl(t, c, "get", "-k", access.Config(t, folder), "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for i := range list.Items {
		o := &list.Items[i]
		out[fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())] = o.GetResourceVersion()
	}
	return out
}

// TestBasesBuild builds each base alone, and those together that belong together on one cluster.
func TestBasesBuild(t *testing.T) {
	t.Parallel()
	for _, folders := range [][]string{
		{"crd"}, {"rbac"}, {"manager"}, {"default"}, {"member-rbac"}, {"local"}, {"samples"},
		{"crd", "rbac", "manager", "local", "samples"}, {"default", "local", "samples"},
		{"crd", "rbac", "member-rbac", "samples"},
	} {
		t.Run(strings.Join(folders, " "), func(t *testing.T) {
			if objects := build(t, folders...); len(objects) == 0 {
				t.Error("nothing is in it")
			}
		})
	}
}

// TestDefaultHoldsItsParts keeps config/default the sum of its bases.
func TestDefaultHoldsItsParts(t *testing.T) {
	t.Parallel()
	parts, whole := build(t, "crd", "rbac", "manager"), build(t, "default")
	if len(parts) != len(whole) {
		t.Errorf("config/default has %d objects, its parts %d", len(whole), len(parts))
	}
}
