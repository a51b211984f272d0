// Package fleet holds the connections to the members: it vets credentials, connects, probes, watches, and tells what is known of each.
//
// What other packages use of it:
//
//	f.Snapshot()        what is known of every registered member, reachable or not, for compile (never blocks)
//	f.States()          health of every member, for status
//	f.Connection(name)  the client of a member that is connected, for the member's worker
//	f.Changes()         a coalescing signal: something in Snapshot or States changed
package fleet
