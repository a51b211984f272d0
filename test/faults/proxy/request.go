package proxy

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Request is one request that came to a proxy, in the words of RBAC.
type Request struct {
	// Seq numbers the requests of a proxy, from 1.
	Seq int
	// At is when it came.
	At time.Time
	// Verb is get, list, watch, create, update, patch, delete or deletecollection; for what is no resource the HTTP method in lower case.
	Verb string
	// Group, Resource, Subresource, Namespace and Name say of what. Resource is empty where Path is no resource's.
	Group, Resource, Subresource, Namespace, Name string
	// Path is the URL's.
	Path string
	// DryRun says that the server keeps nothing of it.
	DryRun bool
	// Code is that of the answer; 0 while there is none, and if there never was.
	Code int
	// Fault names what was done to it, empty if nothing.
	Fault string
	// Underway is how many requests were being served when it came, itself included; watches do not count.
	Underway int
}

// Verbs that change something.
func writeVerbs() []string {
	return []string{"create", "update", "patch", "delete", "deletecollection"}
}

// parse reads a request as kube-apiserver does.
func parse(r *http.Request) Request {
	out := Request{At: time.Now(), Path: r.URL.Path, Verb: strings.ToLower(r.Method), DryRun: r.URL.Query().Has("dryRun")}
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		parts = parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		out.Group, parts = parts[1], parts[3:]
	default:
		return out
	}
	if parts[0] == "namespaces" && len(parts) >= 3 && parts[2] != "status" && parts[2] != "finalize" {
		out.Namespace, parts = parts[1], parts[2:]
	}
	out.Resource = parts[0]
	if len(parts) > 1 {
		out.Name = parts[1]
	}
	if len(parts) > 2 {
		out.Subresource = strings.Join(parts[2:], "/")
	}
	out.Verb = verbOf(r, out.Name)
	return out
}

func verbOf(r *http.Request, name string) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if watch := r.URL.Query().Get("watch"); watch == "true" || watch == "1" {
			return "watch"
		}
		if name == "" {
			return "list"
		}
		return "get"
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodDelete:
		if name == "" {
			return "deletecollection"
		}
	}
	return strings.ToLower(r.Method)
}

// Match picks requests. An empty field picks all.
type Match struct {
	// Verbs as in Request.
	Verbs []string
	// Resources are plural names.
	Resources []string
	// Group is the API group; "core" is that without a name.
	Group string
	// Name is the object's, Namespace its namespace.
	Name, Namespace string
	// Path is how the URL's path begins, for what is no resource.
	Path string
}

// Writes picks all requests that change something, of the given resources; of all if there are none.
func Writes(resources ...string) Match { return Match{Verbs: writeVerbs(), Resources: resources} }

// Lists picks lists of the given resources; of all if there are none.
func Lists(resources ...string) Match { return Match{Verbs: []string{"list"}, Resources: resources} }

// Watches picks watches of the given resources; of all if there are none.
func Watches(resources ...string) Match {
	return Match{Verbs: []string{"watch"}, Resources: resources}
}

func (m *Match) matches(r *Request) bool {
	return (len(m.Verbs) == 0 || slices.Contains(m.Verbs, r.Verb)) &&
		(len(m.Resources) == 0 || slices.Contains(m.Resources, r.Resource)) &&
		(m.Group == "" || m.Group == r.Group || (m.Group == "core" && r.Group == "" && r.Resource != "")) &&
		(m.Name == "" || m.Name == r.Name) && (m.Namespace == "" || m.Namespace == r.Namespace) &&
		strings.HasPrefix(r.Path, m.Path)
}
