package controllers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
	"multicloud.network/operator/internal/fleet"
)

const (
	// renewalTimeout bounds the request for a token.
	renewalTimeout = 10 * time.Second
	// soonestRetry and latestRetry bound the pause after a renewal that failed.
	soonestRetry = 10 * time.Second
	latestRetry  = 10 * time.Minute
	// concurrentRenewals is how many members are asked for a token at once: one that is slow holds up few others.
	concurrentRenewals = 4
	// tokenLetters are those of a JSON Web Token: with them alone, a member cannot write anything else into its kubeconfig than a token.
	tokenLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
)

// TokenFleet is what the renewal of tokens needs of a fleet.Fleet.
type TokenFleet interface {
	Connection(name string) (*fleet.Connection, bool)
}

// TokenReconciler renews the tokens in the Secrets that "kubectl mcn register" wrote: it asks the member for another one of the same account, with
// the one that still holds, when a third of its life is left. A renewal that fails is tried again, and said on the MemberCluster.
type TokenReconciler struct {
	client.Client
	// Namespace is where the members' Secrets are.
	Namespace string
	// Fleet has the connections over which tokens are asked for.
	Fleet TokenFleet
	// Now is the clock; time.Now.
	Now func() time.Time

	// notes tell the members' controller what is wrong.
	notes   *tokenNotes
	metrics *metrics
	mu      sync.Mutex
	// renewed is when a member's token was renewed last: a clock that differs from the member's must not make a loop of it.
	renewed map[string]time.Time
}

// SetupWithManager makes the reconciler run on MemberClusters and on their Secrets.
func (r *TokenReconciler) SetupWithManager(mgr ctrl.Manager, members *MemberClusterReconciler) error {
	if r.Now == nil {
		r.Now = time.Now
	}
	r.renewed = map[string]time.Time{}
	return ctrl.NewControllerManagedBy(mgr).
		Named("membertoken").
		WithOptions(controller.Options{MaxConcurrentReconciles: concurrentRenewals}).
		For(&mcnv1alpha1.MemberCluster{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(members.membersOfSecret)).
		WithLogConstructor(memberLog(mgr, "membertoken")).
		Complete(r)
}

// Reconcile renews the token of one member if it is time.
func (r *TokenReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	var member mcnv1alpha1.MemberCluster
	if err := r.Get(ctx, req.NamespacedName, &member); err != nil {
		r.forget(req.Name)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	access := member.Spec.Access.Kubeconfig
	if access == nil || !member.DeletionTimestamp.IsZero() {
		r.forget(req.Name)
		return ctrl.Result{}, nil
	}
	var secret corev1.Secret
	if err := r.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: access.SecretRef.Name}, &secret); err != nil {
		r.forget(req.Name)
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	namespace, account, ours := strings.Cut(secret.Annotations[mcnv1alpha1.RenewAnnotation], "/")
	kubeconfig := secret.Data[access.SecretRef.Key]
	cfg, err := fleet.Vet(kubeconfig)
	if !ours || err != nil || cfg.BearerToken == "" {
		r.forget(req.Name) // nobody asked for it, or the condition Reachable says what is wrong
		return ctrl.Result{}, nil
	}
	life, err := lifeOf(cfg.BearerToken, "system:serviceaccount:"+namespace+":"+account)
	if err != nil {
		r.metrics.forgetToken(req.Name)
		r.notes.set(req.Name, fmt.Sprintf("the token in Secret %s/%s cannot be renewed: %v; run \"kubectl mcn register\" for %s again", secret.Namespace, secret.Name, err, req.Name))
		return ctrl.Result{}, nil
	}
	r.metrics.tokenEnds(req.Name, life.end)
	if wait := r.due(req.Name, life).Sub(r.Now()); wait > 0 {
		r.notes.set(req.Name, "")
		return ctrl.Result{RequeueAfter: wait}, nil
	}
	t := renewal{member: req.Name, namespace: namespace, account: account, secret: &secret, key: access.SecretRef.Key, token: cfg.BearerToken, life: life}
	return retryConflict(r.renew(ctx, t))
}

// renewal is a token that is to be renewed.
type renewal struct {
	member, namespace, account string
	secret                     *corev1.Secret
	key, token                 string
	life                       tokenLife
}

// renew asks for a token and writes it.
func (r *TokenReconciler) renew(ctx context.Context, t renewal) (ctrl.Result, error) {
	log := ctrl.LoggerFrom(ctx)
	left := t.life.end.Sub(r.Now())
	again := ctrl.Result{RequeueAfter: min(max(left/20, soonestRetry), latestRetry)}
	connection, ok := r.Fleet.Connection(t.member)
	if !ok {
		return again, nil // the condition Reachable says so
	}
	ctx, cancel := context.WithTimeout(ctx, renewalTimeout)
	defer cancel()
	token, end, err := askToken(ctx, connection, t)
	if err != nil {
		r.metrics.renewed(t.member, renewalFailed)
		log.Info("Token cannot be renewed", "reason", err.Error(), "until", t.life.end)
		r.notes.set(t.member, fmt.Sprintf("the token in Secret %s/%s ends at %s and cannot be renewed: %v; run \"kubectl mcn register\" for %s again",
			t.secret.Namespace, t.secret.Name, t.life.end.UTC().Format(time.RFC3339), err, t.member))
		return again, nil
	}
	before := t.secret.DeepCopy()
	after := t.secret.DeepCopy()
	after.Data[t.key] = bytes.ReplaceAll(before.Data[t.key], []byte(t.token), []byte(token))
	// With the resource version: a person may have written another token meanwhile.
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	switch err := r.Patch(ctx, after, patch, client.FieldOwner(mcnv1alpha1.FieldManager)); {
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err):
		return ctrl.Result{}, err
	case err != nil:
		r.metrics.renewed(t.member, renewalFailed)
		why := "the hub's API server fails"
		if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
			why = "the hub's API server says " + string(reason)
		}
		log.Info("Token cannot be written", "reason", why, "until", t.life.end)
		r.notes.set(t.member, fmt.Sprintf("the token in Secret %s/%s ends at %s, and another one cannot be written there (%s): look for an admission policy, or whether the Secret is immutable",
			t.secret.Namespace, t.secret.Name, t.life.end.UTC().Format(time.RFC3339), why))
		return again, nil
	}
	r.mu.Lock()
	r.renewed[t.member] = r.Now()
	r.mu.Unlock()
	r.notes.set(t.member, "")
	r.metrics.renewed(t.member, renewalRenewed)
	r.metrics.tokenEnds(t.member, end)
	log.Info("Token renewed", "until", end)
	return ctrl.Result{}, nil
}

// askToken asks the member for another token of the account that the present one is of, good for as long. Its errors hold nothing that a server said.
func askToken(ctx context.Context, connection *fleet.Connection, t renewal) (token string, end time.Time, err error) {
	seconds := int64(t.life.end.Sub(t.life.begin).Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	owner := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: t.account}}
	switch err := connection.Client.SubResource("token").Create(ctx, owner, request); {
	case apierrors.IsForbidden(err):
		return "", end, errors.New("the account may not ask for its own token (403)")
	case apierrors.IsNotFound(err):
		return "", end, fmt.Errorf("the service account %s/%s is not there (404)", t.namespace, t.account)
	case apierrors.IsUnauthorized(err):
		return "", end, errors.New("the API server refuses the present one (401)")
	case err != nil:
		return "", end, errors.New("the API server does not give one")
	}
	life, err := lifeOf(request.Status.Token, t.life.subject)
	if err != nil || !life.end.After(t.life.end) || strings.ContainsFunc(request.Status.Token, func(c rune) bool { return !strings.ContainsRune(tokenLetters, c) }) {
		return "", end, errors.New("what the API server gives is no token of the account that is good for longer")
	}
	return request.Status.Token, life.end, nil
}

// due is when a member's token is renewed: when a third of its life is left, spread by a tenth so that members registered together do not ask together.
func (r *TokenReconciler) due(member string, life tokenLife) time.Time {
	whole := life.end.Sub(life.begin)
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(member))
	spread := float64(hash.Sum32()%1000)/1000 - 0.5 // -0.5 to 0.5
	due := life.end.Add(-time.Duration(float64(whole) / 3 * (1 + spread/5)))
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.renewed[member]; ok && last.Add(whole/3).After(due) {
		return last.Add(whole / 3)
	}
	return due
}

// forget drops what is remembered of a member whose token is not renewed.
func (r *TokenReconciler) forget(member string) {
	r.metrics.forgetToken(member)
	r.notes.set(member, "")
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.renewed, member)
}
