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

// failed gives an error that a command came to while it ran the exit code of a failure, unless it has another one already.
func failed(err error) error {
	var coded *codedError
	if err == nil || errors.As(err, &coded) {
		return err
	}
	return &codedError{code: exitFailed, err: err}
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
	// What has no code comes from the library that reads the command line: no command has begun.
	return exitUsage
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

// rootLong tells what holds for all commands.
const rootLong = `A hub is the cluster that holds the networks and runs the operator; a member is a cluster whose pods they are about. Clusters are named by the
contexts of your kubeconfig. Networks themselves are written with kubectl: "kubectl explain mcn.spec", "kubectl get mcn".

Exit codes: 0 done; 1 refused or failed; 2 the command line cannot be understood; 3 done, but what --wait waits for did not come in time.`

// newRoot returns the command "kubectl mcn".
func newRoot(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:               "kubectl-mcn COMMAND",
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl mcn"},
		Short:             "Register clusters with a hub of the MultiCloudNetwork operator",
		Long:              rootLong,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Args:              knownVerb,
		RunE:              func(c *cobra.Command, _ []string) error { return c.Help() },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		// The usage line has all that is needed.
		DisableFlagsInUseLine: true,
	}
	root.SetOut(streams.Out)
	root.SetErr(streams.ErrOut)
	root.SetIn(streams.In)
	root.SetHelpTemplate(helpTemplate)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		// A command that is misspelt has no flags: that it is none is what to say.
		if c == root {
			if unknown := knownVerb(c, c.Flags().Args()); unknown != nil {
				return unknown
			}
		}
		return usagef("%w; see %q", err, c.CommandPath()+" --help")
	})
	root.AddCommand(newRegister(streams), newUnregister(streams), newVersion(streams), newCompletion(streams))
	root.SetHelpCommand(newHelp())
	return root
}

// newHelp returns the command "help", which is the same as --help.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Tell about a command", Hidden: true, DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return knownVerb(about, rest)
			}
			return about.Help()
		},
	}
}

// knownVerb refuses what is no command, and names the one that may be meant.
func knownVerb(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	meant := ""
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		meant = " (is " + strings.Join(near, " or ") + " meant?)"
	}
	return usagef("%q is no command of %s%s; see %q", args[0], c.CommandPath(), meant, c.CommandPath()+" --help")
}

// noArgs refuses arguments that are no flags, and says which flag is meant.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if c.Flags().Lookup("name") == nil {
		return usagef("%s takes no %q; see %q", c.CommandPath(), strings.Join(args, " "), c.CommandPath()+" --help")
	}
	return usagef("%q is not a flag: the cluster's name goes into --name; see %q", strings.Join(args, " "), c.CommandPath()+" --help")
}
