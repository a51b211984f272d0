// Command kubectl-mcn is the kubectl plugin of the MultiCloudNetwork operator: on the PATH, kubectl runs it as "kubectl mcn".
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/go-logr/logr"

	"multicloud.network/operator/internal/cli"
)

func main() {
	// What the libraries log is not for a terminal; without a logger they complain about that.
	ctrl.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Run(ctx, genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}
