package cluster

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"multicloud.network/operator/test/cluster/tools"
)

// CalicoValidator is a running calico-validate: Calico's own validator and selector parser, for the objects of projectcalico.org/v3 that we
// write. It takes some thousand objects a second, and may be used from several goroutines.
type CalicoValidator struct {
	mu      sync.Mutex
	cmd     *exec.Cmd
	input   io.WriteCloser
	answers *bufio.Reader
	stderr  bytes.Buffer
}

// Validator starts the validator, which it builds first if needed. It runs until Close, or until this process ends.
func Validator(ctx context.Context) (*CalicoValidator, error) {
	paths, err := tools.Ensure(ctx, os.Stderr, tools.CalicoValidate)
	if err != nil {
		return nil, err
	}
	v := &CalicoValidator{cmd: exec.Command(paths[tools.CalicoValidate])}
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	v.cmd.Stderr = &v.stderr
	if v.input, err = v.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("connecting to calico-validate: %w", err)
	}
	output, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("connecting to calico-validate: %w", err)
	}
	v.answers = bufio.NewReader(output)
	if err := startOnLastingThread(v.cmd); err != nil {
		return nil, fmt.Errorf("starting calico-validate: %w", err)
	}
	return v, nil
}

// Validate returns what is wrong with an object, given as JSON; nothing if Calico accepts it. The error is about the validator itself.
func (v *CalicoValidator) Validate(object []byte) ([]string, error) {
	var line bytes.Buffer
	if err := json.Compact(&line, object); err != nil {
		return []string{fmt.Sprintf("not a JSON object: %v", err)}, nil
	}
	line.WriteByte('\n')
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, err := v.input.Write(line.Bytes()); err != nil {
		return nil, fmt.Errorf("calico-validate no longer reads: %w", err)
	}
	text, err := v.answers.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("calico-validate has ended; start another: %w", err)
	}
	var answer struct {
		Errors []string `json:"errors"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("reading the answer %q of calico-validate: %w", text, err)
	}
	return answer.Errors, nil
}

// Close ends the validator.
func (v *CalicoValidator) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := errors.Join(v.input.Close(), v.cmd.Wait()); err != nil {
		return fmt.Errorf("ending calico-validate: %w: %s", err, v.stderr.Bytes())
	}
	return nil
}
