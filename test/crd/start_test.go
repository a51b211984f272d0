package crd

import (
	"context"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startHub starts a control plane without Calico.
func startHub(context.Context) (*rest.Config, func() error, error) {
	environment := &envtest.Environment{}
	config, err := environment.Start()
	return config, environment.Stop, err
}
