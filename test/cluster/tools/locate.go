package tools

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// modulePath is the first line of the repository's go.mod, by which Root knows it.
const modulePath = "module multicloud.network/operator\n"

// Root returns the repository's folder: the nearest one upwards of the working directory whose go.mod names this project.
func Root() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding the working directory: %w", err)
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		content, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(content, []byte(modulePath)) {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is not inside a clone of multicloud.network/operator: run from the repository", start)
		}
	}
}

// CacheDir returns the absolute path of the cache: MCN_CACHE, or .cache in the repository. The folder "tools" in it exists afterwards.
func CacheDir() (string, error) {
	dir := os.Getenv("MCN_CACHE")
	if dir == "" {
		root, err := Root()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(root, ".cache")
	}
	if !filepath.IsAbs(dir) {
		return "", errors.New("MCN_CACHE has to be an absolute path, because tests run in their package's folder")
	}
	if err := os.MkdirAll(filepath.Join(dir, "tools"), 0o755); err != nil {
		return "", fmt.Errorf("making the cache (set MCN_CACHE to a folder you may write to): %w", err)
	}
	return dir, nil
}
