package crd

const (
	policy      = "spec.calico.policies[0]"
	ingressRule = "spec.calico.policies[0].ingress[0]"
	egressRule  = "spec.calico.policies[0].egress[0]"
)

// policyCases are about a Calico policy as a whole.
var policyCases = map[string]ruleCase{
	"no types": {base: calicoBase, edits: []edit{{policy + ".types", ""}}, wantField: policy + ".types", wantMessage: "Required value"},
	"an unknown type": {base: calicoBase, edits: []edit{{policy + ".types[1]", "Both"}},
		wantField: policy + ".types[1]", wantMessage: `supported values: "Ingress", "Egress"`},
	"a type twice": {base: calicoBase, edits: []edit{{policy + ".types[1]", "Ingress"}, {policy + ".egress", ""}},
		wantField: policy + ".types[1]", wantMessage: "Duplicate value"},
	"ingress rules without the type": {base: calicoBase, edits: []edit{{policy + ".types", "[Egress]"}},
		wantField: policy + ".types", wantMessage: "ingress has rules, so types must hold Ingress"},
	"egress rules without the type": {base: calicoBase, edits: []edit{{policy + ".types", "[Ingress]"}},
		wantField: policy + ".types", wantMessage: "egress has rules, so types must hold Egress"},
	"types without rules": {base: calicoBase, edits: []edit{{policy + ".ingress", ""}, {policy + ".egress", ""}}},
	"no pods":             {base: calicoBase, edits: []edit{{policy + ".pods", ""}}, wantField: policy + ".pods", wantMessage: "Required value"},
	"no order":            {base: calicoBase, edits: []edit{{policy + ".order", ""}}, wantField: policy + ".order", wantMessage: "Required value"},
	"order 0":             {base: calicoBase, edits: []edit{{policy + ".order", "0"}}},
	"order 999":           {base: calicoBase, edits: []edit{{policy + ".order", "999"}}},
	"a negative order":    {base: calicoBase, edits: []edit{{policy + ".order", "-1"}}, wantField: policy + ".order", wantMessage: "should be greater than or equal to 0"},
	"order 1000":          {base: calicoBase, edits: []edit{{policy + ".order", "1000"}}, wantField: policy + ".order", wantMessage: "should be less than or equal to 999"},
	"a name that is no label": {base: calicoBase, edits: []edit{{policy + ".name", "multicloud.web"}},
		wantField: policy + ".name", wantMessage: "should match"},
	"two policies of one name": {base: calicoBase, edits: []edit{{"spec.calico.policies[1]", `{name: web, order: 1, pods: {namespaceSelector: {}}, types: [Ingress]}`}},
		wantField: "spec.calico.policies[1]", wantMessage: "Duplicate value"},
}

// calicoRuleCases are about protocol, ICMP and selectors of a rule.
var calicoRuleCases = map[string]ruleCase{
	"no action": {base: calicoBase, edits: []edit{{ingressRule + ".action", ""}}, wantField: ingressRule + ".action", wantMessage: "Required value"},
	"a lowercase action": {base: calicoBase, edits: []edit{{ingressRule + ".action", "allow"}},
		wantField: ingressRule + ".action", wantMessage: `supported values: "Allow", "Deny", "Pass", "Log"`},

	"an unknown protocol":  {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: HTTP}`}}, wantField: egressRule + ".protocol", wantMessage: "unknown protocol: write TCP, UDP"},
	"a lowercase protocol": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: tcp}`}}, wantField: egressRule + ".protocol", wantMessage: "unknown protocol"},
	"an empty protocol":    {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: ""}`}}, wantField: egressRule + ".protocol", wantMessage: "unknown protocol"},
	"protocol 0":           {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: 0}`}}, wantField: egressRule + ".protocol", wantMessage: "a number from 1 to 255"},
	"protocol 256":         {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: 256}`}}, wantField: egressRule + ".protocol", wantMessage: "a number from 1 to 255"},
	"protocol 1":           {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: 1}`}}},
	"protocol 255":         {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: 255}`}}},
	"protocol UDPLite":     {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: UDPLite}`}}},
	"protocol ICMPv6":      {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: ICMPv6, icmp: {type: 128}}`}}},
	"an unknown notProtocol": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, notProtocol: IP}`}},
		wantField: egressRule + ".notProtocol", wantMessage: "unknown protocol"},
	"notProtocol 256": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, notProtocol: 256}`}},
		wantField: egressRule + ".notProtocol", wantMessage: "a number from 1 to 255"},

	"icmp without protocol":     {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, icmp: {type: 8}}`}}, wantField: egressRule + ".icmp", wantMessage: "icmp narrows protocol ICMP or ICMPv6"},
	"icmp with TCP":             {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: TCP, icmp: {type: 8}}`}}, wantField: egressRule + ".icmp", wantMessage: "icmp narrows protocol ICMP or ICMPv6"},
	"icmp with a number":        {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: 1, icmp: {type: 8}}`}}, wantField: egressRule + ".icmp", wantMessage: "in protocol, by name"},
	"an icmp code without type": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: ICMP, icmp: {code: 0}}`}}, wantField: egressRule + ".icmp", wantMessage: "icmp needs a type"},
	"icmp type 0":               {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: ICMP, icmp: {type: 0}}`}}},
	"icmp type 255": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: ICMP, icmp: {type: 255}}`}},
		wantField: egressRule + ".icmp.type", wantMessage: "should be less than or equal to 254"},
	"icmp code 256": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: ICMP, icmp: {type: 3, code: 256}}`}},
		wantField: egressRule + ".icmp.code", wantMessage: "should be less than or equal to 255"},

	"global() as namespaceSelector": {base: calicoBase, edits: []edit{{ingressRule + ".source.namespaceSelector", "global()"}},
		wantField: ingressRule + ".source.namespaceSelector", wantMessage: "all() for the pods of every namespace"},
	"global() with a space in namespaceSelector": {base: calicoBase, edits: []edit{{ingressRule + ".source.namespaceSelector", "has(team) || global( )"}},
		wantField: ingressRule + ".source.namespaceSelector", wantMessage: "write nets for addresses"},
	"global() as selector": {base: calicoBase, edits: []edit{{ingressRule + ".source.selector", "global()"}},
		wantField: ingressRule + ".source.selector", wantMessage: "or all() for all pods"},
	"a label named global": {base: calicoBase, edits: []edit{{ingressRule + ".source.selector", "global == 'true' && has(global)"}}},
	"an empty selector": {base: calicoBase, edits: []edit{{ingressRule + ".source.selector", `""`}},
		wantField: ingressRule + ".source.selector", wantMessage: "should be at least 1 chars long"},
	"an empty namespaceSelector": {base: calicoBase, edits: []edit{{ingressRule + ".source.namespaceSelector", `""`}},
		wantField: ingressRule + ".source.namespaceSelector", wantMessage: "should be at least 1 chars long"},
	"a selector that is a LabelSelector": {base: calicoBase, edits: []edit{{ingressRule + ".source.selector", `{matchLabels: {app: web}}`}},
		wantField: ingressRule + ".source.selector", wantMessage: "must be of type string"},
	"notNets of all IPv4": {base: calicoBase, edits: []edit{{ingressRule + ".source.notNets", "[0.0.0.0/0]"}},
		wantField: ingressRule + ".source.notNets", wantMessage: "notNets holds every address of a family"},
	"notNets of all IPv6": {base: calicoBase, edits: []edit{{ingressRule + ".source.notNets", "['::/0']"}},
		wantField: ingressRule + ".source.notNets", wantMessage: "notNets holds every address of a family"},
}

// portCases are about ports of a rule. In an ingress rule the destination is the policy's own pods, in an egress rule the source.
var portCases = map[string]ruleCase{
	"ports without protocol": {base: calicoBase, edits: []edit{{ingressRule + ".protocol", ""}},
		wantField: ingressRule + ".destination", wantMessage: "write protocol: TCP, UDP or SCTP in the rule"},
	"source ports without protocol": {base: calicoBase, edits: []edit{{ingressRule + ".protocol", ""}},
		wantField: ingressRule + ".source", wantMessage: "write protocol: TCP, UDP or SCTP in the rule"},
	"notPorts without protocol": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, destination: {notPorts: [80]}}`}},
		wantField: egressRule + ".destination", wantMessage: "ports and notPorts need a protocol that has ports"},
	"ports with notProtocol": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, notProtocol: UDP, destination: {ports: [80]}}`}},
		wantField: egressRule + ".destination", wantMessage: "and no notProtocol"},
	"ports with protocol and notProtocol": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: TCP, notProtocol: UDP, destination: {ports: [80]}}`}},
		wantField: egressRule + ".destination", wantMessage: "and no notProtocol"},
	"ports with ICMP": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: ICMP, source: {ports: [80]}}`}},
		wantField: egressRule + ".source", wantMessage: "ports and notPorts need a protocol that has ports"},
	"ports with UDPLite": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: UDPLite, destination: {ports: [80]}}`}},
		wantField: egressRule + ".destination", wantMessage: "ports and notPorts need a protocol that has ports"},
	"ports with protocol 50": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: 50, destination: {ports: [80]}}`}},
		wantField: egressRule + ".destination", wantMessage: "ports and notPorts need a protocol that has ports"},
	"ports with protocol 17": {base: calicoBase, edits: []edit{{egressRule + ".protocol", "17"}}},

	"port 0":          {base: calicoBase, edits: []edit{{egressRule + ".destination.ports", "[0]"}}},
	"port 65535":      {base: calicoBase, edits: []edit{{egressRule + ".destination.ports", "[65535]"}}},
	"port 65536":      {base: calicoBase, edits: []edit{{egressRule + ".destination.ports", "[65536]"}}, wantField: egressRule + ".destination.ports", wantMessage: "a port is outside 0 to 65535"},
	"a negative port": {base: calicoBase, edits: []edit{{egressRule + ".destination.ports", "[-1]"}}, wantField: egressRule + ".destination.ports", wantMessage: "a port is outside 0 to 65535"},
	"notPort 65536":   {base: calicoBase, edits: []edit{{egressRule + ".destination.notPorts", "[65536]"}}, wantField: egressRule + ".destination.notPorts", wantMessage: "a port is outside 0 to 65535"},
	"a quoted number": {base: calicoBase, edits: []edit{{egressRule + ".destination.ports", `["443"]`}}, wantField: egressRule + ".destination.ports[0]", wantMessage: "should match"},
	"half a range":    {base: calicoBase, edits: []edit{{egressRule + ".destination.ports", `["443:"]`}}, wantField: egressRule + ".destination.ports[0]", wantMessage: "should match"},
	"a dashed range":  {base: calicoBase, edits: []edit{{egressRule + ".destination.ports", `["8000-8100"]`}}, wantField: egressRule + ".destination.ports[0]", wantMessage: "should match"},
	"a range":         {base: calicoBase, edits: []edit{{egressRule + ".destination.ports", `["0:65535"]`}}},
	"a name that begins with a digit": {base: calicoBase, edits: []edit{{ingressRule + ".destination.ports", `["9p"]`}},
		wantField: ingressRule + ".destination.ports[0]", wantMessage: "should match"},
	"a name of 16 characters": {base: calicoBase, edits: []edit{{ingressRule + ".destination.ports", `[abcdefghijklmnop]`}},
		wantField: ingressRule + ".destination.ports[0]", wantMessage: "should match"},

	"the source's port by name in ingress": {base: calicoBase, edits: []edit{{ingressRule + ".source.ports", "[http]"}},
		wantField: policy + ".ingress", wantMessage: "a named port in an ingress rule's source.ports"},
	"the source's notPort by name in ingress": {base: calicoBase, edits: []edit{{ingressRule + ".source.notPorts", "[80, http]"}},
		wantField: policy + ".ingress", wantMessage: "a named port in an ingress rule's source.notPorts"},
	"the destination's port by name in egress": {base: calicoBase, edits: []edit{{egressRule + ".destination.ports", `["1:2", http]`}},
		wantField: policy + ".egress", wantMessage: "a named port in an egress rule's destination.ports"},
	"the destination's notPort by name in egress": {base: calicoBase, edits: []edit{{egressRule + ".destination.notPorts", "[a]"}},
		wantField: policy + ".egress", wantMessage: "a named port in an egress rule's destination.notPorts"},
	"the own notPort by name": {base: calicoBase, edits: []edit{{egressRule + ".source.notPorts", "[http]"}, {ingressRule + ".destination.notPorts", "[http]"}}},
}

// unsupportedCases are about Calico's fields that the Calico model does not have. They are in the schema so that they are not lost silently.
var unsupportedCases = map[string]ruleCase{
	"notSelector": {base: calicoBase, edits: []edit{{ingressRule + ".source.notSelector", "app == 'web'"}},
		wantField: ingressRule + ".source.notSelector", wantMessage: "notSelector is not supported"},
	"services": {base: calicoBase, edits: []edit{{egressRule + ".destination", `{services: {name: web, namespace: shop}}`}},
		wantField: egressRule + ".destination.services", wantMessage: "services is not supported"},
	"services of nothing": {base: calicoBase, edits: []edit{{egressRule + ".destination", `{services: {}}`}},
		wantField: egressRule + ".destination.services", wantMessage: "write selector and namespaceSelector of the pods behind it"},
	"serviceAccounts": {base: calicoBase, edits: []edit{{ingressRule + ".source.serviceAccounts", `{names: [web], selector: has(team)}`}},
		wantField: ingressRule + ".source.serviceAccounts", wantMessage: "serviceAccounts is not supported"},
	"http": {base: calicoBase, edits: []edit{{ingressRule + ".http", `{methods: [GET], paths: [{exact: /a}, {prefix: /b}]}`}},
		wantField: ingressRule + ".http", wantMessage: "http is not supported"},
	"notICMP": {base: calicoBase, edits: []edit{{egressRule, `{action: Allow, protocol: ICMP, notICMP: {type: 8, code: 0}}`}},
		wantField: egressRule + ".notICMP", wantMessage: "notICMP is not supported"},
	"ipVersion": {base: calicoBase, edits: []edit{{egressRule + ".ipVersion", "4"}},
		wantField: egressRule + ".ipVersion", wantMessage: "ipVersion is not supported"},
}
