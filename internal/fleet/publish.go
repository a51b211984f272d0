package fleet

import (
	"context"
	"encoding/json"
	"reflect"

	"k8s.io/client-go/rest"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/gather"
)

// maxVersion bounds what a member can make the hub store as its version.
const maxVersion = 64

// publisher takes what a view sees into the fleet. Its caller's goroutine alone uses it.
type publisher struct {
	session *session
	conn    *connection
	view    *view
	// ctx is that of the connection.
	ctx context.Context
	// version is the API server's.
	version string
	// published says that a complete view was, and last what it was.
	published bool
	last      gather.Facts
	// connection is what others are given, once there is a complete view.
	connection *Connection
	// suspended says that nothing is published because the credential is refused.
	suspended bool
	// credentialProblem says what is wrong with a credential that is registered and not used.
	credentialProblem string
	// stale says that the fleet has to be told even if the facts are those of before.
	stale bool
}

// publish reads what changed, if the view is complete, and makes it known.
//
// This is the place for judgement on a view before it is believed, such as on one that lost much at once; for pods, which do not pass here, it is podStore.Replace.
func (p *publisher) publish() {
	if p.suspended || !p.view.complete(p.ctx) {
		return
	}
	p.view.readChanged(p.ctx)
	facts := p.view.gatherer.Facts()
	facts.Member.KubernetesVersion = p.version
	facts.Member.Calico.Version = truncate(facts.Member.Calico.Version, maxVersion)
	if p.credentialProblem != "" {
		facts.Problems = append([]string{p.credentialProblem}, facts.Problems...)
	}
	if p.published && !p.stale && reflect.DeepEqual(p.last, facts) {
		return
	}
	first := !p.published
	p.published, p.last, p.stale = true, facts, false
	if first {
		p.connection = &Connection{ClusterID: p.conn.id, Client: p.conn.client, Cluster: p.view.cluster, ctx: p.ctx, view: p.view}
	}
	p.session.fleet.update(p.session, func(m *member) bool {
		if m.state.DuplicateOf != "" {
			return false // an older registration took the cluster; this connection is about to end
		}
		if first {
			p.session.log.Info("Member is reachable", "clusterID", p.conn.id, "kubernetesVersion", p.version, "calicoAPI", facts.Member.Calico.API)
			p.session.fleet.engageLocked(p.session.name, p.connection)
		}
		m.conn, m.facts = p.connection, facts
		m.facts.Member.ClusterID = m.pinned
		p.session.fleet.nameLocked(m)
		p.session.fleet.locateLocked(m)
		m.state.Reachable, m.state.Synced, m.state.Seen, m.state.StaleSince = true, true, true, nil
		m.state.Reason, m.state.Message = mcnv1alpha1.ReasonConnected, "connected to the cluster and watching it"
		m.state.CalicoReady, m.state.CalicoReason, m.state.CalicoMessage = facts.Health.Ready, facts.Health.Reason, facts.Health.Message
		m.state.OwnPools, m.state.Problems = facts.OwnPools, p.session.fleet.problems(m)
		return true
	})
	if first {
		// One that came after its kind began to be watched, and before the connection was known.
		p.view.applyIndexes(p.ctx)
	}
}

// recount looks anew whether pods have addresses in the pod CIDRs, which status tells where none has.
func (p *publisher) recount() {
	if !p.published || p.suspended {
		return
	}
	p.session.fleet.update(p.session, func(m *member) bool {
		if m.state.Reachable {
			m.state.Problems = p.session.fleet.problems(m)
		}
		return false
	})
}

// resume brings a member back into sight whose credential was refused for a while.
func (p *publisher) resume() {
	if p.suspended {
		p.suspended, p.stale = false, true
		p.session.log.Info("Member is reachable again, with its watches as they were")
		p.publish()
	}
}

// setCredentialProblem says what is wrong with the registered credential; "" if nothing is.
func (p *publisher) setCredentialProblem(problem string) {
	if p.credentialProblem != problem {
		p.credentialProblem = problem
		p.publish()
	}
}

func truncate(text string, most int) string {
	if len(text) > most {
		return text[:most]
	}
	return text
}

// getJSON reads a path that is no resource.
func getJSON(ctx context.Context, c rest.Interface, path string, into any) error {
	body, err := c.Get().AbsPath(path).Do(ctx).Raw()
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}
