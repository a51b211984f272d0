package controllers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// tokenLife is what a token says of itself. Nothing is granted on it: it decides when another one is asked for.
type tokenLife struct {
	subject    string
	begin, end time.Time
}

// lifeOf reads a JSON Web Token without verifying it, which only its API server can. The token has to be of the subject. Errors hold nothing of it.
func lifeOf(token, subject string) (tokenLife, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return tokenLife{}, errors.New("it is no token of a service account")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return tokenLife{}, errors.New("it is no token of a service account")
	}
	var claims struct {
		Subject string  `json:"sub"`
		Issued  float64 `json:"iat"`
		Expires float64 `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil {
		return tokenLife{}, errors.New("it is no token of a service account")
	}
	const longest = 100 * 365 * 24 * 3600 // seconds, so that no arithmetic overflows
	switch {
	case claims.Subject != subject:
		return tokenLife{}, errors.New("it is not of the account that the Secret's annotation names")
	case claims.Expires == 0:
		return tokenLife{}, errors.New("it does not expire")
	case claims.Issued <= 0, claims.Expires <= claims.Issued, claims.Expires-claims.Issued > longest, claims.Expires > 2*longest:
		return tokenLife{}, errors.New("its times make no sense")
	}
	return tokenLife{subject: subject, begin: time.Unix(int64(claims.Issued), 0), end: time.Unix(int64(claims.Expires), 0)}, nil
}

// tokenNotes hands what is wrong with members' tokens from their controller to the members'. A nil one holds nothing.
type tokenNotes struct {
	mu    sync.Mutex
	notes map[string]string
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

// set notes what is wrong with a member's token, "" for nothing, and has the member reconciled if that is news.
func (n *tokenNotes) set(member, note string) {
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.notes[member] == note {
		return
	}
	if n.notes == nil {
		n.notes = map[string]string{}
	}
	if note == "" {
		delete(n.notes, member)
	} else {
		n.notes[member] = note
	}
	if n.queue != nil {
		n.queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: member}})
	}
}

// of returns what is wrong with a member's token.
func (n *tokenNotes) of(member string) string {
	if n == nil {
		return ""
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.notes[member]
}

// source feeds the members' controller.
func (n *tokenNotes) source() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.queue = queue
		return nil
	})
}
