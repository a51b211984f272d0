package member

import (
	"encoding/json"
	"maps"
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/apply"
	"multicloud.network/operator/internal/compile"
)

// content is what of ours is on a member.
type content map[compile.Key]*unstructured.Unstructured

// action is one write or one removal: exactly one of want and drop is set.
type action struct {
	phase phase
	want  *wanted
	drop  *unstructured.Unstructured
}

func (a action) key() compile.Key {
	if a.want != nil {
		return a.want.key
	}
	return apply.KeyOf(a.drop)
}

// todo is what is to be done for one network, or for the shared objects, in order.
type todo struct {
	actions []action
	// frozen counts the writes and removals of policies that are not made because updates are Held.
	frozen int
}

// decision is what becomes of a difference.
type decision int

const (
	write  decision = iota
	freeze          // not written because updates are Held, and told
	skip            // not written because nobody knows better yet
)

// sourceUnsynced tells whether an object holds addresses of a member that has not been listed in full.
func (p *prepared) sourceUnsynced(u *unstructured.Unstructured) bool {
	source := u.GetLabels()[mcnv1alpha1.SourceClusterLabel]
	if u.GetKind() != apply.KindSet || source == "" {
		return false
	}
	return slices.Contains(p.Unsynced, source) || (p.unsynced != nil && p.unsynced(source))
}

// next returns the lowest phase in which something is to be done, and what.
func (t *todo) next() (phase, []action) {
	if len(t.actions) == 0 {
		return phaseSettled, nil
	}
	p := t.actions[0].phase
	end := slices.IndexFunc(t.actions, func(a action) bool { return a.phase != p })
	if end < 0 {
		end = len(t.actions)
	}
	return p, t.actions[:end]
}

// planNetwork compares what is wanted of a network with what is there.
func planNetwork(name string, n *networkPlan, p *prepared, live content) *todo {
	out := &todo{}
	held := (n.Held || p.Held) && !n.Deleted
	out.addWrites(n.wants, live, func(w *wanted) decision {
		switch {
		case held && isPolicy(w.key):
			return freeze
		case live[w.key] != nil && p.sourceUnsynced(w.object):
			return skip
		}
		return write
	})
	current := ""
	if held {
		current = policyText(n.wants)
	}
	out.addDrops(live, dropPhase, func(key compile.Key, u *unstructured.Unstructured) bool {
		if apply.Network(u) != name || n.wants[key] != nil {
			return false
		}
		if !n.Remove && p.sourceUnsynced(u) {
			return false
		}
		if !held {
			return true
		}
		if isPolicy(key) {
			out.frozen++
			return false
		}
		// The policies that are there may still name an old group; only shards of groups that the wanted policies name are known to be spare.
		group := u.GetLabels()[mcnv1alpha1.GroupLabel]
		return group != "" && strings.Contains(current, group)
	})
	return out
}

// planShared compares the shared objects. The tier and the guard go only when nothing of any network is left, known or unknown; pools and old
// guards only when no unknown network may need them.
func planShared(p *prepared, live content) *todo {
	out := &todo{}
	out.addWrites(p.shared, live, func(w *wanted) decision {
		if p.Held && isPolicy(w.key) {
			return freeze
		}
		return write
	})
	if p.Held {
		return out
	}
	unknown, any := false, false
	for _, u := range live {
		if network := apply.Network(u); network != sharedKey {
			any = true
			unknown = unknown || p.networks[network] == nil
		}
	}
	for _, n := range p.networks {
		any = any || len(n.wants) > 0
	}
	replaced := slices.ContainsFunc(slices.Collect(maps.Values(p.shared)), func(w *wanted) bool { return isGuard(w.object) })
	when := func(u *unstructured.Unstructured) phase {
		if isGuard(u) && replaced {
			return phaseDropPermits
		}
		return phaseDropBase
	}
	out.addDrops(live, when, func(key compile.Key, u *unstructured.Unstructured) bool {
		switch {
		case apply.Network(u) != sharedKey || p.shared[key] != nil:
			return false
		case isGuard(u) && replaced:
			return true
		case isFrame(u):
			return !any && len(p.shared) == 0
		}
		return !unknown
	})
	return out
}

func (t *todo) addWrites(wants map[compile.Key]*wanted, live content, decide func(*wanted) decision) {
	var writes []*wanted
	for key, w := range wants {
		if l, ok := live[key]; ok && apply.Equal(l, w.object) {
			continue
		}
		switch decide(w) {
		case write:
			writes = append(writes, w)
		case freeze:
			t.frozen++
		case skip:
		}
	}
	byWriteOrder(writes)
	losingFirst(writes, live)
	for _, w := range writes {
		t.actions = append(t.actions, action{phase: w.phase, want: w})
	}
}

// losingFirst puts sets that lose addresses before those that only gain some: an address that passed to another pod leaves before it joins, and removals wait
// for nothing.
func losingFirst(writes []*wanted, live content) {
	late := func(w *wanted) int {
		if w.key.Kind != apply.KindSet || loses(live[w.key], w.object) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(writes, func(a, b *wanted) int {
		if a.phase != b.phase {
			return int(a.phase - b.phase)
		}
		return late(a) - late(b)
	})
}

// loses tells whether a set on a member has an entry that it should not have.
func loses(live, want *unstructured.Unstructured) bool {
	if live == nil {
		return false
	}
	had, _, _ := unstructured.NestedStringSlice(live.Object, "spec", "nets")
	has, _, _ := unstructured.NestedStringSlice(want.Object, "spec", "nets")
	keep := make(map[string]bool, len(has))
	for _, net := range has {
		keep[net] = true
	}
	return slices.ContainsFunc(had, func(net string) bool { return !keep[net] })
}

// addDrops adds removals: by phase, policies by descending order, the tier last.
func (t *todo) addDrops(live content, when func(*unstructured.Unstructured) phase, unwanted func(compile.Key, *unstructured.Unstructured) bool) {
	var drops []action
	for key, u := range live {
		if unwanted(key, u) {
			drops = append(drops, action{phase: when(u), drop: u})
		}
	}
	sort.Slice(drops, func(i, j int) bool {
		a, b := drops[i], drops[j]
		if a.phase != b.phase {
			return a.phase < b.phase
		}
		if x, y := dropRank(a.drop), dropRank(b.drop); x != y {
			return x < y
		}
		if x, y := orderOf(a.drop), orderOf(b.drop); x != y {
			return x > y
		}
		return a.drop.GetKind()+a.drop.GetName() < b.drop.GetKind()+b.drop.GetName()
	})
	t.actions = append(t.actions, drops...)
}

func dropRank(u *unstructured.Unstructured) int {
	switch {
	case u.GetKind() == apply.KindTier:
		return 2
	case isGuard(u):
		return 1
	}
	return 0
}

// policyText is the text of the wanted policies, in which group hashes are looked for.
func policyText(wants map[compile.Key]*wanted) string {
	var b strings.Builder
	for key, w := range wants {
		if !isPolicy(key) {
			continue
		}
		if text, err := json.Marshal(w.object.Object["spec"]); err == nil {
			b.Write(text)
		}
	}
	return b.String()
}

// cleanIntent is the intent that takes away everything of ours that is there, but what belongs to networks that are spared.
func cleanIntent(live content, spared []string) *prepared {
	out := &prepared{networks: map[string]*networkPlan{}}
	for _, u := range live {
		if name := apply.Network(u); name != sharedKey && !slices.Contains(spared, name) {
			out.networks[name] = &networkPlan{NetworkIntent: NetworkIntent{Remove: true, Deleted: true}}
		}
	}
	return out
}

// withUnknown is the intent with the removal of whatever is there of networks that it does not name.
func (p *prepared) withUnknown(live content) *prepared {
	out := *p
	out.networks = maps.Clone(p.networks)
	for network := range p.unknown(live) {
		if slices.Contains(p.Spared, network) {
			continue
		}
		out.networks[network] = &networkPlan{NetworkIntent: NetworkIntent{Remove: true, Deleted: true}, unknown: true}
	}
	return &out
}

// reclaimed tells whether nothing unknown is left but what is spared.
func (p *prepared) reclaimed(unknown map[string]int) bool {
	for network := range unknown {
		if !slices.Contains(p.Spared, network) {
			return false
		}
	}
	return true
}

// unknown counts the objects of networks that the intent does not name.
func (p *prepared) unknown(live content) map[string]int {
	var out map[string]int
	for _, u := range live {
		network := apply.Network(u)
		if n := p.networks[network]; network != sharedKey && (n == nil || n.unknown) {
			if out == nil {
				out = map[string]int{}
			}
			out[network]++
		}
	}
	return out
}

// has tells whether anything of a network is there.
func (c content) has(network string) bool {
	for _, u := range c {
		if apply.Network(u) == network {
			return true
		}
	}
	return false
}

// staged tells whether the policies of a network that are there are Staged kinds alone; fallback where there are none.
func (c content) staged(network string, fallback bool) bool {
	found := false
	for key, u := range c {
		if !isPolicy(key) || apply.Network(u) != network {
			continue
		}
		if key.Kind == apply.KindPolicy {
			return false
		}
		found = true
	}
	return found || fallback
}
