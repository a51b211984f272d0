package cluster

import (
	"context"
	"fmt"

	"multicloud.network/operator/test/cluster/tools"
)

// etcdSocket is the name of etcd's socket file in the cluster's folder, in which all the processes run. etcd insists on a port, and so it
// is part of the file's name.
const etcdSocket = "etcd:0"

// startEtcd starts etcd, which writes without waiting for the disk, and waits until it listens.
func (c *Cluster) startEtcd(ctx context.Context) error {
	p, err := c.run("etcd", c.paths[tools.Etcd], nil,
		"--name=member", "--data-dir=etcd-data", "--unsafe-no-fsync", "--logger=zap", "--log-level=warn",
		"--listen-client-urls=unix://"+etcdSocket, "--listen-peer-urls=unix://peer:0",
		// With one member nobody ever connects to these; etcd only wants them to look right.
		"--advertise-client-urls=http://localhost:2379", "--initial-advertise-peer-urls=http://localhost:2380",
		"--initial-cluster=member=http://localhost:2380",
		"--quota-backend-bytes=4294967296", "--auto-compaction-retention=5m",
	)
	if err != nil {
		return err
	}
	return wait(ctx, "etcd listens", p, func(ctx context.Context) error {
		conn, err := c.dir.dial(ctx, etcdSocket)
		if err != nil {
			return fmt.Errorf("connecting to etcd: %w", err)
		}
		return conn.Close()
	})
}
