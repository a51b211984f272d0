package crd

import "strings"

const (
	podsOfAll = `{namespaceSelector: {}}`
	flatBlock = `{pods: {namespaceSelector: {}}}`
	vlanBlock = `{segments: [{name: api, cidrs: [10.0.0.0/8]}]}`
)

// networkCases are about the model, its block and what goes with it.
var networkCases = map[string]ruleCase{
	"the name has a dot": {base: flatBase, edits: []edit{{"metadata.name", "team.payments"}},
		wantField: "<nil>", wantMessage: "write '-' instead of '.'"},
	"the name has 64 characters": {base: flatBase, edits: []edit{{"metadata.name", strings.Repeat("a", 64)}},
		wantField: "<nil>", wantMessage: "at most 63 lower-case letters"},
	"the name has 63 characters": {base: flatBase, edits: []edit{{"metadata.name", strings.Repeat("a", 63)}}},

	"no clusters":             {base: flatBase, edits: []edit{{"spec.clusters", ""}}, wantField: "spec.clusters", wantMessage: "Required value"},
	"no cluster selector":     {base: flatBase, edits: []edit{{"spec.clusters.selector", ""}}, wantField: "spec.clusters.selector", wantMessage: "Required value"},
	"an empty selector":       {base: flatBase, edits: []edit{{"spec.clusters.selector", "{}"}}},
	"negative maxUnavailable": {base: flatBase, edits: []edit{{"spec.clusters.maxUnavailable", "-1"}}, wantField: "spec.clusters.maxUnavailable", wantMessage: "should be greater than or equal to 0"},
	"maxUnavailable in percent": {base: flatBase, edits: []edit{{"spec.clusters.maxUnavailable", "10%"}},
		wantField: "spec.clusters.maxUnavailable", wantMessage: "must be of type integer"},

	"no model":      {base: flatBase, edits: []edit{{"spec.model", ""}}, wantField: "spec.model", wantMessage: "Required value"},
	"unknown model": {base: flatBase, edits: []edit{{"spec.model", "Mesh"}}, wantField: "spec.model", wantMessage: `supported values: "Flat", "VLAN", "Calico"`},
	"an empty model": {base: flatBase, edits: []edit{{"spec.model", `""`}},
		wantField: "spec.model", wantMessage: `Unsupported value: "": supported values`},
	"Flat without its block":   {base: flatBase, edits: []edit{{"spec.flat", ""}}, wantField: "spec.model", wantMessage: "write flat: {pods:"},
	"VLAN without its block":   {base: vlanBase, edits: []edit{{"spec.vlan", ""}}, wantField: "spec.model", wantMessage: "write vlan: {segments:"},
	"Calico without its block": {base: calicoBase, edits: []edit{{"spec.calico", ""}}, wantField: "spec.model", wantMessage: "write calico: {policies:"},
	"Flat's block with VLAN":   {base: vlanBase, edits: []edit{{"spec.flat", flatBlock}}, wantField: "spec.flat", wantMessage: "remove it, or write model: Flat"},
	"VLAN's block with Flat":   {base: flatBase, edits: []edit{{"spec.vlan", vlanBlock}}, wantField: "spec.vlan", wantMessage: "remove it, or write model: VLAN"},
	"Calico's block with Flat": {base: flatBase, edits: []edit{{"spec.calico", `{policies: [{name: a, order: 1, pods: {namespaceSelector: {}}, types: [Ingress]}]}`}},
		wantField: "spec.calico", wantMessage: "remove it, or write model: Calico"},
	"routes with Calico": {base: calicoBase, edits: []edit{{"spec.routes", `[{name: a, from: [{segment: flat}], to: [{nodes: {}}]}]`}},
		wantField: "spec.routes", wantMessage: "write the flows as rules in calico.policies"},
	"Override with Calico": {base: calicoBase, edits: []edit{{"spec.localPolicies", "Override"}},
		wantField: "spec.localPolicies", wantMessage: "write action: Allow where a rule must be final"},
	"Honor with Calico": {base: calicoBase, edits: []edit{{"spec.localPolicies", "Honor"}}},

	"unknown boundary":       {base: flatBase, edits: []edit{{"spec.boundary", "closed"}}, wantField: "spec.boundary", wantMessage: `supported values: "Closed", "Open"`},
	"an empty boundary":      {base: flatBase, edits: []edit{{"spec.boundary", `""`}}, wantField: "spec.boundary", wantMessage: `supported values: "Closed", "Open"`},
	"unknown membership":     {base: flatBase, edits: []edit{{"spec.membership", "Private"}}, wantField: "spec.membership", wantMessage: `supported values: "Shared", "Exclusive"`},
	"unknown localPolicies":  {base: flatBase, edits: []edit{{"spec.localPolicies", "Ignore"}}, wantField: "spec.localPolicies", wantMessage: `supported values: "Honor", "Override"`},
	"unknown updates":        {base: flatBase, edits: []edit{{"spec.updates", "Paused"}}, wantField: "spec.updates", wantMessage: `supported values: "Automatic", "Held"`},
	"unknown deletionPolicy": {base: flatBase, edits: []edit{{"spec.deletionPolicy", "Retain"}}, wantField: "spec.deletionPolicy", wantMessage: `supported values: "Delete", "Orphan"`},
	"stagedClusters null":    {base: flatBase, edits: []edit{{"spec.stagedClusters", "null"}}},
	"stagedClusters empty":   {base: flatBase, edits: []edit{{"spec.stagedClusters", "{}"}}},

	"pods without a namespaceSelector": {base: flatBase, edits: []edit{{"spec.flat.pods.namespaceSelector", ""}},
		wantField: "spec.flat.pods.namespaceSelector", wantMessage: "Required value"},
	"a segment of nothing": {base: vlanBase, edits: []edit{{"spec.vlan.segments[0].pods", ""}},
		wantField: "spec.vlan.segments[0]", wantMessage: "a segment needs pods, cidrs or both"},
	"a segment of pods and cidrs": {base: vlanBase, edits: []edit{{"spec.vlan.segments[1].pods", podsOfAll}}},
	"two segments of one name": {base: vlanBase, edits: []edit{{"spec.vlan.segments[2]", `{name: api, cidrs: [10.0.0.0/8]}`}},
		wantField: "spec.vlan.segments[2]", wantMessage: "Duplicate value"},
	"a segment name that is no label": {base: vlanBase, edits: []edit{{"spec.vlan.segments[1].name", "Oracle_DB"}, {"spec.routes", ""}},
		wantField: "spec.vlan.segments[1].name", wantMessage: "should match"},

	"two segments of one id": {base: vlanBase, edits: []edit{{"spec.vlan.segments[1].id", "110"}},
		wantField: "spec.vlan.segments", wantMessage: "two segments have the same id"},
	"segments without ids": {base: vlanBase, edits: []edit{{"spec.vlan.segments[0].id", ""}, {"spec.vlan.segments[1].id", ""}}},
	"id 0": {base: vlanBase, edits: []edit{{"spec.vlan.segments[0].id", "0"}},
		wantField: "spec.vlan.segments[0].id", wantMessage: "should be greater than or equal to 1"},
	"id 1":    {base: vlanBase, edits: []edit{{"spec.vlan.segments[0].id", "1"}}},
	"id 4094": {base: vlanBase, edits: []edit{{"spec.vlan.segments[0].id", "4094"}}},
	"id 4095": {base: vlanBase, edits: []edit{{"spec.vlan.segments[0].id", "4095"}},
		wantField: "spec.vlan.segments[0].id", wantMessage: "should be less than or equal to 4094"},
}

// routeCases are about routes, peers and their ports.
var routeCases = map[string]ruleCase{
	"an unknown segment in from": {base: vlanBase, edits: []edit{{"spec.routes[1].from[0].segment", "web"}},
		wantField: "spec.routes", wantMessage: "from of one of the routes names an unknown segment: look at each routes[].from[].segment"},
	"an unknown segment in to": {base: vlanBase, edits: []edit{{"spec.routes[1].to[0].segment", "flat"}},
		wantField: "spec.routes", wantMessage: "to of one of the routes names an unknown segment: look at each routes[].to[].segment"},
	"a segment other than flat in Flat": {base: flatBase, edits: []edit{{"spec.routes[0].to[0].segment", "api"}},
		wantField: "spec.routes", wantMessage: "look at each routes[].from[].segment and to[].segment; a Flat network has one segment, so write segment: flat"},
	"a segment other than flat in Flat's from": {base: flatBase, edits: []edit{{"spec.routes[0].from", "[{segment: api}]"}},
		wantField: "spec.routes", wantMessage: "look at each routes[].from[].segment and to[].segment; a Flat network has one segment, so write segment: flat"},
	"no end is segments": {base: flatBase, edits: []edit{{"spec.routes[0].to", "[{nodes: {}}]"}},
		wantField: "spec.routes[0]", wantMessage: "one end of a route must be this network's"},
	"both ends are mixed": {base: vlanBase, edits: []edit{{"spec.routes[0].from", "[{nodes: {}}, {segment: api}]"}, {"spec.routes[0].to", "[{segment: api}, {cidrs: [10.0.0.0/8]}]"}},
		wantField: "spec.routes[0]", wantMessage: "split a route that mixes them into two"},
	"one end is mixed": {base: vlanBase, edits: []edit{{"spec.routes[0].from", "[{nodes: {}}, {segment: api}]"}}},
	"two routes of one name": {base: vlanBase, edits: []edit{{"spec.routes[1].name", "edge"}},
		wantField: "spec.routes[1]", wantMessage: "Duplicate value"},
	"a route name that is no label": {base: vlanBase, edits: []edit{{"spec.routes[1].name", "to.db"}},
		wantField: "spec.routes[1].name", wantMessage: "should match"},
	"no from": {base: vlanBase, edits: []edit{{"spec.routes[1].from", ""}}, wantField: "spec.routes[1].from", wantMessage: "Required value"},
	"no to":   {base: vlanBase, edits: []edit{{"spec.routes[1].to", ""}}, wantField: "spec.routes[1].to", wantMessage: "Required value"},
	"an unknown scope": {base: vlanBase, edits: []edit{{"spec.routes[1].scope", "Cluster"}},
		wantField: "spec.routes[1].scope", wantMessage: `supported values: "Network", "SameCluster"`},

	"a peer of nothing": {base: vlanBase, edits: []edit{{"spec.routes[0].from", "[{}]"}},
		wantField: "spec.routes[0].from[0]", wantMessage: "exactly one of segment, pods, cidrs and nodes"},
	"a peer of two kinds": {base: vlanBase, edits: []edit{{"spec.routes[0].from[1].cidrs", "[10.0.0.0/8]"}},
		wantField: "spec.routes[0].from[1]", wantMessage: "write several peers for several of them"},
	"a peer with an empty segment": {base: vlanBase, edits: []edit{{"spec.routes[1].to[0].segment", `""`}},
		wantField: "spec.routes[1].to[0].segment", wantMessage: "should be at least 1 chars long"},
	"except without cidrs": {base: flatBase, edits: []edit{{"spec.routes[0].from[0].cidrs", ""}, {"spec.routes[0].from[0].nodes", "{}"}},
		wantField: "spec.routes[0].from[0]", wantMessage: "except takes subnets out of cidrs"},

	"no ports":              {base: vlanBase, edits: []edit{{"spec.routes[1].ports", ""}}},
	"a port without number": {base: vlanBase, edits: []edit{{"spec.routes[1].ports[0].port", ""}}},
	"a port without protocol": {base: vlanBase, edits: []edit{{"spec.routes[1].ports[0].protocol", ""}},
		wantField: "spec.routes[1].ports[0].protocol", wantMessage: "Required value"},
	"a port of another protocol": {base: vlanBase, edits: []edit{{"spec.routes[1].ports[0].protocol", "HTTP"}},
		wantField: "spec.routes[1].ports[0].protocol", wantMessage: `supported values: "TCP", "UDP", "SCTP", "ICMP"`},
	"ICMP with a port": {base: vlanBase, edits: []edit{{"spec.routes[1].ports[0].protocol", "ICMP"}},
		wantField: "spec.routes[1].ports[0]", wantMessage: "ICMP has no ports"},
	"endPort without port": {base: vlanBase, edits: []edit{{"spec.routes[0].ports[1].port", ""}},
		wantField: "spec.routes[0].ports[1]", wantMessage: "write port, its first port, too"},
	"endPort below port": {base: vlanBase, edits: []edit{{"spec.routes[0].ports[1].endPort", "7999"}},
		wantField: "spec.routes[0].ports[1]", wantMessage: "endPort is below port"},
	"endPort equal to port": {base: vlanBase, edits: []edit{{"spec.routes[0].ports[1].endPort", "8000"}}},
	"port 0": {base: vlanBase, edits: []edit{{"spec.routes[1].ports[0].port", "0"}},
		wantField: "spec.routes[1].ports[0].port", wantMessage: "should be greater than or equal to 1"},
	"port 65536": {base: vlanBase, edits: []edit{{"spec.routes[1].ports[0].port", "65536"}},
		wantField: "spec.routes[1].ports[0].port", wantMessage: "should be less than or equal to 65535"},
	"a named port": {base: vlanBase, edits: []edit{{"spec.routes[1].ports[0].port", "oracle"}},
		wantField: "spec.routes[1].ports[0].port", wantMessage: "must be of type integer"},
}

// addressCases are about the form of CIDRs.
var addressCases = map[string]ruleCase{
	"host bits":                   addressCase("192.168.130.1/24", "not a CIDR in canonical form: write the network address without host bits"),
	"host bits in IPv6":           addressCase("2001:db8::1/64", "not a CIDR in canonical form: write the network address without host bits"),
	"no prefix length":            addressCase("192.168.130.0", "192.0.2.7/32 for one address"),
	"too long a prefix":           addressCase("192.168.130.0/33", "not a CIDR"),
	"IPv4-mapped":                 addressCase("::ffff:192.168.130.0/120", "not an IPv4-mapped address"),
	"IPv4-mapped in hex":          addressCase("::ffff:c0a8:8200/120", "not an IPv4-mapped address"),
	"a zone":                      addressCase("fe80::%eth0/64", "a zone"),
	"leading zeros":               addressCase("010.0.0.0/8", "or leading zeros"),
	"a zero in the prefix length": addressCase("10.0.0.0/08", "or leading zeros"),
	"a name":                      addressCase("db.example.com", "not a CIDR"),
	"an empty string":             addressCase("", "not a CIDR"),
	"44 characters":               addressCase(strings.Repeat("1", 44), "may not be more than 43"),
	"one address":                 addressCase("192.168.130.7/32", ""),
	"one IPv6 address":            addressCase("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", ""),
	"everything":                  addressCase("0.0.0.0/0", ""),
	"capital digits":              addressCase("2001:DB8::/32", "in lower case and as short as possible"),
	"a long form":                 addressCase("2001:db8:0::/48", "as short as possible"),
	"an IPv4 tail":                addressCase("2001:db8::10.0.0.0/128", "as short as possible"),
	"host bits in a peer": {base: flatBase, edits: []edit{{"spec.routes[0].from[0].cidrs[0]", "10.0.0.1/8"}},
		wantField: "spec.routes[0].from[0].cidrs[0]", wantMessage: "not a CIDR"},
	"host bits in except": {base: flatBase, edits: []edit{{"spec.routes[0].from[0].except[0]", "10.1.0.1/16"}},
		wantField: "spec.routes[0].from[0].except[0]", wantMessage: "not a CIDR"},
	"host bits in nets": {base: calicoBase, edits: []edit{{"spec.calico.policies[0].ingress[0].source.nets[0]", "10.0.0.1/8"}},
		wantField: "spec.calico.policies[0].ingress[0].source.nets[0]", wantMessage: "not a CIDR"},
	"host bits in notNets": {base: calicoBase, edits: []edit{{"spec.calico.policies[0].ingress[0].source.notNets[0]", "10.1.0.1/16"}},
		wantField: "spec.calico.policies[0].ingress[0].source.notNets[0]", wantMessage: "not a CIDR"},
	"host bits in a member's CIDR": {base: memberBase, edits: []edit{{"spec.podNetwork.cidrs[0]", "10.1.0.1/16"}},
		wantField: "spec.podNetwork.cidrs[0]", wantMessage: "not a CIDR"},
}

func addressCase(cidr, wantMessage string) ruleCase {
	return ruleCase{base: vlanBase, edits: []edit{{"spec.vlan.segments[1].cidrs[0]", `"` + cidr + `"`}},
		wantField: "spec.vlan.segments[1].cidrs[0]", wantMessage: wantMessage}
}

// listCases say that "none" has one spelling: the list is absent.
var listCases = map[string]ruleCase{
	"no segments":       emptyList(vlanBase, "spec.vlan.segments"),
	"no segment CIDRs":  emptyList(vlanBase, "spec.vlan.segments[1].cidrs"),
	"no routes":         emptyList(vlanBase, "spec.routes"),
	"nothing in from":   emptyList(vlanBase, "spec.routes[0].from"),
	"nothing in to":     emptyList(vlanBase, "spec.routes[0].to"),
	"no route ports":    emptyList(vlanBase, "spec.routes[0].ports"),
	"no peer CIDRs":     emptyList(flatBase, "spec.routes[0].from[0].cidrs"),
	"nothing in except": emptyList(flatBase, "spec.routes[0].from[0].except"),
	"no policies":       emptyList(calicoBase, "spec.calico.policies"),
	"no types":          emptyList(calicoBase, "spec.calico.policies[0].types"),
	"no ingress rules":  emptyList(calicoBase, "spec.calico.policies[0].ingress"),
	"no egress rules":   emptyList(calicoBase, "spec.calico.policies[0].egress"),
	"no nets":           emptyList(calicoBase, "spec.calico.policies[0].ingress[0].source.nets"),
	"no notNets":        emptyList(calicoBase, "spec.calico.policies[0].ingress[0].source.notNets"),
	"no rule ports":     emptyList(calicoBase, "spec.calico.policies[0].ingress[0].source.ports"),
	"no notPorts":       emptyList(calicoBase, "spec.calico.policies[0].ingress[0].destination.notPorts"),
	"no member CIDRs":   emptyList(memberBase, "spec.podNetwork.cidrs"),
}

func emptyList(base, path string) ruleCase {
	return ruleCase{base: base, edits: []edit{{path, "[]"}}, wantField: path, wantMessage: "should have at least 1 items"}
}
