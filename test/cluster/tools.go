package cluster

import (
	"context"
	"io"

	"multicloud.network/operator/test/cluster/tools"
)

// Tools makes sure that everything this package runs is built, and returns where it is. Start builds what it needs by itself; calling
// this first keeps the minutes of a first build out of a test's time, and shows them on progress.
func Tools(ctx context.Context, progress io.Writer) (tools.Paths, error) {
	return tools.Ensure(ctx, progress, tools.All()...)
}
