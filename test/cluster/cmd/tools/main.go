// Command tools builds the programs that tests and the demo run and prints where they are. Arguments name artifacts; without any, it
// builds all. Run it as "go run ./test/cluster/cmd/tools".
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"multicloud.network/operator/test/cluster/tools"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "tools:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, names []string) error {
	want := tools.All()
	if len(names) > 0 {
		want = nil
		for _, name := range names {
			want = append(want, tools.Artifact(name))
		}
	}
	paths, err := tools.Ensure(ctx, os.Stderr, want...)
	if err != nil {
		return err
	}
	for _, artifact := range want {
		fmt.Printf("%s\t%s\n", artifact, paths[artifact])
	}
	return nil
}
