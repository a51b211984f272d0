// Package lab is a range on which policies meet packets: clusters with real control planes, whose nodes are network namespaces in which the real Felix
// programs the kernel, and whose pods are network namespaces that listen and send.
//
//	cluster a: node a1, a2 ... --+
//	cluster b: node b1 ...     --+-- backbone (a router) -- hosts outside the clusters
//
// All of it lives in this process: namespaces are held by its threads and programs die with it, so that nothing is left of it, also when it is killed, and
// nothing is touched that it did not make. Nothing in the lab reaches this machine's own network, but for the API servers on 127.0.0.1.
//
// There are no kubelet, no scheduler and no kube-proxy: pods are written with node and address, and Services have no addresses that lead anywhere.
package lab
