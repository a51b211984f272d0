package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

const policy = `{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkPolicy","metadata":{"name":"multicloud.api-p-1"},"spec":{` +
	`"tier":"multicloud","order":2000,"types":["Ingress"],"namespaceSelector":"all()","selector":"tier == 'api'",` +
	`"ingress":[{"action":"Allow","protocol":"TCP","source":{"namespaceSelector":"global()","selector":"g == 'x'"},"destination":{"ports":[80,"81:90"]}}]}}`

func TestAnswersSayWhatIsWrong(t *testing.T) {
	for _, test := range []struct{ name, object, old, new, want string }{
		{"a valid policy", policy, "", "", ""},
		{"a staged policy", policy, `"kind":"Global`, `"kind":"StagedGlobal`, ""},
		{"an unknown field", policy, `"order":2000`, `"ordre":2000`, `unknown field "spec.ordre"`},
		{"a field in the wrong case", policy, `"order":2000`, `"Order":2000`, `unknown field "spec.Order"`},
		{"a selector that does not parse", policy, `"selector":"g == 'x'"`, `"selector":"g = 'x'"`, "ingress[0].source.selector"},
		{"a namespace selector that does not parse", policy, `"namespaceSelector":"all()"`, `"namespaceSelector":"all("`, "spec.namespaceSelector"},
		{"a name outside its tier", policy, `multicloud.api-p-1`, `other.api-p-1`, "Incorrectly formatted policy name"},
		{"a name with two dots", policy, `multicloud.api-p-1`, `multicloud.api.p`, "must consist of"},
		{"a tier that is not sent", policy, `"tier":"multicloud",`, ``, "spec.tier is missing"},
		{"types that stand twice", policy, `["Ingress"]`, `["Ingress","Ingress"]`, "stands twice"},
		{"ports without a protocol", policy, `"protocol":"TCP",`, ``, "rules that specify ports must set protocol"},
		{"a net with host bits", policy, `"selector":"g == 'x'"`, `"nets":["10.0.0.1/8"]`, "10.0.0.1/8"},
		{"a net that is none", policy, `"selector":"g == 'x'"`, `"nets":["10.0.0.300"]`, "10.0.0.300"},
		{"a label that is none", policy, `"metadata":{`, `"metadata":{"labels":{"a":"b c"},`, "metadata.labels"},
		{"another API version", policy, `projectcalico.org/v3`, `projectcalico.org/v1`, "not a kind"},
		{"a tier", `{"apiVersion":"projectcalico.org/v3","kind":"Tier","metadata":{"name":"multicloud"},"spec":{"order":500,"defaultAction":"Pass"}}`, "", "", ""},
		{"a set", `{"apiVersion":"projectcalico.org/v3","kind":"GlobalNetworkSet","metadata":{"name":"mcn-1","labels":{"g":"x"}},"spec":{"nets":["10.0.0.1/32","fd00::/64"]}}`, "", "", ""},
		{"a disabled pool", `{"apiVersion":"projectcalico.org/v3","kind":"IPPool","metadata":{"name":"mcn-remote-1"},"spec":{"cidr":"10.1.0.0/16","disabled":true,"nodeSelector":"all()"}}`, "", "", ""},
		{"a pool that is smaller than its blocks", `{"apiVersion":"projectcalico.org/v3","kind":"IPPool","metadata":{"name":"p"},"spec":{"cidr":"10.1.0.0/28"}}`, "", "", "size is too small"},
		{"no JSON", `{`, "", "", "not a JSON object"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, problems := check([]byte(strings.Replace(test.object, test.old, test.new, 1)))
			switch all := strings.Join(problems, "\n"); {
			case test.want == "" && len(problems) > 0:
				t.Errorf("refused: %s", all)
			case !strings.Contains(all, test.want):
				t.Errorf("got %q, want something with %q", all, test.want)
			}
		})
	}
}

func TestEveryLineHasItsAnswerInOrder(t *testing.T) {
	var out bytes.Buffer
	input := policy + "\n\n{\n" + strings.Replace(policy, "api-p-1", "api-p-2", 1) // the last line has no end
	if err := serve(strings.NewReader(input), &out); err != nil {
		t.Fatal(err)
	}
	want := []string{"multicloud.api-p-1", "", "multicloud.api-p-2"}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("got %d answers, want %d: %s", len(lines), len(want), out.String())
	}
	for i, line := range lines {
		var got answer
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		if got.Name != want[i] || (len(got.Errors) == 0) != (want[i] != "") || got.Errors == nil {
			t.Errorf("answer %d is %s, want name %q", i, line, want[i])
		}
	}
}
