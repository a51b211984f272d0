// Package crd proves the two CustomResourceDefinitions against a real kube-apiserver: each validation rule, the bounds, the defaults, the
// print columns, and the documentation that users read with kubectl explain.
package crd

import (
	"context"
	"fmt"
	"os"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

const crdDirectory = "../../config/crd/bases"

// hub is the API server that all tests of this package share, with both kinds installed; hubConfig reaches it.
var (
	hub       client.Client
	hubConfig *rest.Config
)

func TestMain(m *testing.M) {
	code, err := runWithHub(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// runWithHub starts the hub, runs the tests, and stops the hub.
func runWithHub(m *testing.M) (code int, err error) {
	config, stop, err := startHub(context.Background())
	if err != nil {
		return 1, err
	}
	defer func() {
		if stopErr := stop(); stopErr != nil {
			code, err = 1, stopErr
		}
	}()
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{crdDirectory}, ErrorIfPathMissing: true}); err != nil {
		return 1, fmt.Errorf("installing the CustomResourceDefinitions: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := mcnv1alpha1.AddToScheme(scheme); err != nil {
		return 1, err
	}
	metav1.AddToGroupVersion(scheme, mcnv1alpha1.GroupVersion)
	if hub, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return 1, err
	}
	hubConfig = config
	return m.Run(), nil
}
