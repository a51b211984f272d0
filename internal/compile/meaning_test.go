package compile

import (
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/snapshot"
)

// places lists the ends of flows worth looking at in a fleet: every pod, every node, and addresses outside.
func places(fleet snapshot.Fleet) []place {
	out := []place{
		{address: netip.MustParseAddr("203.0.113.7")}, {address: netip.MustParseAddr("203.0.113.70")},
		{address: netip.MustParseAddr("203.0.113.200")}, {address: netip.MustParseAddr("8.8.4.4")},
	}
	for i := range fleet.Members {
		m := &fleet.Members[i]
		for j := range m.Pods {
			out = append(out, place{member: m, pod: &m.Pods[j], address: m.Pods[j].Addresses[0]})
		}
		for _, a := range m.NodeAddresses {
			out = append(out, place{member: m, node: true, address: a})
		}
	}
	return out
}

func (p place) String() string {
	switch {
	case p.pod != nil:
		return fmt.Sprintf("%s/%s/%s", p.member.Name, p.pod.Namespace, p.pod.Name)
	case p.node:
		return "node of " + p.member.Name
	}
	return p.address.String()
}

// compileAll compiles everything that each member should hold.
func compileAll(t interface{ Fatalf(string, ...any) }, in Input) map[string][]Object {
	c := New(in)
	out := map[string][]Object{}
	for _, m := range in.Fleet.Members {
		shared, _ := c.Shared(m.Name)
		out[m.Name] = shared
	}
	for _, n := range in.Networks {
		r := c.Network(n.Name)
		if len(r.Errors) > 0 {
			t.Fatalf("%s: %v", n.Name, r.Errors.ToAggregate())
		}
		for _, cluster := range r.Clusters {
			out[cluster.Name] = append(out[cluster.Name], cluster.Objects...)
		}
	}
	return out
}

// What is compiled does, packet by packet, what the specification says: for random networks over random fleets, every pair of places, several
// protocols and ports, at both ends.
func TestCompiledPoliciesMeanWhatTheSpecificationSays(t *testing.T) {
	counts := map[verdict]int{}
	rapid.Check(t, func(t *rapid.T) {
		in := drawInput(t)
		objects := compileAll(t, in)
		want := newReference(in)
		ends := places(in.Fleet)
		for i := range in.Fleet.Members {
			m := &in.Fleet.Members[i]
			if m.Role == mcnv1alpha1.RoleSource {
				continue
			}
			got := newEvaluator(m.Name, objects[m.Name])
			for _, own := range ends {
				if own.member != m || own.pod == nil {
					continue
				}
				for _, other := range ends {
					if other.address == own.address {
						continue
					}
					for _, traffic := range []packet{{protocol: "TCP", port: 80}, {protocol: "TCP", port: 450}, {protocol: "UDP", port: 9}, {protocol: "ICMP"}} {
						for _, ingress := range []bool{true, false} {
							p := packet{from: own, to: other, protocol: traffic.protocol, port: traffic.port}
							if ingress {
								p.from, p.to = other, own
							}
							w, g := want.judge(p, ingress), got.judge(p, ingress)
							counts[w]++
							if w != g {
								t.Fatalf("%s -> %s %s/%d, ingress %t: the specification says %s, the compiled policies %s", p.from, p.to, p.protocol, p.port, ingress, w, g)
							}
						}
					}
				}
			}
		}
	})
	t.Logf("verdicts compared: %v", counts)
}
