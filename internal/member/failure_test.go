package member

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"

	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// TestAFailureIsLoggedOncePerTransition: a retry of what fails in the same way is no news, and what others did is not an error of ours, with a stack.
func TestAFailureIsLoggedOncePerTransition(t *testing.T) {
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	w := newWorker(NewManager(Options{Retry: time.Nanosecond, Log: log}), "one")
	conflict := &apply.OwnershipConflictError{Key: compile.Key{Kind: apply.KindSet, Name: "s"}, Owner: "0b8f0a3e-0000-4000-8000-000000000000"}
	p := &progress{}
	for i, step := range []struct {
		err  error
		want string // what the one line begins with; empty for none
	}{
		{nil, ""}, {conflict, `"level"=0 "msg"="the cluster does not let us write`}, {conflict, ""}, {conflict, ""},
		{errors.New("no answer after 5s"), `"msg"="a write failed; trying again" "error"=`}, {errors.New("no answer after 6s"), ""}, {conflict, `"level"=0`},
		{nil, `"level"=0 "msg"="what failed is done now"`}, {nil, ""}, {conflict, `"level"=0`},
	} {
		lines, p.err = nil, step.err
		p.retryAt = time.Time{}
		w.settleFailure(p, "plan")
		got := strings.Join(lines, "; ")
		if (step.want == "") != (got == "") || !strings.Contains(got, step.want) || len(lines) > 1 {
			t.Errorf("step %d: logged %q, want one line with %q", i, got, step.want)
		}
		if apply.IsOwnershipConflict(step.err) && got != "" && !strings.Contains(got, conflict.Owner) {
			t.Errorf("step %d: logged %q, want the owner in it", i, got)
		}
	}
}
