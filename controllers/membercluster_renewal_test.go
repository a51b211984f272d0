package controllers

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
)

// oneConnection is a fleet with one member.
type oneConnection struct{ connection *fleet.Connection }

func (f oneConnection) Connection(string) (*fleet.Connection, bool) { return f.connection, true }

// renewing asks a member that answers with a token, over a hub that refuses the Secret with an error, or takes it. It returns what the member's status would
// say, and the Secret's kubeconfig.
func renewing(t *testing.T, answer string, refusal error) (note, kubeconfig string) {
	t.Helper()
	scheme := runtime.NewScheme()
	requireNoError(t, clientgoscheme.AddToScheme(scheme))
	requireNoError(t, mcnv1alpha1.AddToScheme(scheme))
	member := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		SubResourceCreate: func(_ context.Context, _ client.Client, _ string, _, sub client.Object, _ ...client.SubResourceCreateOption) error {
			sub.(*authenticationv1.TokenRequest).Status.Token = answer
			return nil
		},
	}).Build()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: memberNamespace, Name: "one"}, Data: map[string][]byte{"kubeconfig": []byte(`{"token":"old"}`)}}
	hub := fake.NewClientBuilder().WithScheme(scheme).WithObjects(secret).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
			if refusal != nil {
				return refusal
			}
			return c.Patch(ctx, obj, patch, opts...)
		},
	}).Build()
	requireNoError(t, hub.Get(t.Context(), client.ObjectKeyFromObject(secret), secret))
	r := &TokenReconciler{
		Client: hub, Namespace: memberNamespace, Fleet: oneConnection{&fleet.Connection{Client: member}}, Now: func() time.Time { return time.Unix(4000, 0) },
		notes: &tokenNotes{}, renewed: map[string]time.Time{},
	}
	got, err := r.renew(t.Context(), renewal{
		member: "one", namespace: "ns", account: "account", secret: secret, key: "kubeconfig", token: "old",
		life: tokenLife{subject: tokenOwner, begin: time.Unix(1000, 0), end: time.Unix(4600, 0)},
	})
	requireNoError(t, err)
	if r.notes.of("one") != "" && got == (ctrl.Result{}) {
		t.Error("it is not tried again")
	}
	requireNoError(t, hub.Get(t.Context(), client.ObjectKeyFromObject(secret), secret))
	return r.notes.of("one"), string(secret.Data["kubeconfig"])
}

func TestATokenThatCannotBeWrittenIsTold(t *testing.T) {
	token := unsigned(fmt.Sprintf(`{"sub":%q,"iat":4000,"exp":7600}`, tokenOwner))
	note, kubeconfig := renewing(t, token, nil)
	if want := `{"token":"` + token + `"}`; note != "" || kubeconfig != want {
		t.Errorf("the status says %q and the kubeconfig is %s, want %s", note, kubeconfig, want)
	}
	refusal := apierrors.NewBadRequest("the canary")
	refusal.ErrStatus.Reason = metav1.StatusReasonInvalid
	note, kubeconfig = renewing(t, token, refusal)
	if !strings.Contains(note, "cannot be written there (the hub's API server says Invalid)") || strings.Contains(note, "canary") || kubeconfig != `{"token":"old"}` {
		t.Errorf("the status says %q and the kubeconfig is %s, want it to say that the Secret is refused", note, kubeconfig)
	}
}

// A member must not write more into its kubeconfig than a token: there it could lead the operator elsewhere.
func TestATokenOfOtherLettersIsRefused(t *testing.T) {
	good := unsigned(fmt.Sprintf(`{"sub":%q,"iat":4000,"exp":7600}`, tokenOwner))
	for _, more := range []string{`","username":"root`, "\nuser: root", " x", "é", `\u0022`} {
		note, kubeconfig := renewing(t, good+more, nil)
		if !strings.Contains(note, "is no token of the account") || kubeconfig != `{"token":"old"}` {
			t.Errorf("%q: the status says %q and the kubeconfig is %s", more, note, kubeconfig)
		}
	}
}
