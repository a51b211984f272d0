package apply

import (
	"errors"
	"fmt"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/compile"
)

// ErrNotOwned says that an object was handed in that does not carry our own owner label: a fault in the program, not in the cluster.
var ErrNotOwned = errors.New("object does not carry the owner label of this operator")

// ErrKindNotServed says that the cluster does not serve a kind that an object needs.
var ErrKindNotServed = errors.New("the cluster's Calico API does not serve this kind, so what stands there stays in force: install a version of Calico that has it")

// ErrReplaced says that an object is not the one that was seen before. That is ordinary on the right cluster, and the sign of another one.
var ErrReplaced = errors.New("it is gone since it was seen, or another object has taken its place")

// ErrForbidden says that the credential lacks a right. The API server's answer, which follows it, names the verb and the resource.
var ErrForbidden = errors.New("the operator's account there lacks a right, which config/member-rbac grants: apply that in the cluster")

// ErrFieldNotServed says that the cluster's schema of a kind lacks a field that an object needs.
var ErrFieldNotServed = errors.New("the CustomResourceDefinition there lacks a field that is needed, so what stands there stays in force: bring the definitions of the cluster's Calico up to date")

// OwnershipConflictError says that an object of a name that we need is there and is not ours. It is never touched.
type OwnershipConflictError struct {
	// Key is the object.
	Key compile.Key
	// Owner is the owner ID that the object carries; empty when it carries none.
	Owner string
	// Managers are the field managers of the object but our own name, the one that acted last first.
	Managers []string
	// Stripped is the owner ID that the object lost, as far as can be told: it carries none, but the hash of content that only an operator writes. Empty if
	// that is not so.
	Stripped string
}

// Error says what is in the way and what to do about it.
func (e *OwnershipConflictError) Error() string {
	whose := "carries no label " + mcnv1alpha1.OwnerLabel
	if e.Stripped != "" {
		return e.stripped()
	}
	if e.Owner != "" {
		whose = fmt.Sprintf("belongs to owner %q", e.Owner)
	}
	if len(e.Managers) > 0 {
		whose += fmt.Sprintf(" and is managed by %q", e.Managers)
	}
	return fmt.Sprintf("%s %q is in the way: it %s, so it is left alone; rename or delete it, or run with its --owner-id to adopt it",
		e.Key.Kind, e.Key.Name, whose)
}

// plurals are what kubectl calls our kinds.
var plurals = map[string]string{
	KindTier: "tiers", KindPolicy: "globalnetworkpolicies", KindStaged: "stagedglobalnetworkpolicies", KindSet: "globalnetworksets", KindPool: "ippools",
}

// stripped is the message about an object that was ours until somebody took the label away.
func (e *OwnershipConflictError) stripped() string {
	stands := "it stays as it is meanwhile"
	sure := ""
	switch e.Key.Kind {
	case KindSet:
		stands = "its addresses are not updated meanwhile"
	case KindTier:
		stands = "nothing is written to this cluster meanwhile, and no set is updated"
		sure = ", if no other hub writes here" // its name says nothing of the owner
	}
	who := ""
	if len(e.Managers) > 0 {
		who = fmt.Sprintf(" (it is managed by %q too)", e.Managers)
	}
	return fmt.Sprintf("%s %q has lost its label %s%s, so it is left alone: %s; put the label back in this cluster%s, with: "+
		"kubectl label %s.%s %s %s=%s; or delete the object, and it is written anew",
		e.Key.Kind, e.Key.Name, mcnv1alpha1.OwnerLabel, who, stands, sure, plurals[e.Key.Kind], calicoGroup, e.Key.Name, mcnv1alpha1.OwnerLabel, e.Stripped)
}

// IsOwnershipConflict tells whether an error, or one that it wraps, is an OwnershipConflictError.
func IsOwnershipConflict(err error) bool {
	var conflict *OwnershipConflictError
	return errors.As(err, &conflict)
}
