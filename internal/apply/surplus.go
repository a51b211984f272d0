package apply

import (
	"fmt"
	"maps"
	"slices"
)

// decisive are the fields of policies, of their rules and of sets that say what is matched and what is done. No server fills them in, so that one which we did
// not write is somebody's: it narrows a denial, for example. Fields that are not named here may come from a server that is newer than this list.
var decisive = map[string]bool{
	"namespaceSelector": true, "selector": true, "serviceAccountSelector": true, "order": true,
	"ingress": true, "egress": true, "doNotTrack": true, "preDNAT": true, "applyOnForward": true,
	"ipVersion": true, "protocol": true, "notProtocol": true, "icmp": true, "notICMP": true, "http": true, "source": true, "destination": true,
	"nets": true, "notNets": true, "notSelector": true, "ports": true, "notPorts": true, "services": true, "serviceAccounts": true,
	"type": true, "code": true, "methods": true, "paths": true, "name": true, "names": true, "namespace": true,
}

// surplus names the first decisive field, in the order of names, that a live policy or set has and that is not wanted; empty if there is none. Both specs are
// without empties, and live covers wanted.
func surplus(kind string, live, want any) string {
	switch kind {
	case KindPolicy, KindStaged, KindSet:
		return surplusAt("spec", live, want)
	}
	return ""
}

func surplusAt(path string, live, want any) string {
	switch l := live.(type) {
	case map[string]any:
		w, _ := want.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(l)) {
			wanted, has := w[name]
			switch {
			case !has && decisive[name] && !zero(l[name]):
				return path + "." + name
			case has:
				if found := surplusAt(path+"."+name, l[name], wanted); found != "" {
					return found
				}
			}
		}
	case []any:
		w, _ := want.([]any)
		for i := range min(len(l), len(w)) {
			if found := surplusAt(fmt.Sprintf("%s[%d]", path, i), l[i], w[i]); found != "" {
				return found
			}
		}
	}
	return ""
}

// zero tells whether a scalar means the same as nothing. The number 0 does not: it is a code of ICMP.
func zero(v any) bool { return v == "" || v == false }
