// Package member holds one worker per member cluster: the only writer there. A worker merges what all networks want of its cluster, and
// brings the cluster there in an order in which no flow is cut that was open before and is open after, and none is open that is open in neither.
//
// A worker never sleeps inside a pass. Each pass looks at what is there, does all that may be done now, and says when to look again; waiting for
// Calico to take a phase in (Options.Settle) or for the other members (Options.Barrier) is a gate that a network stands at while all other
// networks, and its own sets, go on. So a newer intent, a lost connection or a restart can come at any moment: the next pass plans anew
// from what is there.
//
// The trade-off: the objects of ours on a member are kept in memory between passes, and listed again only when something failed, when a
// change is to be confirmed, when a watch (Engage) tells of something that is not our own doing, when somebody asks (Kick), and slowly for good measure.
package member
