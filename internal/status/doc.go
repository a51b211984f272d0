// Package status computes conditions, summaries and per-cluster lists from facts. It is pure: no client, no clock; a time is an input. The
// controllers and the plugin both use it, so that they never disagree.
package status
