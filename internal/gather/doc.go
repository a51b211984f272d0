// Package gather turns what a cluster's API server holds into a snapshot.Member.
//
// Reading and converting are apart: a Gatherer reads through any client.Reader, the operator's cache or the plugin's direct client, and pure functions
// convert. A kind that cannot be read stops nothing else: it is named in Facts.Problems, and what was last known of it stays (an address
// must never be lost because somebody removed a permission).
package gather
