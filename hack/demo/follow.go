package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// The pod that followPod creates on gcp, which aws gets to know.
const (
	guestAddress = "10.17.1.200"
	guest        = `apiVersion: v1
kind: Pod
metadata: {namespace: payments, name: guest, labels: {tier: api}}
spec: {nodeName: gcp-node-1, containers: [{name: app, image: example.com/app}]}
`
	guestStatus = `apiVersion: v1
kind: Pod
metadata: {namespace: payments, name: guest}
status: {phase: Running, podIP: ` + guestAddress + `, podIPs: [{ip: ` + guestAddress + `}]}
`
)

// followPod shows how the sets of one member follow a pod of another.
func (d *demo) followPod(ctx context.Context) error {
	d.step("How identity follows a pod: one of the payments API is created on gcp, and aws knows its address")
	const gcp = "kubectl --context gcp "
	create := []command{
		{line: gcp + "apply --server-side -f -", input: guest, quiet: true},
		{line: gcp + "apply --server-side --force-conflicts --subresource=status -f -", input: guestStatus, quiet: true},
	}
	for _, part := range []struct {
		heading string
		do      []command
		sets    int
	}{
		{"", create, 1},
		{"It becomes a ledger: it joins that segment's set, and leaves the other", []command{{line: gcp + "-n payments label pod guest tier=ledger --overwrite", quiet: true}}, 1},
		{"It is deleted", []command{{line: gcp + "-n payments delete pod guest --grace-period=0 --force", quiet: true}}, 0},
	} {
		if part.heading != "" {
			d.step("%s", part.heading)
		}
		before := d.groupsOfGuest(ctx)
		for _, c := range part.do {
			if err := d.run(ctx, c); err != nil {
				return err
			}
		}
		if err := d.awaitGuest(ctx, before, part.sets); err != nil {
			return err
		}
	}
	return nil
}

// setsOfGuest lists the sets on aws that hold the guest's address.
const setsOfGuest = `kubectl --context aws get globalnetworksets.projectcalico.org -l multicloud.network/network=payments,multicloud.network/source-cluster=gcp ` +
	`-o custom-columns=SET:.metadata.name,GROUP:.metadata.labels.multicloud\\.network/group,NETS:.spec.nets`

// groupsOfGuest returns the lines of setsOfGuest that hold the address.
func (d *demo) groupsOfGuest(ctx context.Context) string {
	cmd := exec.CommandContext(ctx, "sh", "-c", setsOfGuest)
	cmd.Env = d.env
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	var groups []string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.Contains(line, guestAddress+"/32") {
			groups = append(groups, fields[1])
		}
	}
	return strings.Join(groups, " ")
}

// awaitGuest waits until so many groups on aws hold the guest's address, and others than before, and shows the sets.
func (d *demo) awaitGuest(ctx context.Context, before string, groups int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if now := d.groupsOfGuest(ctx); len(strings.Fields(now)) == groups && now != before {
			return d.sh(ctx, "%s", setsOfGuest)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("aws does not follow the pod of gcp within 30 s: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
