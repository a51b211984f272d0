// Package fleet holds the connections to the members: it vets credentials, connects, probes, watches, and tells what is known of each.
//
// What other packages use of it:
//
//	f.Snapshot()        what is known of every registered member, reachable or not, for compile (never blocks)
//	f.States()          health of every member, for status
//	f.Connection(name)  the client of a member that is connected, for the member's worker
//	f.Subscribe()       a coalescing signal: something in Snapshot or States changed
//
// Each member has a goroutine, clients and caches of its own; none waits for another. What is known of a member changes only by a complete view of the
// right cluster: while it is out of reach, while it connects again, and while a kind cannot be read, what was last known stays.
//
// calico-apiserver sends no bookmark at the end of a streamed list, so that a view that streams its lists would never be complete. Calico's kinds are
// therefore always listed first and then watched; main also sets KUBE_FEATURE_WatchListClient=false, for clients other than these.
package fleet
