package controllers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/validation/field"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
	"multicloud.network/operator/internal/fleet"
	"multicloud.network/operator/internal/member"
	"multicloud.network/operator/internal/snapshot"
)

// scope holds what one pass has read and decided.
type scope struct {
	networks []*mcnv1alpha1.MultiCloudNetwork          // read: those that are to be in force
	deleting []*mcnv1alpha1.MultiCloudNetwork          // read: those that are being deleted
	members  map[string]*mcnv1alpha1.MemberCluster     // read
	fleet    snapshot.Fleet                            // read
	states   map[string]fleet.State                    // read
	errors   map[string]field.ErrorList                // compile: why a newest spec is invalid
	inForce  map[string]*mcnv1alpha1.MultiCloudNetwork // compile: the spec that counts, of each network that has a valid one
	results  map[string]compile.Result                 // compile: of inForce
	compiler *compile.Compiler                         // compile
	warnings map[string][]compile.Warning              // intend: about shared objects, by member
	intents  map[string]member.Intent                  // intend: what each member should hold
	statuses map[string]member.Status                  // intend: read after the intents were set
	loose    map[string]bool                           // hold: networks without our finalizer, for which nothing new is written
	failed   []error                                   // any step: what failed for one network alone
	stop     bool                                      // awaitMembers: end the pass
	again    time.Duration                             // any step: when to look again at the latest; 0 for never
}

// awaitMembers ends the pass while the fleet does not know all MemberClusters yet, just after the start: networks would seem to span fewer clusters than
// they do. It waits no longer than the barrier.
func (r *NetworkReconciler) awaitMembers(_ context.Context, s *scope) error {
	if r.Now().Sub(r.memory.started) > r.Barrier {
		return nil
	}
	known := s.known()
	for name := range s.members {
		if !known[name] && !s.leaving(name) {
			s.stop = true
			s.lookAgain(debounce)
		}
	}
	return nil
}

// lookAgain asks for another pass after a while.
func (s *scope) lookAgain(after time.Duration) {
	after = max(after, debounce)
	if s.again == 0 || after < s.again {
		s.again = after
	}
}

// known are the members that the fleet knows.
func (s *scope) known() map[string]bool {
	out := map[string]bool{}
	for _, m := range s.fleet.Members {
		out[m.Name] = true
	}
	return out
}

// targets are the names of the members that may be written to, whether the fleet knows them yet or not, sorted.
func (s *scope) targets() []string {
	var out []string
	for name, m := range s.members {
		if m.Spec.Role != mcnv1alpha1.RoleSource {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// managed are the members that are written to.
func (s *scope) managed() []snapshot.Member {
	var out []snapshot.Member
	for _, m := range s.fleet.Members {
		if m.Role != mcnv1alpha1.RoleSource && s.members[m.Name] != nil {
			out = append(out, m)
		}
	}
	return out
}

// leaving tells whether a member is being unregistered.
func (s *scope) leaving(name string) bool {
	m := s.members[name]
	return m != nil && !m.DeletionTimestamp.IsZero()
}

func (r *NetworkReconciler) read(ctx context.Context, s *scope) error {
	var networks mcnv1alpha1.MultiCloudNetworkList
	if err := r.Client.List(ctx, &networks); err != nil {
		return err
	}
	for i := range networks.Items {
		n := &networks.Items[i]
		if last, ok := r.memory.written[n.Name]; ok && older(n.ResourceVersion, last.as) {
			n.Status = last.status
		}
		if n.DeletionTimestamp.IsZero() {
			s.networks = append(s.networks, n)
		} else {
			s.deleting = append(s.deleting, n)
		}
	}
	var members mcnv1alpha1.MemberClusterList
	if err := r.Client.List(ctx, &members); err != nil {
		return err
	}
	s.members = make(map[string]*mcnv1alpha1.MemberCluster, len(members.Items))
	for i := range members.Items {
		s.members[members.Items[i].Name] = &members.Items[i]
	}
	s.states = r.Fleet.States()
	s.fleet = r.Fleet.Snapshot()
	r.forget(s)
	return nil
}

// older tells whether one resourceVersion of an object comes before another. Those that cannot be compared do not.
func older(one, other string) bool {
	order, err := resourceversion.CompareResourceVersion(one, other)
	return err == nil && order < 0
}

// forget drops from memory what is about networks that are gone.
func (r *NetworkReconciler) forget(s *scope) {
	alive := map[string]bool{}
	for _, n := range slices.Concat(s.networks, s.deleting) {
		alive[n.Name] = true
	}
	maps.DeleteFunc(r.memory.inForce, func(name string, _ *mcnv1alpha1.MultiCloudNetwork) bool { return !alive[name] })
	maps.DeleteFunc(r.memory.counted, func(name string, _ time.Time) bool { return !alive[name] })
	maps.DeleteFunc(r.memory.written, func(name string, _ writtenStatus) bool { return !alive[name] })
	going := map[string]bool{}
	for _, n := range s.deleting {
		going[n.Name] = true
	}
	maps.DeleteFunc(r.memory.deleting, func(name string, _ time.Time) bool { return !going[name] })
	maps.DeleteFunc(r.memory.obstacles, func(name string, _ string) bool { return !going[name] })
	for _, n := range s.deleting {
		if _, ok := r.memory.deleting[n.Name]; !ok {
			r.memory.deleting[n.Name] = r.Now()
		}
	}
}

// addFinalizers makes sure that nothing is written for a network whose deletion we might miss. One that cannot be changed is left as it is on the members,
// and does not keep the others waiting.
func (r *NetworkReconciler) addFinalizers(ctx context.Context, s *scope) error {
	s.loose = map[string]bool{}
	s.networks = slices.DeleteFunc(s.networks, func(n *mcnv1alpha1.MultiCloudNetwork) bool {
		before := n.DeepCopy()
		if !controllerutil.AddFinalizer(n, mcnv1alpha1.CleanupFinalizer) {
			return false
		}
		err := r.Client.Patch(ctx, n, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}), client.FieldOwner(mcnv1alpha1.FieldManager))
		if err != nil && !apierrors.IsNotFound(err) {
			s.loose[n.Name] = true
			s.fail(n, "adding the finalizer", err)
		}
		n.Status = before.Status
		return apierrors.IsNotFound(err)
	})
	return nil
}

// fail notes what failed for one network alone.
func (s *scope) fail(n *mcnv1alpha1.MultiCloudNetwork, doing string, err error) {
	s.failed = append(s.failed, fmt.Errorf("%s of network %q: %w", doing, n.Name, err))
}

// compile validates the newest specs, puts the last valid one in the place of those that are invalid or held back, and compiles.
func (r *NetworkReconciler) compile(ctx context.Context, s *scope) error {
	s.errors = map[string]field.ErrorList{}
	s.results = map[string]compile.Result{}
	s.inForce = map[string]*mcnv1alpha1.MultiCloudNetwork{}
	s.compiler = r.compiler(s, s.networks)
	effective := make([]*mcnv1alpha1.MultiCloudNetwork, 0, len(s.networks))
	replaced := false
	for _, n := range s.networks {
		result := s.compiler.Network(n.Name)
		s.results[n.Name] = result
		if len(result.Errors) > 0 {
			s.errors[n.Name] = result.Errors
		}
		use := r.inForceOf(n, len(result.Errors) > 0)
		replaced = replaced || use != n
		effective = append(effective, use)
	}
	if replaced {
		s.compiler = r.compiler(s, effective)
	}
	for _, n := range effective {
		if replaced {
			s.results[n.Name] = s.compiler.Network(n.Name)
		}
		if len(s.results[n.Name].Errors) > 0 {
			ctrl.LoggerFrom(ctx).V(1).Info("no valid spec is known; what stands on the members is left alone", "network", n.Name)
			continue
		}
		s.inForce[n.Name] = n
		r.memory.inForce[n.Name] = n.DeepCopy()
	}
	return nil
}

func (r *NetworkReconciler) compiler(s *scope, networks []*mcnv1alpha1.MultiCloudNetwork) *compile.Compiler {
	return compile.New(compile.Input{Settings: r.Settings, Networks: networks, Fleet: s.fleet, Pods: r.Pods})
}

// inForceOf returns the network with the spec that counts: the newest, but the last valid one while the newest is invalid, and the last one before updates
// were Held while they are: its sets have to keep flowing, and those of a newer spec do not carry the policies that stand.
func (r *NetworkReconciler) inForceOf(n *mcnv1alpha1.MultiCloudNetwork, invalid bool) *mcnv1alpha1.MultiCloudNetwork {
	last := r.memory.inForce[n.Name]
	held := n.Spec.Updates == mcnv1alpha1.UpdatesHeld
	if last == nil || last.UID != n.UID || last.Generation == n.Generation || (!invalid && !held) {
		return n
	}
	if held && !invalid && equalButUpdates(last, n) {
		return n
	}
	out := last.DeepCopy()
	out.Status = n.Status
	out.Spec.Updates = n.Spec.Updates
	return out
}

func equalButUpdates(a, b *mcnv1alpha1.MultiCloudNetwork) bool {
	x := a.Spec.DeepCopy()
	x.Updates = b.Spec.Updates
	return equality.Semantic.DeepEqual(x, &b.Spec)
}
