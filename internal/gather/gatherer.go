package gather

import (
	"context"
	"errors"
	"fmt"
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

// New returns a Gatherer that reads through reader.
func New(reader client.Reader) *Gatherer {
	return &Gatherer{reader: reader, others: map[Kind][]unstructured.Unstructured{}, problems: map[Kind]string{}}
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
			g.problems[k] = Problem("list", k, err)
		}
	}
}

// Forget drops what was read of kinds that the cluster no longer serves.
func (g *Gatherer) Forget(kinds ...Kind) {
	for _, k := range kinds {
		delete(g.others, k)
		delete(g.problems, k)
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

// HasInstallation says whether the Tigera operator's kind Installation is served.
func (g *Gatherer) HasInstallation() bool {
	return slices.ContainsFunc(g.others[CRDs], func(crd unstructured.Unstructured) bool { return crd.GetName() == "installations."+operatorGroup })
}

// Facts converts what was read.
func (g *Gatherer) Facts() Facts {
	m := snapshot.Member{ClusterID: ClusterID(g.namespaces)}
	m.Cloud = Cloud(g.nodes)
	m.NodeAddresses = NodeAddresses(g.nodes)
	m.Namespaces = NamespaceSection(g.namespaces)
	m.DNS = DNS(g.services)
	m.APIBackends = APIBackends(g.services, g.others[ValidatingWebhooks], g.others[MutatingWebhooks], g.others[CRDs], g.others[APIServices])

	m.Calico.API = g.API()
	info, felix, pools := g.others[ClusterInformations], g.others[FelixConfigurations], g.others[IPPools]
	problem := g.problems[ClusterInformations]
	if m.Calico.API == mcnv1alpha1.CalicoAPIStorageOnly {
		info, felix, pools = g.others[storedClusterInformations], g.others[storedFelixConfigurations], g.others[storedIPPools]
	}
	var ours int
	m.Pools, ours = Pools(pools)
	m.Calico.Version = CalicoVersion(info, g.others[Installations])
	m.Calico.CNI = CNI(g.others[Installations], g.others[DaemonSets], pools, m.Cloud.Provider)
	if m.Calico.API != mcnv1alpha1.CalicoAPINone && m.Calico.API != "" {
		m.Calico.Dataplane = Dataplane(g.others[Installations], felix)
	}
	m.Sets = NetworkSetSection(g.others[GlobalNetworkSets], g.others[NetworkSets])
	m.Policies = PolicySection(g.others[GlobalNetworkPolicies], g.others[NetworkPolicies])
	discoverPodCIDRs(&m, g.nodes)

	m.Pods = g.facts.Member.Pods
	if g.podsRead || m.Calico.CNI != g.facts.Member.Calico.CNI {
		m.Pods = PodSection(g.pods, m.Calico.CNI == CNICalico)
		g.podsRead = false
	}
	g.facts = Facts{
		Member: m, OwnPools: ours, Problems: g.problemList(),
		Health: calicoHealth(m.Calico.API, g.others[APIServices], info, problem),
	}
	return g.facts
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
	g := New(reader)
	g.Read(ctx, BaseKinds()...)
	for _, k := range BaseKinds() {
		if problem := g.problems[k]; k.Required && problem != "" {
			return Facts{}, errors.New(problem)
		}
	}
	g.Read(ctx, CalicoKinds(g.API())...)
	if g.HasInstallation() {
		g.Read(ctx, Installations)
	}
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
	if errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "Client.Timeout") {
		return fmt.Sprintf("cannot %s %s: no answer in time", verb, k.GroupResource())
	}
	return fmt.Sprintf("cannot %s %s: the API server cannot be asked", verb, k.GroupResource())
}
