package identity

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"multicloud.network/operator/internal/snapshot"
)

var (
	operations = flag.Int("operations", defaultOperations, "operations of the differential test")
	seed       = flag.Uint64("seed", 1, "seed of the differential test")
)

// source draws numbers: from a seeded generator in the long run, from rapid in the one that can be shrunk.
type source interface{ IntN(n int) int }

type rapidSource struct{ t *rapid.T }

func (s rapidSource) IntN(n int) int { return rapid.IntRange(0, n-1).Draw(s.t, "n") }

// size is how much there is to draw from.
type size struct{ members, namespaces, pods, groups int }

// duel tells an Index and a world the same, and holds what a writer would have written.
type duel struct {
	rand  source
	size  size
	index *Index
	world *world
	// written has the shards, by group, source and ID.
	written map[[2]string]map[string]Shard
	uids    int
}

func newDuel(r source, s size) *duel {
	return &duel{rand: r, size: s, index: NewIndex(), world: newWorld(), written: map[[2]string]map[string]Shard{}}
}

func (d *duel) memberName() string { return fmt.Sprintf("member-%d", d.rand.IntN(d.size.members)) }
func (d *duel) nsName() string     { return fmt.Sprintf("ns-%d", d.rand.IntN(d.size.namespaces)) }

// labels draws a set of few labels with few values, so that sets are shared.
func (d *duel) labels(keys ...string) map[string]string {
	out := map[string]string{}
	for _, key := range keys {
		if n := d.rand.IntN(4); n > 0 {
			out[key] = fmt.Sprint("v", n)
		}
	}
	return out
}

// address draws one of a member's: some beside each other, so that they fill blocks, and some that other members have too.
func (d *duel) address(family int) netip.Addr {
	n := d.rand.IntN(4 * d.size.pods)
	block := byte(d.rand.IntN(3))
	if family == 6 {
		return netip.AddrFrom16([16]byte{0: 0xfd, 1: block, 14: byte(n >> 8), 15: byte(n)})
	}
	return netip.AddrFrom4([4]byte{10, block, byte(n >> 8), byte(n)})
}

func (d *duel) pod() snapshot.Pod {
	pod := snapshot.Pod{
		Namespace: d.nsName(), Name: fmt.Sprintf("pod-%d", d.rand.IntN(d.size.pods)), Labels: d.labels("app", "tier"), Terminating: d.rand.IntN(10) == 0,
	}
	if d.rand.IntN(4) == 0 {
		pod.ServiceAccount = "builder"
	}
	pod.Addresses = append(pod.Addresses, d.address(4))
	if d.rand.IntN(3) == 0 {
		pod.Addresses = append(pod.Addresses, d.address(6))
	}
	return pod
}

// upsert draws a pod: a new one, or one that is there with something changed.
func (d *duel) upsert(name string) {
	pod := d.pod()
	m := d.world.member(name)
	if old, is := m.pods[[2]string{pod.Namespace, pod.Name}]; is {
		pod.UID = old.UID
		switch d.rand.IntN(5) {
		case 0: // nothing changed
			pod = old
		case 1: // relabelled
			pod.Addresses, pod.ServiceAccount, pod.Terminating = old.Addresses, old.ServiceAccount, old.Terminating
		case 2: // created anew with the same address, as a StatefulSet's can be
			pod.Addresses, pod.UID = old.Addresses, ""
		}
	}
	if pod.UID == "" {
		d.uids++
		pod.UID = fmt.Sprint("uid-", d.uids)
	}
	m.pods[[2]string{pod.Namespace, pod.Name}] = pod
	d.index.UpsertPod(name, pod)
}

func (d *duel) setMember(name string) {
	m := d.world.member(name)
	m.domain, m.cidrs = "", nil
	if d.rand.IntN(3) > 0 {
		m.domain = fmt.Sprint("domain-", d.rand.IntN(2))
	}
	for range d.rand.IntN(5) {
		block := byte(d.rand.IntN(3))
		switch d.rand.IntN(3) {
		case 0:
			m.cidrs = append(m.cidrs, netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 1: block}), 32))
		case 1:
			m.cidrs = append(m.cidrs, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, block, byte(d.rand.IntN(8)), 0}), 23).Masked())
		default:
			m.cidrs = append(m.cidrs, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, block, 0, 0}), 16))
		}
	}
	d.index.SetMember(name, m.domain, m.cidrs)
}

func (d *duel) register() {
	selectors := []string{"", "app == 'v1'", "tier in {'v1', 'v2'}", "!has(app)", "pcns.team == 'v1' && has(tier)",
		LabelServiceAccount + " == 'builder'", LabelNamespace + " == 'ns-1'", "app == 'v2' || tier == 'v3'"}
	namespaces := []string{"", "team == 'v1'", LabelNamespaceName + " in {'ns-0', 'ns-2'}", "!has(team)"}
	g := Group{ID: fmt.Sprintf("group-%d", d.rand.IntN(d.size.groups)), Purpose: Permit}
	if d.rand.IntN(3) == 0 {
		g.Purpose = Deny
	}
	var err error
	if g.Selection, err = Parse(namespaces[d.rand.IntN(len(namespaces))], selectors[d.rand.IntN(len(selectors))]); err != nil {
		panic(err)
	}
	if old, is := d.world.groups[g.ID]; is && d.rand.IntN(2) == 0 {
		g = old // other sources alone
		g.Sources = nil
	}
	for i := range d.size.members {
		if d.rand.IntN(4) > 0 {
			g.Sources = append(g.Sources, fmt.Sprintf("member-%d", i))
		}
	}
	old := d.world.groups[g.ID]
	d.world.groups[g.ID] = g
	d.index.Register(g)
	for key := range d.written {
		if key[0] == g.ID && (!slices.Contains(g.Sources, key[1]) || old.Purpose != g.Purpose || old.Selection.Canonical() != g.Selection.Canonical()) {
			delete(d.written, key)
		}
	}
}

func (d *duel) unregister() {
	id := fmt.Sprintf("group-%d", d.rand.IntN(d.size.groups))
	delete(d.world.groups, id)
	d.index.Unregister(id)
	maps.DeleteFunc(d.written, func(key [2]string, _ map[string]Shard) bool { return key[0] == id })
}

// replacePods lists a member's pods, of which some are gone, new, or changed since.
func (d *duel) replacePods(name string) {
	m := d.world.member(name)
	keys := slices.SortedFunc(maps.Keys(m.pods), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	var list []snapshot.Pod
	for _, key := range keys {
		switch d.rand.IntN(20) {
		case 0:
			delete(m.pods, key)
		case 1:
			pod := m.pods[key]
			pod.Labels = d.labels("app", "tier")
			m.pods[key] = pod
			list = append(list, pod)
		default:
			list = append(list, m.pods[key])
		}
	}
	before := len(keys)
	diff := d.index.ReplacePods(name, slices.Values(list))
	if diff.Known != before || diff.Removed != before-len(list) {
		panic(fmt.Sprintf("%d pods were known, and %d of them listed: %+v", before, len(list), diff))
	}
}

func (d *duel) replaceNamespaces(name string) {
	m := d.world.member(name)
	clear(m.namespaces)
	for i := range d.size.namespaces {
		if d.rand.IntN(6) > 0 {
			ns := snapshot.Namespace{Name: fmt.Sprintf("ns-%d", i), Labels: d.labels("team")}
			m.namespaces[ns.Name] = ns
		}
	}
	d.index.ReplaceNamespaces(name, maps.Values(m.namespaces))
}

// step tells both one thing.
func (d *duel) step() {
	name := d.memberName()
	m := d.world.member(name)
	switch n := d.rand.IntN(10_000); {
	case n < 6500:
		d.upsert(name)
	case n < 9700:
		ns, pod := d.nsName(), fmt.Sprintf("pod-%d", d.rand.IntN(d.size.pods))
		_, is := m.pods[[2]string{ns, pod}]
		delete(m.pods, [2]string{ns, pod})
		if d.index.DeletePod(name, ns, pod) != is {
			panic("a deletion does not tell whether the pod was there")
		}
	case n < 9900:
		ns := snapshot.Namespace{Name: d.nsName(), Labels: d.labels("team")}
		m.namespaces[ns.Name] = ns
		d.index.UpsertNamespace(name, ns)
	case n < 9930:
		ns := d.nsName()
		delete(m.namespaces, ns)
		d.index.DeleteNamespace(name, ns)
	case n < 9950:
		d.setMember(name)
	case n < 9970:
		d.register()
	case n < 9980:
		d.unregister()
	case n < 9988:
		d.replacePods(name)
	case n < 9996:
		d.replaceNamespaces(name)
	default:
		delete(d.world.members, name)
		d.index.RemoveMember(name)
	}
}

// begin gives every member what it usually has.
func (d *duel) begin() {
	for i := range d.size.members {
		name := fmt.Sprintf("member-%d", i)
		d.replaceNamespaces(name)
		d.setMember(name)
	}
	for range d.size.groups {
		d.register()
	}
}

// take writes what changed, and complains of what would not have been a change.
func (d *duel) take() error {
	for _, c := range d.index.Take() {
		key := [2]string{c.Group, c.Source}
		shards := d.written[key]
		if shards == nil {
			shards = map[string]Shard{}
			d.written[key] = shards
		}
		for _, id := range c.Gone {
			if _, is := shards[id]; !is {
				return fmt.Errorf("%v: shard %s is gone, and never was", key, id)
			}
			delete(shards, id)
		}
		for _, id := range c.Shards {
			shard, is := d.index.Shard(c.Group, c.Source, id)
			if before, had := shards[id]; !is || had && slices.Equal(before.Prefixes, shard.Prefixes) {
				return fmt.Errorf("%v: shard %s changed, and is there: %t, as before: %t", key, id, is, had)
			}
			shards[id] = shard
		}
	}
	return nil
}

// check compares what was written, and what the Index answers, with the world.
func (d *duel) check() error {
	if err := d.take(); err != nil {
		return err
	}
	for _, id := range d.world.groupIDs() {
		for i := range d.size.members {
			source := fmt.Sprintf("member-%d", i)
			want := d.world.addresses(id, source)
			if got := d.index.Addresses(id, source); !slices.Equal(got, want) {
				return fmt.Errorf("group %s in %s has %d addresses, want %d: %v, want %v", id, source, len(got), len(want), got, want)
			}
			shards := referenceShards(want)
			written := d.written[[2]string{id, source}]
			if len(written) != len(shards) {
				return fmt.Errorf("group %s in %s is written in %d shards, want %d", id, source, len(written), len(shards))
			}
			for _, shard := range d.index.Shards(id, source) {
				if !slices.Equal(shard.Prefixes, shards[shard.ID]) || !slices.Equal(written[shard.ID].Prefixes, shards[shard.ID]) {
					return fmt.Errorf("shard %s of group %s in %s: %v, written %v, want %v", shard.ID, id, source, shard.Prefixes, written[shard.ID], shards[shard.ID])
				}
			}
		}
	}
	return nil
}

// After a long random history the Index holds what a computation from nothing gives, and a writer that only followed the changes has written that.
func TestIndexEqualsAPlainRecomputation(t *testing.T) {
	d := newDuel(rand.New(rand.NewPCG(*seed, 0)), size{members: 4, namespaces: 4, pods: 250, groups: 6})
	d.begin()
	every := max(1, *operations/500)
	for i := range *operations {
		d.step()
		if i%7 == 0 {
			if err := d.take(); err != nil {
				t.Fatalf("after %d operations with -seed=%d: %v", i+1, *seed, err)
			}
		}
		if i%every == 0 {
			if err := d.check(); err != nil {
				t.Fatalf("after %d operations with -seed=%d: %v", i+1, *seed, err)
			}
		}
	}
	if err := d.check(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d operations, -seed=%d", *operations, *seed)
}

// The same in the small, after each operation, so that what fails is shrunk.
func TestIndexEqualsAPlainRecomputationAtEveryStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDuel(rapidSource{t}, size{members: 3, namespaces: 2, pods: 3, groups: 3})
		d.begin()
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			d.step()
			if err := d.check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
