package gather

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/snapshot"
)

// ErrNotRead is what a reader returns for a kind that it has not finished reading. It is no problem to report: what was known before stays.
var ErrNotRead = errors.New("not read yet")

// ErrTooLarge is why an answer was not read to its end.
var ErrTooLarge = errors.New("the answer is larger than is taken")

// ErrNoList is why an answer to a list is not believed.
var ErrNoList = errors.New("the answer is no list of the kind that was asked for")

// ReadError says which verb a reader could not carry out; other errors are of a list.
type ReadError struct {
	Verb string
	Err  error
}

// Error implements error.
func (e *ReadError) Error() string { return e.Verb + ": " + e.Err.Error() }

// Unwrap implements errors.Unwrap's interface.
func (e *ReadError) Unwrap() error { return e.Err }

// Facts is what is known of one cluster. It is immutable.
type Facts struct {
	// Member has everything but what the MemberCluster says: Name, Labels, Role, Domain, SourceNAT are empty, and PodCIDRs are the discovered ones.
	Member snapshot.Member
	// Health is whether Calico takes policies.
	Health CalicoHealth
	// OwnPools is the number of IP pools that carry our owner label.
	OwnPools int
	// Problems name what could not be read, and why; sorted.
	Problems []string
}

// Gatherer reads a cluster into Facts, kind by kind, and keeps what it read. It is not safe for concurrent use.
type Gatherer struct {
	reader client.Reader

	pods       []corev1.Pod
	namespaces []corev1.Namespace
	nodes      []corev1.Node
	services   []corev1.Service
	// others holds the lists of all other kinds; a kind that was never read has none.
	others   map[Kind][]unstructured.Unstructured
	problems map[Kind]string
	// podsRead says that pods are newer than facts.Member.Pods.
	podsRead bool
	facts    Facts
}

// New returns a Gatherer that reads through reader. What it cannot read stays as it was in last.
func New(reader client.Reader, last Facts) *Gatherer {
	return &Gatherer{reader: reader, others: map[Kind][]unstructured.Unstructured{}, problems: map[Kind]string{}, facts: last}
}

// Read reads these kinds anew. What cannot be read keeps its last content and is named in Facts.Problems.
func (g *Gatherer) Read(ctx context.Context, kinds ...Kind) {
	for _, k := range kinds {
		err := g.readKind(ctx, k)
		switch {
		case err == nil:
			delete(g.problems, k)
		case errors.Is(err, ErrNotRead):
		default:
			verb := "list"
			var readErr *ReadError
			if errors.As(err, &readErr) {
				verb = readErr.Verb
			}
			g.problems[k] = Problem(verb, k, err)
		}
	}
}

// readOnly spares the cache a copy of every object; nothing here changes what it reads.
var readOnly = client.UnsafeDisableDeepCopy

func (g *Gatherer) readKind(ctx context.Context, k Kind) error {
	switch k {
	case Pods:
		var list corev1.PodList
		if err := g.reader.List(ctx, &list, readOnly); err != nil {
			return err
		}
		g.pods, g.podsRead = list.Items, true
	case Namespaces:
		var list corev1.NamespaceList
		if err := g.reader.List(ctx, &list, readOnly); err != nil {
			return err
		}
		g.namespaces = list.Items
	case Nodes:
		var list corev1.NodeList
		if err := g.reader.List(ctx, &list, readOnly); err != nil {
			return err
		}
		g.nodes = list.Items
	case Services:
		var list corev1.ServiceList
		if err := g.reader.List(ctx, &list, readOnly); err != nil {
			return err
		}
		g.services = list.Items
	default:
		return g.readOther(ctx, k)
	}
	return nil
}

func (g *Gatherer) readOther(ctx context.Context, k Kind) error {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(k.GroupVersion().WithKind(k.Kind + "List"))
	options := []client.ListOption{readOnly}
	if k.Namespace != "" {
		options = append(options, client.InNamespace(k.Namespace))
	}
	if err := g.reader.List(ctx, &list, options...); err != nil {
		return err
	}
	if list.Items == nil {
		list.Items = []unstructured.Unstructured{}
	}
	g.others[k] = list.Items
	return nil
}

// API says what serves Calico's API, from what was read so far; "" if that does not tell.
func (g *Gatherer) API() mcnv1alpha1.CalicoAPI {
	if api := CalicoAPI(g.others[APIServices], g.others[CRDs]); api != "" {
		return api
	}
	return g.facts.Member.Calico.API
}

// Optional returns those of OptionalKinds that are served, as far as CRDs tell: the Tigera operator's Installation, and Calico's DatastoreMigration.
func (g *Gatherer) Optional() (out []Kind) {
	for _, crd := range g.others[CRDs] {
		switch crd.GetName() {
		case "installations." + operatorGroup:
			out = append(out, Installations)
		case migrations.GroupResource():
			out = append(out, migrationKind(&crd))
		}
	}
	return out
}

// Facts converts what was read. Of kinds that were never read it repeats what was known before.
func (g *Gatherer) Facts() Facts {
	last := &g.facts.Member
	m := snapshot.Member{ClusterID: ClusterID(g.namespaces), KubernetesVersion: last.KubernetesVersion}
	m.Cloud = Cloud(g.nodes)
	m.NodeAddresses = NodeAddresses(g.nodes)
	m.Namespaces = NamespaceSection(g.namespaces)
	m.DNS = DNS(g.services)
	m.APIBackends = g.apiBackends()
	m.APIServer, m.APIServerEndpoints = APIServer(g.services), last.APIServerEndpoints
	if g.have(EndpointSlices) {
		m.APIServerEndpoints = APIServerEndpoints(g.others[EndpointSlices])
	}
	ownPools := g.calico(&m)
	m.Sets, m.Policies = last.Sets, last.Policies
	if g.have(GlobalNetworkSets, NetworkSets) {
		m.Sets = NetworkSetSection(g.others[GlobalNetworkSets], g.others[NetworkSets])
	}
	if g.have(GlobalNetworkPolicies, NetworkPolicies) {
		m.Policies = PolicySection(g.others[GlobalNetworkPolicies], g.others[NetworkPolicies])
	}
	m.Pods = last.Pods
	if g.podsRead {
		m.Pods = PodSection(g.pods)
		g.podsRead = false
	}
	g.facts = Facts{
		Member: m, OwnPools: ownPools, Problems: g.problemList(),
		Health: calicoHealth(calicoFacts{
			api: m.Calico.API, apiServices: g.others[APIServices], info: g.others[ClusterInformations], problem: g.problems[ClusterInformations],
			migrations: slices.Concat(g.others[migrations], g.others[migrationsBeta]),
		}),
	}
	return g.facts
}

// have says whether all of these kinds were read.
func (g *Gatherer) have(kinds ...Kind) bool {
	return !slices.ContainsFunc(kinds, func(k Kind) bool { return g.others[k] == nil })
}

// apiBackends returns the API server's backends; where a kind that names them was not read, with those that were known before.
func (g *Gatherer) apiBackends() []snapshot.Service {
	out := APIBackends(g.services, g.others[ValidatingWebhooks], g.others[MutatingWebhooks], g.others[CRDs], g.others[APIServices])
	if g.have(ValidatingWebhooks, MutatingWebhooks, CRDs, APIServices) {
		return out
	}
	for _, before := range g.facts.Member.APIBackends {
		if !slices.ContainsFunc(out, func(s snapshot.Service) bool { return s.Namespace == before.Namespace && s.Name == before.Name }) {
			out = append(out, before)
		}
	}
	return sortServices(out)
}

// calico fills in what is known of Calico, its pools and the pod CIDRs, and returns how many pools are ours.
func (g *Gatherer) calico(m *snapshot.Member) (ownPools int) {
	last := &g.facts.Member
	m.Calico.API = g.API()
	infoKind, felixKind, poolKind := ClusterInformations, FelixConfigurations, IPPools
	if m.Calico.API == mcnv1alpha1.CalicoAPIStorageOnly {
		infoKind, felixKind, poolKind = storedClusterInformations, storedFelixConfigurations, storedIPPools
	}
	installations, pools := g.others[Installations], g.others[poolKind]
	hasCalico := m.Calico.API != mcnv1alpha1.CalicoAPINone
	m.Calico.CNI = CNI(installations, g.others[DaemonSets], pools, m.Cloud.Provider)
	m.Calico.Version = CalicoVersion(g.others[infoKind], installations)
	if hasCalico && m.Calico.API != "" {
		m.Calico.Dataplane = Dataplane(installations, g.others[felixKind])
	}
	m.Pools, ownPools = Pools(pools)
	if !hasCalico || pools != nil {
		discoverPodCIDRs(m, g.nodes)
	} else {
		m.Calico.CNI = cmp.Or(m.Calico.CNI, last.Calico.CNI)
		m.Pools, ownPools = last.Pools, g.facts.OwnPools
		discoverPodCIDRs(m, g.nodes)
		// Without pools the nodes may tell only a part.
		m.PodCIDRs = sortPrefixes(slices.Concat(m.PodCIDRs, last.PodCIDRs))
	}
	if hasCalico && !g.have(infoKind) {
		m.Calico.Version = cmp.Or(m.Calico.Version, last.Calico.Version)
	}
	if hasCalico && !g.have(felixKind) && installations == nil {
		m.Calico.Dataplane = cmp.Or(last.Calico.Dataplane, m.Calico.Dataplane)
	}
	return ownPools
}

func (g *Gatherer) problemList() []string {
	var out []string
	for _, problem := range g.problems {
		out = append(out, problem)
	}
	slices.Sort(out)
	return out
}

// ClusterID is the UID of the kube-system namespace.
func ClusterID(namespaces []corev1.Namespace) string {
	for i := range namespaces {
		if namespaces[i].Name == "kube-system" {
			return string(namespaces[i].UID)
		}
	}
	return ""
}

// Cluster reads a whole cluster once, through a client that asks the API server. Kinds that cannot be read are named in Facts.Problems; the error
// is that of a required kind.
func Cluster(ctx context.Context, reader client.Reader) (Facts, error) {
	g := New(reader, Facts{})
	g.Read(ctx, BaseKinds()...)
	for _, k := range BaseKinds() {
		if problem := g.problems[k]; k.Required && problem != "" {
			return Facts{}, errors.New(problem)
		}
	}
	g.Read(ctx, CalicoKinds(g.API())...)
	g.Read(ctx, g.Optional()...)
	return g.Facts(), nil
}

// Problem says that a kind cannot be read, why, and what to do. It holds nothing that changes from one try to the next.
func Problem(verb string, k Kind, err error) string {
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Sprintf("cannot %s %s: forbidden; grant get, list and watch on %s to the operator's account on the member", verb, k.GroupResource(), k.GroupResource())
	case meta.IsNoMatchError(err) || apierrors.IsNotFound(err):
		return fmt.Sprintf("cannot %s %s: the API server does not serve it", verb, k.GroupResource())
	}
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Reason != "" {
		return fmt.Sprintf("cannot %s %s: the API server answers %s", verb, k.GroupResource(), status.Status().Reason)
	}
	if errors.Is(err, ErrTooLarge) {
		return fmt.Sprintf("cannot %s %s: the answer is larger than is taken; raise the operator's --max-response if the cluster is that large", verb, k.GroupResource())
	}
	if errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "Client.Timeout") {
		return fmt.Sprintf("cannot %s %s: no answer in time", verb, k.GroupResource())
	}
	var path *url.Error
	if verb == "list" && !errors.As(err, &path) {
		return fmt.Sprintf("cannot list %s: what is answered is no such list; check that the kubeconfig's server is an API server, and what stands on the path to it", k.GroupResource())
	}
	return fmt.Sprintf("cannot %s %s: the API server cannot be asked; check the path to it", verb, k.GroupResource())
}
