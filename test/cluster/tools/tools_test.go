package tools

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// testBuilder returns a builder over a repository with one tool module, and a recipe that counts how often it is followed.
func testBuilder(t *testing.T) (*builder, *bytes.Buffer, *atomic.Int32) {
	t.Helper()
	root, progress, made := t.TempDir(), &bytes.Buffer{}, &atomic.Int32{}
	for name, content := range map[string]string{"go.mod": "module x\n", "go.sum": "", "main.go": "package main\n"} {
		write(t, filepath.Join(root, "module", name), content)
	}
	b := &builder{ctx: t.Context(), progress: progress, root: root, cache: filepath.Join(root, "cache"), version: "go1"}
	if err := os.Mkdir(b.cache, 0o755); err != nil {
		t.Fatal(err)
	}
	recipes["test"] = recipe{module: "module", title: "the test tool", cold: "no time", sources: []string{"."},
		make: func(_ *builder, _ recipe, out string) error {
			made.Add(1)
			return os.WriteFile(out, []byte("program"), 0o755)
		}}
	t.Cleanup(func() { delete(recipes, "test") })
	return b, progress, made
}

func TestAnArtifactIsBuiltOnceAndSaysSo(t *testing.T) {
	b, progress, made := testBuilder(t)
	first, err := b.ensure("test")
	if err != nil {
		t.Fatal(err)
	}
	said := progress.String()
	second, err := b.ensure("test")
	if err != nil {
		t.Fatal(err)
	}
	if first != second || made.Load() != 1 || progress.String() != said {
		t.Errorf("made %d times, at %s and %s", made.Load(), first, second)
	}
	if !strings.Contains(said, "building the test tool from source, no time the first time") || !strings.Contains(said, "done in 0s") {
		t.Errorf("progress is %q", said)
	}
}

func TestAnotherProcessWaitsForTheBuild(t *testing.T) {
	b, _, made := testBuilder(t)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			other := *b // the lock is on the file, so that goroutines stand for processes
			other.progress = &bytes.Buffer{}
			if _, err := other.ensure("test"); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if made.Load() != 1 {
		t.Errorf("made %d times", made.Load())
	}
}

func TestWaitingForAnotherProcessEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := lock(t.Context(), path, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := lock(ctx, path, cancel); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestWhatGoesIntoAnArtifactChangesItsKey(t *testing.T) {
	b, _, _ := testBuilder(t)
	key := func() string {
		key, err := b.key("test", recipes["test"])
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	seen := []string{key()}
	for _, change := range []func(){
		func() { write(t, filepath.Join(b.root, "module", "go.mod"), "module y\n") },
		func() { write(t, filepath.Join(b.root, "module", "go.sum"), "x h1:\n") },
		func() { write(t, filepath.Join(b.root, "module", "main.go"), "package main // changed\n") },
		func() { b.version = "go2" },
	} {
		change()
		if slices.Contains(seen, key()) {
			t.Errorf("change %d left the key as it was", len(seen))
		}
		seen = append(seen, key())
	}
	write(t, filepath.Join(b.root, "module", "README.md"), "text")
	if key() != seen[len(seen)-1] {
		t.Error("a file that does not go in has changed the key")
	}
}

func TestAFailedBuildLeavesNothingInTheCache(t *testing.T) {
	b, _, _ := testBuilder(t)
	failing := recipes["test"]
	failing.make = func(_ *builder, _ recipe, out string) error {
		write(t, out, "half")
		return errors.New("the compiler said no")
	}
	recipes["test"] = failing
	if _, err := b.ensure("test"); err == nil || !strings.Contains(err.Error(), "the test tool") {
		t.Errorf("got %v", err)
	}
	left, _ := filepath.Glob(filepath.Join(b.cache, "*test*"))
	temporary, _ := filepath.Glob(filepath.Join(b.cache, ".building-*"))
	if len(left)+len(temporary) > 0 {
		t.Errorf("left are %v %v", left, temporary)
	}
}

func TestKubebuilderAssetsProvideTheControlPlane(t *testing.T) {
	assets := t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", assets)
	write(t, filepath.Join(assets, "etcd"), "program")
	paths, err := Ensure(t.Context(), nil, Etcd)
	if err != nil || paths[Etcd] != filepath.Join(assets, "etcd") {
		t.Errorf("got %v, error %v", paths, err)
	}
	if _, err := Ensure(t.Context(), nil, KubeAPIServer); err == nil || !strings.Contains(err.Error(), "KUBEBUILDER_ASSETS") {
		t.Errorf("without kube-apiserver in it: got %v", err)
	}
}

func TestBuildsDoNotInheritWhatChangesThem(t *testing.T) {
	got := goEnv([]string{"GOFLAGS=-mod=mod", "GOOS=plan9", "GOARCH=wasm", "CGO_ENABLED=1", "GOWORK=/w", "HOME=/h", "GOPROXY=p"})
	if want := []string{"HOME=/h", "GOPROXY=p", "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestEveryArtifactIsKnownAndItsModuleExists(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	if len(All()) != len(recipes) {
		t.Errorf("All has %d artifacts, there are %d recipes", len(All()), len(recipes))
	}
	for _, artifact := range All() {
		r, known := recipes[artifact]
		if _, err := os.Stat(filepath.Join(root, r.module, "go.sum")); !known || err != nil {
			t.Errorf("%s: known %v, module %v", artifact, known, err)
		}
	}
	if _, err := Ensure(t.Context(), nil, "nonsense"); err == nil || !strings.Contains(err.Error(), "no such artifact") {
		t.Errorf("got %v", err)
	}
}

func TestTheCacheHasToBeAnAbsolutePath(t *testing.T) {
	t.Setenv("MCN_CACHE", "relative")
	if _, err := CacheDir(); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("got %v", err)
	}
	dir := filepath.Join(t.TempDir(), "cache")
	t.Setenv("MCN_CACHE", dir)
	if got, err := CacheDir(); err != nil || got != dir {
		t.Errorf("got %s, error %v", got, err)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
