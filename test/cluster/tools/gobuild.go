package tools

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// goEnv is the environment of every go command: the caller's without what would change the result or point at another module.
func goEnv(caller []string) []string {
	dropped := []string{"GOFLAGS", "GOOS", "GOARCH", "GOEXPERIMENT", "GOWORK", "CGO_ENABLED", "GO111MODULE", "PWD"}
	env := slices.DeleteFunc(slices.Clone(caller), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(dropped, name)
	})
	return append(env, "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly")
}

// goCommand runs go in a tool module and returns its standard output; the error has the last lines of what go said.
func (b *builder) goCommand(module string, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(b.ctx, "go", args...)
	cmd.Dir = filepath.Join(b.root, module)
	cmd.Env = b.env
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, errors.New("the program go is not in PATH: install Go 1.26 or newer")
		}
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, lastLines(stderr.String(), 15))
	}
	return stdout.Bytes(), nil
}

// goBuild builds a program.
func goBuild(b *builder, r recipe, out string) error {
	_, err := b.goCommand(r.module, "build", "-buildvcs=false", "-ldflags=-s -w "+r.ldflags, "-o", out, r.pkg)
	return err
}

// goRun runs a program of ours that writes its output into the folder given by -out.
func goRun(b *builder, r recipe, out string) error {
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	_, err := b.goCommand(r.module, "run", "-buildvcs=false", r.pkg, "-out", out)
	return err
}

// copyFromModule copies the files that match a pattern out of a folder of the module r.pkg.
func copyFromModule(folder, pattern string) func(*builder, recipe, string) error {
	return func(b *builder, r recipe, out string) error {
		// The download is a no-op where the module is on disk already; list alone would return an empty folder name otherwise.
		if _, err := b.goCommand(r.module, "mod", "download", r.pkg); err != nil {
			return err
		}
		dir, err := b.goCommand(r.module, "list", "-m", "-f", "{{.Dir}}", r.pkg)
		if err != nil {
			return err
		}
		files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), folder, pattern))
		if err != nil || len(files) == 0 {
			return fmt.Errorf("module %s has no files %s: %w", r.pkg, filepath.Join(folder, pattern), errors.Join(err, fs.ErrNotExist))
		}
		if err := os.Mkdir(out, 0o755); err != nil {
			return err
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(out, filepath.Base(file)), content, 0o644); err != nil {
				return err
			}
		}
		return nil
	}
}

// key is a short hash over all that decides what an artifact contains: the tool module's requirements, our own sources, the recipe
// and the Go version.
func (b *builder) key(a Artifact, r recipe) (string, error) {
	if b.version == "" {
		version, err := b.goCommand(r.module, "env", "GOVERSION", "GOHOSTOS", "GOHOSTARCH")
		if err != nil {
			return "", err
		}
		b.version = string(version)
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n%s\n%s\n%s\n", a, b.version, r.pkg, r.ldflags)
	files := []string{"go.mod", "go.sum"}
	for _, folder := range r.sources {
		sources, err := filepath.Glob(filepath.Join(b.root, r.module, folder, "*.go"))
		if err != nil {
			return "", err
		}
		for _, file := range sources {
			files = append(files, filepath.Join(folder, filepath.Base(file)))
		}
	}
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(b.root, r.module, file))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s %d\n", file, len(content))
		if _, err := io.Copy(hash, bytes.NewReader(content)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil))[:12], nil
}

// lastLines returns the end of a text.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
