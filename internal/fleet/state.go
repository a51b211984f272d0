package fleet

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// State is the health of one member. It changes on transitions only; nothing in it ticks.
type State struct {
	// Generation is the generation of the MemberCluster that was registered last.
	Generation int64
	// Reachable says that the member is connected, is the cluster that it should be, and has a view that is complete and live.
	Reachable bool
	// Synced says that there has been a complete view since this process started. Until then the member's absence from a snapshot's lists means nothing:
	// remove nothing because of it.
	Synced bool
	// Seen says that there has been a complete view at any time: in this process or, as the MemberCluster's status tells, in a former one.
	Seen bool
	// Reason and Message say why the member is reachable or not.
	Reason  mcnv1alpha1.Reason
	Message string
	// StaleSince is when sight of the member was lost; nil while it is seen, and until it first was.
	StaleSince *metav1.Time
	// ClusterID is the ID that the member is pinned to; empty before it is known.
	ClusterID string
	// DuplicateOf is the older registration of the same cluster, if there is one.
	DuplicateOf string
	// CalicoReady says whether Calico takes policies; CalicoReason is Connecting while nobody knows.
	CalicoReady   bool
	CalicoReason  mcnv1alpha1.Reason
	CalicoMessage string
	// OwnPools is the number of IP pools of ours on the member.
	OwnPools int
	// Problems name the kinds that cannot be read, and why, and what is wrong with the pod CIDRs.
	Problems []string
}

// Connection is a way to a member that was reachable when it was asked for.
type Connection struct {
	// ClusterID is the ID that was verified when the connection was made.
	ClusterID string
	// Client asks the API server directly. It reads no cache.
	Client client.Client
	// Cluster is the connection as controller-runtime, and with it multicluster-runtime, sees it. Its cache holds stripped objects, of the kinds that the
	// fleet watches and no others. Its HTTP client has no timeout that would cut a watch.
	Cluster cluster.Cluster

	ctx  context.Context
	view *view
}

// Prove asks whether the cluster that answers is still the one that was connected to, with one small request. Between two probes another one may come to
// answer under the member's address; the probe that ends the connection comes at once then.
func (c *Connection) Prove(ctx context.Context) error {
	err := c.view.sameCluster(ctx)
	if errors.Is(err, errOtherCluster) {
		signal(c.view.suspect)
	}
	return err
}

// Context ends when the connection does. What is written after that may go to nobody. A credential that changes does not end it: the new one is proven to lead to
// the same cluster before it is used.
func (c *Connection) Context() context.Context { return c.ctx }
