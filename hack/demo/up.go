package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"multicloud.network/operator/test/cluster"
	"multicloud.network/operator/test/cluster/tools"
)

const (
	operatorProgram   = "bin/manager"
	operatorNamespace = "multicloud-network-system"
	crds              = "crd/memberclusters.multicloud.network crd/multicloudnetworks.multicloud.network"
)

// demo is one run.
type demo struct {
	*shell
	dir      string // where everything is kept that is not in the clusters' own folders
	path     string // the folders with kubectl and the plugin
	keep     bool
	clusters []*cluster.Cluster // the hub first
	operator *operator
	metrics  string // where the operator serves them
}

// up starts everything, shows it and, without keep, stops it again, whatever happened.
func up(ctx context.Context, dir string, keep bool) error {
	began := time.Now()
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := loadState(dir); !errors.Is(err, fs.ErrNotExist) {
		return errors.New("a demo was left running: stop it with \"make demo-stop\" first")
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clearing the demo's folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the demo's folder: %w", err)
	}
	d := &demo{shell: &shell{out: os.Stdout}, dir: dir, keep: keep}
	for _, step := range []func(context.Context) error{
		d.startClusters, d.fillMembers, d.installHub, d.startOperator, d.registerMembers, d.applyNetworks, d.showStatus, d.showMembers, d.followPod, d.unregisterMember,
	} {
		if err = step(ctx); err != nil {
			break
		}
	}
	if err != nil {
		d.explain(ctx)
	}
	if keep && err == nil {
		return d.leave(began)
	}
	err = errors.Join(err, d.stop(err != nil && ctx.Err() == nil)) // who interrupts wants no logs
	if err == nil {
		d.step("Done in %.0fs; everything is stopped. KEEP=1 leaves it running for you.", time.Since(began).Seconds())
	}
	return err
}

// startClusters starts the hub and the members and writes one kubeconfig with a context for each.
func (d *demo) startClusters(ctx context.Context) error {
	d.step("Starting a hub and %d member clusters with Calico on this machine", len(fleet))
	paths, err := tools.Ensure(ctx, d.out, tools.Kubectl, tools.Etcd, tools.KubeAPIServer, tools.CalicoAPIServer, tools.CalicoStorageCRDs)
	if err != nil {
		return err
	}
	options := []cluster.Options{{Name: "hub"}}
	for _, m := range fleet {
		options = append(options, cluster.Options{Name: m.Name, Calico: cluster.Aggregated})
	}
	for i := range options {
		options[i].Detach, options[i].Progress, options[i].Parent = d.keep, d.out, runDir(d.dir)
	}
	if err := d.save(); err != nil { // before anything runs that would outlive a demo that is killed
		return err
	}
	if d.clusters, err = cluster.StartAll(ctx, options...); err != nil {
		return err
	}
	config := api.NewConfig()
	config.CurrentContext = "hub"
	for _, c := range d.clusters {
		one, err := clientcmd.LoadFromFile(c.KubeconfigPath())
		if err != nil {
			return fmt.Errorf("reading the kubeconfig of %s: %w", c.Name, err)
		}
		current := one.Contexts[one.CurrentContext]
		config.Clusters[c.Name] = one.Clusters[current.Cluster]
		config.AuthInfos[c.Name] = one.AuthInfos[current.AuthInfo]
		config.Contexts[c.Name] = &api.Context{Cluster: c.Name, AuthInfo: c.Name}
	}
	kubeconfig := filepath.Join(d.dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		return fmt.Errorf("writing the kubeconfig: %w", err)
	}
	programs, err := filepath.Abs(filepath.Dir(operatorProgram))
	if err != nil {
		return err
	}
	d.path = strings.Join([]string{filepath.Dir(paths[tools.Kubectl]), programs}, string(os.PathListSeparator))
	d.env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+d.dir, "PATH="+d.path+string(os.PathListSeparator)+os.Getenv("PATH"))
	fmt.Fprintf(d.out, "$ export KUBECONFIG=%s PATH=$PWD/bin:$PATH\n", d.short(kubeconfig))
	return d.sh(ctx, "kubectl config get-contexts -o name")
}

// fillMembers creates what a cluster in use has: nodes, namespaces, pods with addresses, an IP pool.
func (d *demo) fillMembers(ctx context.Context) error {
	d.step("Filling the members with nodes, namespaces and pods (addresses in their status, as kubelets would write them)")
	for _, m := range fleet {
		if err := writeManifests(d.dir, m); err != nil {
			return err
		}
		file := d.short(filepath.Join(d.dir, m.Name))
		for _, line := range []string{
			fmt.Sprintf("kubectl --context %s apply --server-side -f %s.yaml", m.Name, file),
			fmt.Sprintf("kubectl --context %s apply --server-side --force-conflicts --subresource=status -f %s-status.yaml", m.Name, file),
			fmt.Sprintf("kubectl --context %s apply --server-side -f %s-calico.yaml", m.Name, file),
		} {
			if err := d.run(ctx, command{line: line, quiet: true}); err != nil {
				return err
			}
		}
	}
	return d.sh(ctx, "kubectl --context aws get pods -n payments -o wide")
}

// installHub installs the kinds and roles on the hub.
func (d *demo) installHub(ctx context.Context) error {
	d.step("Installing the CRDs and roles on the hub")
	lines := []string{
		"kubectl --context hub apply --server-side -k config/crd",
		// The first wait is for the second, which fails on a CRD whose list of conditions is still null.
		"kubectl --context hub wait --for=jsonpath='{.status.acceptedNames.singular}' --timeout=30s " + crds,
		"kubectl --context hub wait --for=condition=Established --timeout=30s " + crds,
		"kubectl --context hub create namespace " + operatorNamespace,
		"kubectl --context hub apply -k config/rbac",
	}
	for _, line := range lines {
		if err := d.run(ctx, command{line: line, quiet: true}); err != nil {
			return err
		}
	}
	return nil
}

// startOperator runs the operator with the rights of its service account.
func (d *demo) startOperator(ctx context.Context) error {
	d.step("Running the operator against the hub, with the rights that config/rbac gives and no more")
	kubeconfig := filepath.Join(d.dir, "hub.kubeconfig")
	set := "kubectl config --kubeconfig=" + d.short(kubeconfig) + " "
	for _, line := range []string{
		"kubectl --context hub config view --minify --flatten --raw > " + d.short(kubeconfig),
		set + "set-credentials operator --token=$(kubectl --context hub -n " + operatorNamespace +
			" create token multicloud-network-operator --duration=24h)",
		set + "set-context hub --user=operator",
		set + "unset users.hub",
	} {
		if err := d.run(ctx, command{line: line, quiet: true}); err != nil {
			return err
		}
	}
	program, err := filepath.Abs(operatorProgram)
	if err != nil {
		return err
	}
	// Only this machine is to see them.
	if d.metrics, err = freeAddress(ctx); err != nil {
		return err
	}
	args := []string{
		"--kubeconfig=" + kubeconfig, "--namespace=" + operatorNamespace, "--metrics-bind-address=" + d.metrics, "--health-probe-bind-address=0",
		"--leader-elect", "--settle=500ms",
	}
	fmt.Fprintf(d.out, "$ %s %s &\n", operatorProgram, d.short(strings.Join(args, " ")))
	d.operator, err = startOperator(d.dir, program, args, d.keep)
	if err != nil {
		return err
	}
	return d.save()
}

// registerMembers makes each member known to the hub, with the plugin: kubectl finds it on the PATH.
func (d *demo) registerMembers(ctx context.Context) error {
	d.step("Registering the members: an account with a token on each, and on the hub a Secret and a MemberCluster")
	for _, m := range fleet {
		line := fmt.Sprintf("kubectl mcn register --hub-context hub --context %s --name %s --labels env=prod,cloud=%s,%s", m.Name, m.Name, m.Name, m.Labels)
		if err := d.run(ctx, command{line: line, quiet: true}); err != nil {
			return err
		}
	}
	return d.sh(ctx, "kubectl --context hub wait --for=condition=Ready --timeout=60s memberclusters --all")
}

// applyNetworks applies the samples and waits until all of them are in force.
func (d *demo) applyNetworks(ctx context.Context) error {
	d.step("Applying the networks of config/samples")
	if err := d.sh(ctx, "kubectl --context hub apply -k config/samples"); err != nil {
		return err
	}
	return d.sh(ctx, "kubectl --context hub wait --for=condition=Ready --timeout=120s multicloudnetworks --all")
}

// showStatus prints what the hub says.
func (d *demo) showStatus(ctx context.Context) error {
	d.step("What the hub says")
	for _, line := range []string{
		"kubectl --context hub get memberclusters",
		"kubectl --context hub get mcn -o wide",
		`kubectl --context hub get mcn -o jsonpath='{range .items[*]}{.metadata.name}{":"}` +
			`{range .status.clusters[*]}{"  "}{.name}{" "}{.programmed}{" "}{.mode}{end}{"\n"}{end}'`,
	} {
		if err := d.sh(ctx, "%s", line); err != nil {
			return err
		}
	}
	if _, err := exec.LookPath("curl"); err != nil {
		fmt.Fprintf(d.out, "# %s\n", d.scrape())
		return nil
	}
	return d.sh(ctx, "%s", d.scrape()+" | grep ^multicloud_network_members")
}

// scrape is the command that reads the operator's metrics: plain HTTP, with nothing to log in with, at an address of this machine alone.
func (d *demo) scrape() string { return "curl -sS http://" + d.metrics + "/metrics" }

// freeAddress is a loopback address with a port that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	address := listener.Addr().String()
	return address, listener.Close()
}

// showMembers prints what stands on each member.
func (d *demo) showMembers(ctx context.Context) error {
	const ours = " -l multicloud.network/owner --sort-by=.metadata.name -o custom-columns="
	for _, m := range fleet {
		d.step("What stands on %s, in Calico's words", m.Name)
		for _, line := range []string{
			"get tiers.projectcalico.org -o custom-columns=TIER:.metadata.name,ORDER:.spec.order,DEFAULT:.spec.defaultAction",
			"get globalnetworkpolicies.projectcalico.org" + ours + "POLICY:.metadata.name,ORDER:.spec.order,TYPES:.spec.types",
			"get stagedglobalnetworkpolicies.projectcalico.org" + ours + "STAGED:.metadata.name,ORDER:.spec.order,TYPES:.spec.types",
			"get globalnetworksets.projectcalico.org" + ours +
				`SET:.metadata.name,NETWORK:.metadata.labels.multicloud\\.network/network,NETS:.spec.nets`,
		} {
			if err := d.sh(ctx, "kubectl --context %s %s", m.Name, line); err != nil {
				return err
			}
		}
	}
	return nil
}

// unregisterMember shows how a member leaves, unless the demo is to go on.
func (d *demo) unregisterMember(ctx context.Context) error {
	if d.keep {
		return nil
	}
	m := fleet[len(fleet)-1]
	d.step("How a member leaves: what stands on it is removed, then the hub's account on it, and the other members forget its addresses")
	for _, line := range []string{
		fmt.Sprintf("kubectl mcn unregister --hub-context hub --context %s --name %s", m.Name, m.Name),
		fmt.Sprintf("kubectl --context %s get globalnetworkpolicies.projectcalico.org,globalnetworksets.projectcalico.org -l multicloud.network/owner", m.Name),
		"kubectl --context hub get mcn",
	} {
		if err := d.sh(ctx, "%s", line); err != nil {
			return err
		}
	}
	return nil
}

// explain prints what helps to understand a failure, as far as there is anything.
func (d *demo) explain(ctx context.Context) {
	if d.operator == nil || ctx.Err() != nil {
		return
	}
	d.step("It failed; this is what the hub and the operator say")
	for _, line := range []string{
		"kubectl --context hub get memberclusters,multicloudnetworks",
		`kubectl --context hub get memberclusters,multicloudnetworks -o jsonpath='{range .items[*]}{.kind}{" "}{.metadata.name}{"\n"}` +
			`{range .status.conditions[?(@.status!="True")]}{"  "}{.type}{" "}{.status}{" "}{.reason}{": "}{.message}{"\n"}{end}` +
			`{range .status.clusters[?(@.programmed!="True")]}{"  on "}{.name}{": "}{.reason}{": "}{.message}{"\n"}{end}{end}'`,
		"tail -n 30 " + d.short(d.operator.log),
	} {
		if err := d.sh(ctx, "%s", line); err != nil {
			fmt.Fprintln(d.out, err)
		}
	}
}

// leave says how to go on with a demo that keeps running.
func (d *demo) leave(began time.Time) error {
	d.step("Ready in %.0fs, and left running", time.Since(began).Seconds())
	fmt.Fprintf(d.out, `  export KUBECONFIG=%s     # contexts: hub, aws, gcp, azure
  export PATH=%s:$PATH     # the demo's kubectl, and the plugin
  kubectl get mcn,memberclusters -o wide
  kubectl mcn unregister --hub-context hub --context azure --name azure
  %s
  operator's log: %s
  stop it: make demo-stop
`, filepath.Join(d.dir, "kubeconfig"), d.path, d.scrape(), d.operator.log)
	return nil
}

// stop ends the operator and the clusters. With keepLogs the operator's log and the clusters' logs stay.
func (d *demo) stop(keepLogs bool) error {
	var failures []error
	if d.operator != nil {
		failures = append(failures, d.operator.stop())
	}
	for _, c := range d.clusters {
		if keepLogs {
			c.KeepLogs()
		}
		failures = append(failures, c.Stop())
	}
	failures = append(failures, os.RemoveAll(statePath(d.dir)))
	if keepLogs {
		fmt.Fprintf(d.out, "\neverything is stopped; the logs are kept until the next demo, in %s\n", d.short(d.dir))
		return errors.Join(failures...)
	}
	return errors.Join(append(failures, os.RemoveAll(d.dir))...)
}

// save notes what stopKept has to stop. A demo that is not kept needs no note: all of it ends with its process.
func (d *demo) save() error {
	if !d.keep {
		return nil
	}
	var s state
	if d.operator != nil {
		s.Operator, s.OperatorProgram = d.operator.cmd.Process.Pid, d.operator.cmd.Path
	}
	return s.save(d.dir)
}

// short replaces the repository's folder in a line, to show paths as a user would type them.
func (d *demo) short(line string) string {
	working, err := os.Getwd()
	if err != nil {
		return line
	}
	return strings.ReplaceAll(line, working+string(filepath.Separator), "")
}
