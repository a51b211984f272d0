package member

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// Intent is what one member should hold.
type Intent struct {
	// UID is the MemberCluster's: a member registered anew under an old name gets a new worker.
	UID string
	// Held freezes policies on this member; sets keep flowing.
	Held bool
	// Frozen stops all writing, sets too: the member is being let go with what it holds.
	Frozen bool
	// Unread says that the member itself has not been read in full since the operator began, so that what was compiled for it may lack what is only known
	// from there. Networks are removed, but nothing else is touched; the other members wait for it as for any that is behind.
	Unread bool
	// Unsynced are members whose pods have not been listed in full since the operator began. Sets that hold their addresses are not taken away and not
	// changed: that an address is not known yet is no evidence against it.
	Unsynced []string
	// Shared are the tier, the guard and the pools, in the order in which they are to be written.
	Shared []compile.Object
	// Reclaim is the ID of a cluster on which whatever belongs to no network that is named here is known to be left over. If the member is that cluster, it
	// is removed; else, and while this is empty, it stays.
	Reclaim string
	// Spared are networks that are gone and whose objects stay all the same: Reclaim does not mean them, unless they are named below.
	Spared []string
	// Networks are what is to be done about each network. Objects of a network that is not named here are left as they are, but for Reclaim.
	Networks map[string]NetworkIntent
}

// NetworkIntent is what one member should hold of one network.
type NetworkIntent struct {
	// Generation is the network's generation that the objects were compiled from.
	Generation int64
	// Staged says that the policies are Staged kinds; it is only reported.
	Staged bool
	// Held freezes the network's policies on this member; its sets keep flowing.
	Held bool
	// Remove takes away all that the member holds of the network; Objects is ignored. While updates are Held, that waits, but for Deleted.
	Remove bool
	// Deleted says that the network itself is being deleted, which Held does not hold up, and no other member: on each one the denials go first, so that
	// none cuts a flow by being ahead.
	Deleted bool
	// Objects are in the order in which they are to be written.
	Objects []compile.Object
	// Groups are the pods of other members to which the policies refer. Their sets follow the pods by themselves.
	Groups []compile.PodGroup
	// Unsynced are those of Intent.Unsynced that are other members of the network. New denials wait for them, at most the barrier.
	Unsynced []string
}

// wanted is an object in the form in which it is compared and sent.
type wanted struct {
	key    compile.Key
	phase  phase
	order  float64
	seq    int
	object *unstructured.Unstructured
}

// networkPlan is a NetworkIntent, converted.
type networkPlan struct {
	NetworkIntent
	wants map[compile.Key]*wanted
	err   error
	// unknown says that nobody asked for it: it takes away what was found.
	unknown bool
	// whole tells everything of the intent from another; content what Result.Outdated speaks of.
	whole, content string
}

// prepared is an Intent, converted once when it comes in.
type prepared struct {
	Intent
	shared   map[compile.Key]*wanted
	networks map[string]*networkPlan
	err      error
	// unsynced tells of members that are unsynced by now, beside those in Unsynced; nil if none can be.
	unsynced func(member string) bool
	// whole tells the intent from another one, wholeShared its shared objects.
	whole, wholeShared string
}

func prepare(in Intent) *prepared {
	out := &prepared{Intent: in, networks: make(map[string]*networkPlan, len(in.Networks))}
	out.shared, out.err = convert(in.Shared)
	frame := identities(in.Shared)
	out.wholeShared = digest(frame)
	all := []string{in.UID, fmt.Sprint(in.Held, in.Frozen, in.Unread, in.Unsynced, in.Reclaim, in.Spared), out.wholeShared}
	for name, n := range in.Networks {
		plan := &networkPlan{NetworkIntent: n}
		if !n.Remove {
			plan.wants, plan.err = convert(n.Objects)
		}
		plan.identify(frame)
		plan.Objects = nil
		out.networks[name] = plan
		all = append(all, name+" "+plan.whole)
	}
	slices.Sort(all[3:])
	out.whole = digest(all)
	out.Shared, out.Intent.Networks = nil, nil
	return out
}

// identify computes what tells the plan from another. The content of sets is not what a status speaks of: it follows the pods all day, and a set that
// cannot be written is told by its error.
func (n *networkPlan) identify(frame []string) {
	objects := identities(n.Objects)
	flags := fmt.Sprint(n.Generation, n.Staged, n.Held, n.Remove, n.Deleted, n.Unsynced)
	whole := append([]string{flags}, objects...)
	for _, g := range n.Groups {
		whole = append(whole, fmt.Sprint("group ", g.ID, g.Sources))
	}
	n.whole = digest(whole)
	if n.Remove {
		n.content = "removal"
		return
	}
	policies := slices.DeleteFunc(objects, func(id string) bool { return strings.HasPrefix(id, apply.KindSet+" ") })
	n.content = digest(slices.Concat([]string{fmt.Sprint(n.Staged)}, frame, policies))
}

// identities are the objects' kinds, names and content hashes, sorted.
func identities(objects []compile.Object) []string {
	out := make([]string, 0, len(objects))
	for _, o := range objects {
		out = append(out, o.Key().Kind+" "+o.Key().Name+" "+o.Resource.GetAnnotations()[mcnv1alpha1.ContentHashAnnotation])
	}
	slices.Sort(out)
	return out
}

func digest(lines []string) string {
	h := sha256.New()
	for _, line := range lines {
		_, _ = io.WriteString(h, line+"\n")
	}
	return hex.EncodeToString(h.Sum(nil))
}

func convert(objects []compile.Object) (map[compile.Key]*wanted, error) {
	out := make(map[compile.Key]*wanted, len(objects))
	for i, o := range objects {
		u, err := apply.Intended(o.Resource)
		if err != nil {
			return nil, fmt.Errorf("%s %q: %w", o.Key().Kind, o.Key().Name, err)
		}
		out[o.Key()] = &wanted{key: o.Key(), phase: writePhase(o.Role), order: orderOf(u), seq: i, object: u}
	}
	return out, nil
}

// samePolicies tells whether two plans want the same policies. Only then may other members take the word of this one for how far it is.
func samePolicies(a, b *networkPlan) bool {
	if a == nil || b == nil || a.Generation != b.Generation || a.Remove != b.Remove || a.Deleted != b.Deleted || a.Held != b.Held || len(a.wants) != len(b.wants) {
		return false
	}
	for key := range a.wants {
		if _, ok := b.wants[key]; !ok && isPolicy(key) {
			return false
		}
	}
	return true
}

// byWriteOrder sorts for writing: by phase, policies by ascending order, and otherwise as compiled.
func byWriteOrder(list []*wanted) {
	sort.SliceStable(list, func(i, j int) bool {
		a, b := list[i], list[j]
		if a.phase != b.phase {
			return a.phase < b.phase
		}
		if a.order != b.order {
			return a.order < b.order
		}
		return a.seq < b.seq
	})
}
