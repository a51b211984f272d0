// Package cli is the kubectl plugin: its commands, and what they print.
//
// Data goes to standard output, progress and warnings to standard error. Commands read and write clusters with the rights of the person who runs
// them, through the contexts of a kubeconfig; none of them goes through the operator.
package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// Exit codes. Anything but 0 comes with a message on standard error.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitWaiting = 3
)

// codedError is an error with an exit code of its own.
type codedError struct {
	code int
	err  error
}

// Error implements error.
func (e *codedError) Error() string { return e.err.Error() }

// Unwrap returns the error itself.
func (e *codedError) Unwrap() error { return e.err }

// usagef is the error of a command line that says nothing that can be done.
func usagef(format string, args ...any) error {
	return &codedError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// Run executes one command line, without the program's name, and returns the exit code.
func Run(ctx context.Context, streams genericiooptions.IOStreams, args []string) int {
	root := newRoot(streams)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintln(streams.ErrOut, "error:", err)
	var coded *codedError
	if errors.As(err, &coded) {
		return coded.code
	}
	return exitFailed
}

// helpTemplate begins with examples, because that is what one looks for.
const helpTemplate = `{{.Short}}.
{{if .HasExample}}
Examples:
{{.Example}}
{{end}}{{with .Long}}
{{.}}
{{end}}
Usage:
  {{.UseLine}}
{{if .HasAvailableSubCommands}}
Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}}  {{.Short}}{{end}}{{end}}

"{{.CommandPath}} COMMAND --help" tells more.
{{end}}{{if .HasAvailableLocalFlags}}
Flags:
{{.LocalFlags.FlagUsages}}{{end}}`

// newRoot returns the command "kubectl mcn".
func newRoot(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:         "kubectl-mcn",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl mcn"},
		Short:       "Register clusters with a hub of the MultiCloudNetwork operator",
		Long: `Exit codes: 0 done; 1 refused or failed; 2 the command line cannot be meant; 3 done, but what --wait waits for did not come in time.

Networks themselves are written with kubectl: "kubectl explain mcn.spec", "kubectl get mcn".`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetIn(streams.In)
	root.SetHelpTemplate(helpTemplate)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usagef("%w; see %q", err, c.CommandPath()+" --help")
	})
	root.AddCommand(newRegister(streams), newUnregister(streams))
	return root
}

// noArgs refuses arguments that are no flags, and says which flag is meant.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usagef("%q is not a flag: the cluster's name goes into --name; see %q", strings.Join(args, " "), c.CommandPath()+" --help")
}
