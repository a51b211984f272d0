package access

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"multicloud.network/operator/test/cluster"
)

// Aged returns an access by token that was issued some time ago and holds for some more: what an access becomes when nobody renews it. The token is
// signed anew with the cluster's own key, so that its API server takes it.
func Aged(t testing.TB, c *cluster.Cluster, cfg *rest.Config, ago, left time.Duration) *rest.Config {
	t.Helper()
	token, err := aged(filepath.Join(c.Dir, "service-account.key"), cfg.BearerToken, time.Now().Add(-ago), time.Now().Add(left))
	if err != nil {
		t.Fatalf("ageing a token of cluster %s: %v", c.Name, err)
	}
	out := rest.CopyConfig(cfg)
	out.BearerToken = token
	return out
}

func aged(keyFile, token string, issued, expires time.Time) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("it has %d parts, want 3", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		return "", err
	}
	claims["iat"], claims["nbf"], claims["exp"] = issued.Unix(), issued.Unix(), expires.Unix()
	if payload, err = json.Marshal(claims); err != nil {
		return "", err
	}
	key, err := signingKey(keyFile)
	if err != nil {
		return "", err
	}
	signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(payload)
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	if err != nil {
		return "", err
	}
	const half = 32 // bytes of each number, by RFC 7518 for ES256
	signature := append(r.FillBytes(make([]byte, half)), s.FillBytes(make([]byte, half))...)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// signingKey reads the key with which a cluster signs tokens.
func signingKey(file string) (*ecdsa.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is no PEM", file)
	}
	if key, err := x509.ParseECPrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is a %T, want one on an elliptic curve", key)
	}
	return ec, nil
}
