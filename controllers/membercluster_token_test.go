package controllers

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

const tokenOwner = "system:serviceaccount:ns:account"

// unsigned makes a token with claims; nothing here verifies the signature.
func unsigned(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + ".c2lnbmF0dXJl"
}

func TestLifeOfToken(t *testing.T) {
	good := fmt.Sprintf(`{"sub":%q,"iat":1000,"exp":4600,"aud":["api"]}`, tokenOwner)
	life, err := lifeOf(unsigned(good), tokenOwner)
	if err != nil || life.begin.Unix() != 1000 || life.end.Unix() != 4600 || life.subject != tokenOwner {
		t.Errorf("a good token lives %+v (%v)", life, err)
	}
	for name, tc := range map[string]struct{ token, want string }{
		"opaque":           {"c2VjcmV0LWNhbmFyeQ", "no token of a service account"},
		"not base64":       {"a.%secret-canary%.c", "no token of a service account"},
		"not JSON":         {unsigned("secret-canary"), "no token of a service account"},
		"wrong type":       {unsigned(`{"sub":"secret-canary","iat":"now"}`), "no token of a service account"},
		"another account":  {unsigned(`{"sub":"secret-canary","iat":1000,"exp":4600}`), "not of the account"},
		"does not expire":  {unsigned(fmt.Sprintf(`{"sub":%q,"iat":1000}`, tokenOwner)), "does not expire"},
		"ends before":      {unsigned(fmt.Sprintf(`{"sub":%q,"iat":1000,"exp":900}`, tokenOwner)), "make no sense"},
		"without begin":    {unsigned(fmt.Sprintf(`{"sub":%q,"exp":900}`, tokenOwner)), "make no sense"},
		"beyond any clock": {unsigned(fmt.Sprintf(`{"sub":%q,"iat":1000,"exp":1e300}`, tokenOwner)), "make no sense"},
	} {
		_, err := lifeOf(tc.token, tokenOwner)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the error quotes the token: %v", name, err)
		}
	}
}

// TestRenewalIsDue: a third of the life is left, give or take a tenth of that, and members that were registered together are spread.
func TestRenewalIsDue(t *testing.T) {
	r := &TokenReconciler{renewed: map[string]time.Time{}}
	begin := time.Unix(1_000_000, 0)
	life := tokenLife{begin: begin, end: begin.Add(30 * time.Hour)}
	seen := map[time.Time]bool{}
	for i := range 50 {
		due := r.due(fmt.Sprintf("member-%d", i), life)
		if left := life.end.Sub(due); left < 9*time.Hour || left > 11*time.Hour {
			t.Errorf("%s are left when the token is renewed, want about 10 hours", left)
		}
		seen[due] = true
	}
	if len(seen) < 40 {
		t.Errorf("50 members are renewed at %d times", len(seen))
	}
	// A clock that is ahead finds each new token due at once.
	late := begin.Add(100 * time.Hour)
	r.renewed["member-1"] = late
	if due := r.due("member-1", life); due != late.Add(10*time.Hour) {
		t.Errorf("renewed at %s, a token is due again at %s", late, due)
	}
}
