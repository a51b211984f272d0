package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// secretBench is a SecretReconciler on a hub of memory, with one Secret and a clock that stands still.
type secretBench struct {
	*SecretReconciler
	t     *testing.T
	clock time.Time
	key   client.ObjectKey
}

func newSecretBench(t *testing.T, members ...client.Object) *secretBench {
	t.Helper()
	scheme := runtime.NewScheme()
	requireNoError(t, clientgoscheme.AddToScheme(scheme))
	requireNoError(t, mcnv1alpha1.AddToScheme(scheme))
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: memberNamespace, Name: "shared", UID: "first"}}
	b := &secretBench{t: t, clock: time.Unix(5000, 0), key: client.ObjectKeyFromObject(secret)}
	b.SecretReconciler = &SecretReconciler{
		Client:    fake.NewClientBuilder().WithScheme(scheme).WithObjects(secret).WithObjects(members...).Build(),
		Namespace: memberNamespace, Barrier: 30 * time.Second, Now: func() time.Time { return b.clock },
	}
	return b
}

// look reconciles and tells what became of the Secret: held, free or gone.
func (b *secretBench) look() string {
	b.t.Helper()
	_, err := b.Reconcile(b.t.Context(), ctrl.Request{NamespacedName: b.key})
	requireNoError(b.t, err)
	var secret corev1.Secret
	if err := b.Get(b.t.Context(), b.key, &secret); apierrors.IsNotFound(err) {
		return "gone"
	}
	if slices.Contains(secret.Finalizers, mcnv1alpha1.CleanupFinalizer) {
		return "held"
	}
	return "free"
}

func (b *secretBench) expect(want, when string) {
	b.t.Helper()
	if got := b.look(); got != want {
		b.t.Errorf("%s the Secret is %s, want %s", when, got, want)
	}
}

// edit changes a MemberCluster.
func (b *secretBench) edit(name string, change func(*mcnv1alpha1.MemberCluster)) {
	b.t.Helper()
	var m mcnv1alpha1.MemberCluster
	requireNoError(b.t, b.Get(b.t.Context(), client.ObjectKey{Name: name}, &m))
	change(&m)
	requireNoError(b.t, b.Update(b.t.Context(), &m))
}

// finalized is a member with our finalizer that names the Secret.
func finalized(name string) *mcnv1alpha1.MemberCluster {
	m := memberCluster(name, bySecret("shared"))
	m.Finalizers = []string{mcnv1alpha1.CleanupFinalizer}
	return m
}

// The order in which a GitOps tool prunes is not ours: the Secret first, then the member, or both at once.
func TestASecretThatIsPrunedWithItsMembersStaysUntilTheyAreClean(t *testing.T) {
	b := newSecretBench(t, finalized("one"), finalized("two"))
	b.expect("held", "at first")
	requireNoError(t, b.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: b.key.Namespace, Name: b.key.Name}}))
	b.expect("held", "deleted alone, for a moment,")
	requireNoError(t, b.Delete(t.Context(), memberCluster("one", bySecret("shared"))))
	requireNoError(t, b.Delete(t.Context(), memberCluster("two", bySecret("shared"))))
	b.clock = b.clock.Add(time.Hour)
	b.expect("held", "while both members are cleaned")
	b.edit("one", func(m *mcnv1alpha1.MemberCluster) { m.Finalizers = nil })
	b.expect("held", "while one member is cleaned")
	b.edit("two", func(m *mcnv1alpha1.MemberCluster) { m.Finalizers = nil })
	b.expect("gone", "after that")
}

func TestASecretThatIsDeletedAloneGoesAfterTheBarrier(t *testing.T) {
	b := newSecretBench(t, finalized("one"))
	b.expect("held", "at first")
	requireNoError(t, b.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: b.key.Namespace, Name: b.key.Name}}))
	b.expect("held", "within the barrier")
	b.clock = b.clock.Add(b.Barrier)
	b.expect("gone", "after the barrier")
	requireNoError(t, b.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: b.key.Namespace, Name: b.key.Name, UID: "second"}}))
	b.expect("held", "replaced")
}

func TestAMemberTellsThatItsSecretIsBeingDeleted(t *testing.T) {
	ours, others := []string{mcnv1alpha1.CleanupFinalizer}, []string{"example.com/other"}
	for name, tc := range map[string]struct {
		finalizers []string
		member     *mcnv1alpha1.MemberCluster
		want       string // of condition wantIn; empty for nothing about the Secret
		wantIn     string
	}{
		"alone": {finalizers: ours, member: finalized("one"), wantIn: mcnv1alpha1.ConditionReachable,
			want: "Secret " + memberNamespace + "/shared is being deleted: the operator keeps it for no longer than --barrier"},
		"held by somebody else": {finalizers: others, member: finalized("one"), wantIn: mcnv1alpha1.ConditionReachable,
			want: "Secret " + memberNamespace + "/shared is being deleted, and the connection ends with it"},
		"with the member": {finalizers: ours, member: leavingMember(func(m *mcnv1alpha1.MemberCluster) { m.Spec.Access = bySecret("shared") }),
			wantIn: mcnv1alpha1.ConditionReady, want: "Secret " + memberNamespace + "/shared is being deleted too, and is kept until the cluster is cleaned"},
		"another": {finalizers: ours, member: memberCluster("one", bySecret("another")), wantIn: mcnv1alpha1.ConditionReachable},
	} {
		t.Run(name, func(t *testing.T) {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{
				Namespace: memberNamespace, Name: "shared", Finalizers: tc.finalizers, DeletionTimestamp: &metav1.Time{Time: time.Unix(4000, 0)}}}
			b := newBenchOfMembers(t, inReach, tc.member, secret)
			b.reconcileOne()
			got := b.message(tc.wantIn)
			if !strings.Contains(got, tc.want) || (tc.want == "" && strings.Contains(got, "Secret")) {
				t.Errorf("%s says %q, want %q in it", tc.wantIn, got, tc.want)
			}
		})
	}
}

func TestASecretIsHeldForThoseAloneThatWillBeCleaned(t *testing.T) {
	for name, change := range map[string]func(*mcnv1alpha1.MemberCluster){
		"another Secret": func(m *mcnv1alpha1.MemberCluster) { m.Spec.Access.Kubeconfig.SecretRef.Name = "another" },
		"local": func(m *mcnv1alpha1.MemberCluster) {
			m.Spec.Access = mcnv1alpha1.Access{Local: &mcnv1alpha1.LocalAccess{}}
		},
		"Orphan": func(m *mcnv1alpha1.MemberCluster) { m.Spec.DeletionPolicy = mcnv1alpha1.DeletionOrphan },
		"Source": func(m *mcnv1alpha1.MemberCluster) { m.Spec.Role = mcnv1alpha1.RoleSource },
	} {
		t.Run(name, func(t *testing.T) {
			b := newSecretBench(t, finalized("one"))
			b.expect("held", "at first")
			b.edit("one", change)
			b.expect("free", "after the change")
		})
	}
}
