package fleet

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// TestVetRefusesWhatIsMadeToHurt reads kubeconfigs that would run a program, read a file, take other rights, or take all memory. None does.
func TestVetRefusesWhatIsMadeToHurt(t *testing.T) {
	dir := t.TempDir()
	ran, secret := filepath.Join(dir, "ran"), filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ntouch "+ran+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := '1'; i <= '9'; i++ {
		bomb += "a" + string(i) + ": &a" + string(i) + " [" + strings.TrimSuffix(strings.Repeat("*a"+string(i-1)+",", 9), ",") + "]\n"
	}
	for name, tc := range map[string]struct {
		text string
		code VetCode
	}{
		"exec": {withUser("exec: {apiVersion: client.authentication.k8s.io/v1, command: " + program + ", interactiveMode: Never}"), VetExec},
		"exec with arguments and environment": {withUser("exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: [-c, touch " + ran +
			"], env: [{name: A, value: b}], interactiveMode: Never, provideClusterInfo: true}"), VetExec},
		"exec in JSON":              {withUser(`exec: {"apiVersion": "client.authentication.k8s.io/v1", "command": "` + program + `"}`), VetExec},
		"exec as a text":            {withUser("exec: " + program), VetExec},
		"auth provider":             {withUser("auth-provider: {name: gcp, config: {cmd-path: " + program + ", cmd-args: x}}"), VetAuthProvider},
		"token file":                {withUser("tokenFile: " + secret), VetFilePath},
		"relative token file":       {withUser("tokenFile: ../../secret"), VetFilePath},
		"the pod's own token":       {withUser("tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token"), VetFilePath},
		"CA file":                   {withCluster("certificate-authority: " + secret), VetFilePath},
		"uid to impersonate":        {withUser("as-uid: " + canary), VetImpersonation},
		"extra to impersonate":      {withUser("as-user-extra: {a: [" + canary + "]}"), VetImpersonation},
		"server on a unix socket":   {replaced("https://api.example.com:6443", "unix:///run/"+canary), VetNotHTTPS},
		"server in a file":          {replaced("https://api.example.com:6443", "file:///"+canary), VetNotHTTPS},
		"server of another scheme":  {replaced("https://api", "gopher://"+canary), VetNotHTTPS},
		"unspecified server":        {replaced("api.example.com:6443", "0.0.0.0"), VetLinkLocal},
		"unspecified IPv6 server":   {replaced("https://api.example.com:6443", `"https://[::]:443"`), VetLinkLocal},
		"link-local IPv6 server":    {replaced("https://api.example.com:6443", `"https://[fe80::1%25eth0]:443"`), VetLinkLocal},
		"port 0":                    {replaced(":6443", ":0"), VetBadServer},
		"port 65536":                {replaced(":6443", ":65536"), VetBadServer},
		"merge key":                 {replaced("token: "+canary, "<<: {exec: {command: "+program+"}}"), VetUnknownField},
		"field in another case":     {withUser("Exec: {command: " + program + "}"), VetUnknownField},
		"field with a binary key":   {withUser("? !!binary ZXhlYw==\n    : {command: " + program + "}"), VetUnknownField},
		"a tag":                     {replaced("token: "+canary, "token: !!binary eA=="), ""},
		"YAML bomb":                 {bomb, VetUnknownField},
		"YAML bomb in an extension": {kubeconfigText() + "extensions:\n- name: x\n  extension:\n    " + strings.ReplaceAll(strings.TrimSpace(bomb), "\n", "\n    ") + "\n", ""},
		"10 MB":                     {kubeconfigText() + strings.Repeat("#", 10<<20), VetTooBig},
		"deep":                      {strings.Repeat("[", 100_000), VetNotYAML},
		"deep mapping":              {strings.Repeat("{a: ", 10_000), VetNotYAML},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			cfg, err := Vet([]byte(tc.text))
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %s", took)
			}
			var vetErr *VetError
			switch {
			case err == nil && tc.code == "":
				if cfg.ExecProvider != nil || cfg.AuthProvider != nil || cfg.BearerTokenFile != "" {
					t.Error("what is taken would run or read something")
				}
			case !errors.As(err, &vetErr):
				t.Fatalf("got %v, want a VetError", err)
			case tc.code != "" && vetErr.Code != tc.code:
				t.Errorf("got %s at %s, want %s", vetErr.Code, vetErr.Field, tc.code)
			case strings.Contains(err.Error(), canary), strings.Contains(err.Error(), dir):
				t.Errorf("the error echoes content: %v", err)
			case vetErr.Reason != mcnv1alpha1.ReasonKubeconfigInvalid && vetErr.Reason != mcnv1alpha1.ReasonKubeconfigRefused:
				t.Errorf("the reason is %q", vetErr.Reason)
			}
		})
	}
	if _, err := os.Stat(ran); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a kubeconfig ran a program (%v)", err)
	}
}

// TestVetTakesOneOfManyContexts reads only what the current context names, and still judges all of it.
func TestVetTakesOneOfManyContexts(t *testing.T) {
	var contexts strings.Builder
	for range 1000 {
		contexts.WriteString("- name: c" + strings.Repeat("x", contexts.Len()%97) + "-" + time.Duration(contexts.Len()).String() + "\n  context: {cluster: gone, user: gone}\n")
	}
	cfg, err := Vet([]byte(kubeconfigText() + contexts.String()))
	if err != nil || cfg.Host != "https://api.example.com:6443" {
		t.Errorf("got %v, want the server of the current context", err)
	}
}
