// Package apply does the reading and writing on one cluster: creation, server-side apply and deletion of Calico resources, and listing what is ours.
//
// It never touches an object that does not carry our owner label with our owner ID, and it sends nothing when the live object already
// says what is wanted: Calico's API raises resourceVersion even on equal content, so server-side apply alone would not be quiet.
//
// The trade-off: a field that we do not send counts only if it says what a policy or a set matches or does. Such a field, which somebody else added, is removed,
// as a field of ours that somebody changes is put back. Others stay: a server may have filled them in, and would again.
package apply
