package controllers

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// orphanedKey is the key with the networks that were deleted with deletionPolicy Orphan; no cluster's ID is taken for it. What they left stays wherever it is,
// also on a cluster that is out of reach now and is cleaned when it returns. There is one entry for a network, not one for each of its clusters: it must cost
// little, because nobody is there any more to take it out but a network of the same name, or people.
const orphanedKey = "orphaned-networks"

// errOrphanedGarbled says that nothing may be taken for left over.
var errOrphanedGarbled = errors.New("key " + orphanedKey + " of the ConfigMap " + leftoversName + " is not what the operator writes, so that it is not known what " +
	"was left in place by deletionPolicy Orphan; correct it, or take the key out to have nothing spared")

// orphans are one owner's orphaned networks by name, with when they were deleted.
type orphans map[string]metav1.Time

// orphanedNetworks are the orphans of all owners, by owner ID.
type orphanedNetworks map[string]orphans

func readOrphaned(text string) (out orphanedNetworks, garbled bool) {
	if text == "" {
		return nil, false
	}
	err := json.Unmarshal([]byte(text), &out)
	return out, err != nil
}

// spared are the names of our networks whose objects stay where they are although the networks are gone.
func (l *Leftovers) spared() ([]string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.garbled {
		return nil, errOrphanedGarbled
	}
	return slices.Sorted(maps.Keys(l.orphaned[l.Owner])), nil
}

// withOrphans adds to what is spared the networks that are being deleted with deletionPolicy Orphan, which may not be recorded yet. It is sorted.
func withOrphans(spared []string, deleting []*mcnv1alpha1.MultiCloudNetwork) []string {
	for _, n := range deleting {
		if n.Spec.DeletionPolicy == mcnv1alpha1.DeletionOrphan {
			spared = append(slices.Clip(spared), n.Name)
		}
	}
	slices.Sort(spared)
	return slices.Compact(spared)
}

// editOrphaned applies edits to our orphans, and returns those of all owners as they stand in data then.
func (l *Leftovers) editOrphaned(data map[string]string, edits []func(orphans)) (orphanedNetworks, error) {
	if len(edits) == 0 {
		return l.orphaned, nil
	}
	if l.garbled {
		return nil, errOrphanedGarbled
	}
	ours := maps.Clone(l.orphaned[l.Owner])
	if ours == nil {
		ours = orphans{}
	}
	for _, edit := range edits {
		edit(ours)
	}
	all := maps.Clone(l.orphaned)
	if all == nil {
		all = orphanedNetworks{}
	}
	if all[l.Owner] = ours; len(ours) == 0 {
		delete(all, l.Owner)
	}
	if len(all) == 0 {
		delete(data, orphanedKey)
		return nil, nil
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("orphaned networks: %w", err)
	}
	data[orphanedKey] = string(text)
	return all, nil
}
