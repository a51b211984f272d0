// Package dataplane proves the models with packets: clusters with real control planes and the real Felix (package lab), the operator as the program that
// is shipped, under the roles that are shipped, and flows between all pods, nodes and the world outside, judged by what the specification says (package
// intent) and never by what was compiled.
//
// It takes root: sudo make test-dataplane, with DATAPLANE=nftables for the other dataplane. Without, the tests are skipped and say so.
package dataplane
