package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

const completionExamples = `  # In ~/.bashrc: kubectl's own completion, which completes "kubectl mcn" too
  source <(kubectl completion bash)

  # Only if you type "kubectl-mcn" instead of "kubectl mcn"
  source <(kubectl mcn completion bash)`

const completionLong = `For "kubectl mcn" no script is needed: kubectl's completion asks a program kubectl_complete-mcn on the PATH, and "make plugin" puts one beside the plugin. A
script of this command completes the program kubectl-mcn when it is called by that name.`

// completionTimeout bounds how long a person who pressed the tabulator waits for a hub.
const completionTimeout = 3 * time.Second

// newCompletion returns the command.
func newCompletion(streams genericiooptions.IOStreams) *cobra.Command {
	shells := map[string]func(*cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(streams.Out, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(streams.Out) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(streams.Out, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(streams.Out) },
	}
	names := slices.Sorted(maps.Keys(shells))
	return &cobra.Command{
		Use: "completion {" + strings.Join(names, " | ") + "}", Short: "Print a script with which a shell completes commands and flags",
		Example: completionExamples, Long: completionLong, DisableFlagsInUseLine: true,
		ValidArgsFunction: cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) != 1 || shells[args[0]] == nil {
				return usagef("name one shell of %s; see %q", strings.Join(names, ", "), c.CommandPath()+" --help")
			}
			return failed(shells[args[0]](c.Root()))
		},
	}
}

// complete says how the values of a flag are completed. The flag is there: the command just defined it.
func complete(c *cobra.Command, flag string, with cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, with); err != nil {
		panic(fmt.Sprintf("completion of --%s: %v", flag, err))
	}
}

// completeContexts completes the names of contexts.
func completeContexts(flags *genericclioptions.ConfigFlags) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		raw, err := flags.ToRawKubeConfigLoader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.Sorted(maps.Keys(raw.Contexts)), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeMembers completes the names of members that the hub has.
func completeMembers(flags *genericclioptions.ConfigFlags, hubContext *string) cobra.CompletionFunc {
	return func(c *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(c.Context(), completionTimeout)
		defer cancel()
		hub, err := openSide(ctx, flags, hubSide, *hubContext)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var members mcnv1alpha1.MemberClusterList
		if err := hub.client.List(ctx, &members); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []cobra.Completion
		for i := range members.Items {
			out = append(out, members.Items[i].Name)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeBoth says how the flags are completed that register and unregister share.
func completeBoth(c *cobra.Command, flags *genericclioptions.ConfigFlags, hubContext *string) {
	complete(c, "context", completeContexts(flags))
	complete(c, "hub-context", completeContexts(flags))
	complete(c, "name", completeMembers(flags, hubContext))
}
