// Package proxy is a TLS-terminating reverse proxy before one API server that breaks what passes, as it is told.
//
// A kubeconfig points a client at the proxy, which has a certificate authority of its own and hands bearer tokens on; client certificates do not
// pass. Without rules and switches the proxy changes nothing, but that answers are JSON where Kubernetes would have sent protobuf, so that rules can
// read them.
//
// There are two means. A Rule breaks single requests, or single events of watches, by verb, resource, name and count. Switches break the path as a whole:
// Freeze, Refuse, Sever, Swap, Certify. Chance is drawn from a seed, and every fault is logged with a sequence number, so that a run can be told
// again. All requests are counted: a test can say "no list and no write since".
package proxy
