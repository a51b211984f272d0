// Package crd proves the two CustomResourceDefinitions against a real kube-apiserver: each validation rule, the bounds, the defaults, the
// print columns, and the documentation that users read with kubectl explain.
package crd

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/test/cluster"
)

const crdDirectory = "../../config/crd/bases"

// hub is the API server that all tests of this package share, with both kinds installed; hubConfig reaches it, and hubCluster is what runs it.
var (
	hub        client.Client
	hubConfig  *rest.Config
	hubCluster *cluster.Cluster
)

func TestMain(m *testing.M) {
	os.Exit(cluster.Main(m, useHub, cluster.Options{Name: "crd-hub"}))
}

// useHub installs the kinds in the cluster that the tests share. It cannot report a failure, so it ends the run; processes that
// package cluster started end with it.
func useHub(clusters []*cluster.Cluster) {
	hubCluster, hubConfig = clusters[0], clusters[0].RESTConfig()
	var err error
	if hub, err = installKinds(hubConfig); err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(err, clusters[0].Stop()))
		os.Exit(1)
	}
}

// installKinds installs both kinds and returns a client that knows them.
func installKinds(config *rest.Config) (client.Client, error) {
	if _, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{Paths: []string{crdDirectory}, ErrorIfPathMissing: true}); err != nil {
		return nil, fmt.Errorf("installing the CustomResourceDefinitions: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := mcnv1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	return client.New(config, client.Options{Scheme: scheme})
}
