// Package apply does the reading and writing on one cluster: creation, server-side apply and deletion of Calico resources, and listing what is ours.
//
// It never touches an object that does not carry our owner label with our owner ID, and it sends nothing when the live object already
// says what is wanted: Calico's API raises resourceVersion even on equal content, so server-side apply alone would not be quiet.
//
// The trade-off: only the fields that we send are compared. A field that somebody adds beside ours stays, because server-side apply cannot
// remove what another manager owns; a field of ours that somebody changes is put back.
package apply
