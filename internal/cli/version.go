package cli

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/yaml"
)

const versionExamples = `  # The version of this plugin
  kubectl mcn version

  # For a bug report
  kubectl mcn version -o yaml`

// clientVersion is what the plugin was built from. Its fields are named as in "kubectl version -o yaml".
type clientVersion struct {
	Version      string `json:"version"`
	GitCommit    string `json:"gitCommit,omitempty"`
	GitTreeState string `json:"gitTreeState,omitempty"`
	CommitDate   string `json:"commitDate,omitempty"`
	GoVersion    string `json:"goVersion"`
	Platform     string `json:"platform"`
}

// newVersion returns the command.
func newVersion(streams genericiooptions.IOStreams) *cobra.Command {
	output := ""
	c := &cobra.Command{
		Use: "version", Short: "Print the plugin's version",
		Example: versionExamples,
		Long:    `It asks no cluster. The operator's version is that of its image: kubectl -n multicloud-network-system get deployment multicloud-network-operator -o wide`,
		Args:    noArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			return printVersion(streams, output, versionOf(info))
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "json or yaml; without it the version alone is printed, for people")
	complete(c, "output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// versionOf reads what Go recorded when it built the program; nil if it recorded nothing.
func versionOf(info *debug.BuildInfo) clientVersion {
	out := clientVersion{Version: "(unknown)", GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return out
	}
	if info.Main.Version != "" {
		out.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			out.GitCommit = setting.Value
		case "vcs.time":
			out.CommitDate = setting.Value
		case "vcs.modified":
			out.GitTreeState = map[string]string{"true": "dirty", "false": "clean"}[setting.Value]
		}
	}
	return out
}

// printVersion prints the version in the wanted form.
func printVersion(streams genericiooptions.IOStreams, output string, version clientVersion) error {
	wrapped := map[string]clientVersion{"clientVersion": version}
	switch output {
	case "":
		_, err := fmt.Fprintln(streams.Out, "Client Version:", version.Version)
		return failed(err)
	case "json":
		content, err := json.MarshalIndent(wrapped, "", "  ")
		if err == nil {
			_, err = fmt.Fprintln(streams.Out, string(content))
		}
		return failed(err)
	case "yaml":
		content, err := yaml.Marshal(wrapped)
		if err == nil {
			_, err = fmt.Fprint(streams.Out, string(content))
		}
		return failed(err)
	default:
		return usagef("--output %q: write json or yaml", output)
	}
}
