package cluster

import (
	"context"
	"fmt"
	"os"

	"multicloud.network/operator/test/cluster/tools"
)

// etcdSocket is the name of etcd's socket file in the cluster's folder, in which all the processes run. etcd insists on a port, and so it
// is part of the file's name.
const etcdSocket = "etcd:0"

const (
	etcdProgram = "etcd"
	// etcdData is the folder with all that the cluster holds.
	etcdData = "etcd-data"
)

// KillEtcd ends etcd with SIGKILL. kube-apiserver stays, and answers no more than what needs no storage.
func (c *Cluster) KillEtcd() error { return c.killProgram(etcdProgram) }

// StartEtcd starts etcd after KillEtcd, with the data of before; with empty, without any: everything that the cluster held is gone, no object was
// deleted, and resource versions begin anew. Stop kube-apiserver before that, as for a restore: it would serve what it remembers.
func (c *Cluster) StartEtcd(ctx context.Context, empty bool) error {
	if empty {
		if err := os.RemoveAll(c.path(etcdData)); err != nil {
			return fmt.Errorf("cluster %s: %w", c.Name, err)
		}
	}
	if err := c.startEtcd(ctx); err != nil {
		return fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	return nil
}

// startEtcd starts etcd, which writes without waiting for the disk, and waits until it listens.
func (c *Cluster) startEtcd(ctx context.Context) error {
	p, err := c.run(etcdProgram, c.paths[tools.Etcd], nil,
		"--name=member", "--data-dir="+etcdData, "--unsafe-no-fsync", "--logger=zap", "--log-level=warn",
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
