package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// shell runs commands and shows them the way a user would type them.
type shell struct {
	env []string
	out io.Writer
}

// command is one line for the shell.
type command struct {
	// line is what a user would type; it is run by sh.
	line string
	// input is what the line reads: a manifest.
	input string
	// quiet drops the output as long as the command succeeds.
	quiet bool
}

// sh shows and runs a line.
func (s *shell) sh(ctx context.Context, format string, args ...any) error {
	return s.run(ctx, command{line: fmt.Sprintf(format, args...)})
}

// run shows and runs a command. Its error names the line and holds what the command wrote.
func (s *shell) run(ctx context.Context, c command) error {
	s.show(c)
	cmd := exec.CommandContext(ctx, "sh", "-c", c.line)
	cmd.Env = s.env
	cmd.Stdin = strings.NewReader(c.input)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stderr = &said
	if c.quiet {
		cmd.Stdout = &said
	} else {
		cmd.Stdout = s.out
		cmd.Stderr = io.MultiWriter(&said, s.out)
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%q: %w\n%s", c.line, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// show prints the line, and its input as a here-document.
func (s *shell) show(c command) {
	if c.input == "" {
		fmt.Fprintf(s.out, "$ %s\n", c.line)
		return
	}
	fmt.Fprintf(s.out, "$ %s <<EOF\n%sEOF\n", c.line, c.input)
}

// step prints a heading.
func (s *shell) step(format string, args ...any) {
	fmt.Fprintf(s.out, "\n==> "+format+"\n", args...)
}
