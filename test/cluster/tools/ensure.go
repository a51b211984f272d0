package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Paths tells where each artifact is: the path of a program or of a folder.
type Paths map[Artifact]string

// Ensure makes sure that the wanted artifacts stand in the cache, building those that do not, and returns their paths. With all of
// them cached it only reads a few small files. What it builds, and how long that takes, it writes to progress (nil: nowhere).
//
// KUBEBUILDER_ASSETS, if set, provides kube-apiserver, etcd and kubectl. MCN_CACHE moves the cache, which is the folder .cache of the
// repository otherwise. Two processes may call it at once: one builds, the other waits.
func Ensure(ctx context.Context, progress io.Writer, want ...Artifact) (Paths, error) {
	if progress == nil {
		progress = io.Discard
	}
	b, err := newBuilder(ctx, progress)
	if err != nil {
		return nil, err
	}
	paths := Paths{}
	for _, a := range want {
		path, err := b.ensure(a)
		if err != nil {
			return nil, err
		}
		paths[a] = path
	}
	return paths, nil
}

// builder has what one call of Ensure needs.
type builder struct {
	ctx      context.Context
	progress io.Writer
	root     string // the repository
	cache    string // the folder "tools" of the cache
	env      []string
	version  string // of Go: part of every key
}

func newBuilder(ctx context.Context, progress io.Writer) (*builder, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	cache, err := CacheDir()
	if err != nil {
		return nil, err
	}
	b := &builder{ctx: ctx, progress: progress, root: root, cache: filepath.Join(cache, "tools"), env: goEnv(os.Environ())}
	return b, nil
}

// ensure returns the path of one artifact and builds it if it is not there.
func (b *builder) ensure(a Artifact) (string, error) {
	r, known := recipes[a]
	if !known {
		return "", fmt.Errorf("no such artifact %q; package test/cluster/tools knows %v", a, All())
	}
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); r.assets && assets != "" {
		path := filepath.Join(assets, string(a))
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("KUBEBUILDER_ASSETS is set but has no %s (put the program there or unset the variable): %w", a, err)
		}
		return path, nil
	}
	key, err := b.key(a, r)
	if err != nil {
		return "", fmt.Errorf("computing the cache key of %s: %w", a, err)
	}
	path := filepath.Join(b.cache, string(a)+"-"+key, string(a))
	if exists(path) {
		return path, nil
	}
	unlock, err := lock(b.ctx, filepath.Join(b.cache, "build.lock"), func() {
		fmt.Fprintf(b.progress, "waiting for another process that builds tools into %s ...\n", b.cache)
	})
	if err != nil {
		return "", err
	}
	defer unlock()
	if exists(path) {
		return path, nil
	}
	return path, b.build(r, path)
}

// build makes one artifact beside its final place and moves it there when it is whole.
func (b *builder) build(r recipe, path string) error {
	dir := filepath.Dir(path)
	temp, err := os.MkdirTemp(b.cache, ".building-")
	if err != nil {
		return fmt.Errorf("making a folder to build %s in: %w", r.title, err)
	}
	defer os.RemoveAll(temp)
	fmt.Fprintf(b.progress, "building %s from source, %s the first time ...\n", r.title, r.cold)
	start := time.Now()
	if err := r.make(b, r, filepath.Join(temp, filepath.Base(path))); err != nil {
		return fmt.Errorf("building %s in %s: %w", r.title, r.module, err)
	}
	// A folder without the artifact in it can only be what someone left when deleting by hand.
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing %s: %w", dir, err)
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return fmt.Errorf("opening %s to others: %w", temp, err)
	}
	if err := os.Rename(temp, dir); err != nil {
		return fmt.Errorf("moving %s into the cache: %w", r.title, err)
	}
	fmt.Fprintf(b.progress, "  %s done in %.0fs\n", r.title, time.Since(start).Seconds())
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}
