package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// pollEvery is the time between two looks at a condition.
const pollEvery = 100 * time.Millisecond

// wait polls until the condition returns nil. It gives up when the process that the condition depends on has ended, or ctx has; the error
// then says what was waited for, the condition's last error, and where the log is.
func wait(ctx context.Context, what string, p *process, condition func(context.Context) error) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		last := attempt(ctx, condition)
		if last == nil {
			return nil
		}
		if err := p.exited(); err != nil {
			return fmt.Errorf("waiting until %s: %w", what, err)
		}
		select {
		case <-ticker.C:
		case <-p.done:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w; last seen: %w; the end of %s:\n%s",
				what, context.Cause(ctx), last, p.log, tail(p.log, 12))
		}
	}
}

// attempt bounds one look at the condition, so that a server that accepts and never answers is asked again.
func attempt(ctx context.Context, condition func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("no answer in 10 seconds"))
	defer cancel()
	return condition(ctx)
}
