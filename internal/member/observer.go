package member

import (
	"time"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
)

// Observer is told what workers do, for metrics. Its methods are called from the goroutines of all workers, and must neither block nor call the
// Manager.
type Observer interface {
	// Wrote: an object of a kind was created, updated or deleted on a member.
	Wrote(member, kind string, outcome apply.Outcome)
	// Drift: an object of ours on a member was found changed or deleted by somebody else, and is being put back.
	Drift(member, kind string)
	// Failed: a read or write on a member failed, and is what its networks are reported with from now on.
	Failed(member string, reason mcnv1alpha1.Reason)
	// Pass: a worker has looked at its member and done all that might be done; took is how long that was.
	Pass(member string, took time.Duration)
}

// unobserved is the Observer of a Manager that was given none.
type unobserved struct{}

// Wrote does nothing.
func (unobserved) Wrote(string, string, apply.Outcome) {}

// Drift does nothing.
func (unobserved) Drift(string, string) {}

// Failed does nothing.
func (unobserved) Failed(string, mcnv1alpha1.Reason) {}

// Pass does nothing.
func (unobserved) Pass(string, time.Duration) {}
