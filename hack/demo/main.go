// Command demo shows the product on one machine: a hub and three member clusters (real kube-apiservers with the real Calico API, no
// kubelets), the operator as a user would run it, networks applied with kubectl, and what then stands on each member.
//
// Usage, from the repository (the Makefile does it):
//
//	demo [-keep] up     start, show, and stop; with -keep leave everything running
//	demo stop           stop what -keep left running
//
// Everything that it does to a cluster after the start it does with kubectl, and prints the command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"multicloud.network/operator/test/cluster/tools"
)

func main() {
	keep := flag.Bool("keep", false, "leave the clusters and the operator running")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: demo [-keep] up | demo stop") }
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, flag.Arg(0), *keep)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case err == nil:
	case interrupted:
		fmt.Fprintln(os.Stderr, "\ndemo: interrupted; everything is stopped")
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// run executes one of the two subcommands.
func run(ctx context.Context, command string, keep bool) error {
	root, err := tools.Root()
	if err != nil {
		return err
	}
	cache, err := tools.CacheDir()
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("entering the repository: %w", err)
	}
	dir := filepath.Join(cache, "demo")
	switch command {
	case "up":
		return up(ctx, dir, keep)
	case "stop":
		return stopKept(dir)
	default:
		flag.Usage()
		return errors.New("say up or stop")
	}
}
