package main

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// TestManifests decodes what the demo applies and proves that no address is used twice in the whole fleet.
func TestManifests(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]string{}
	for _, m := range fleet {
		if err := writeManifests(dir, m); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, m.Name+"-status.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		pool := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(m.Net), 0, 0}), 16)
		pods := 0
		for decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 1024); ; {
			var p corev1.Pod
			err := decoder.Decode(&p)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", m.Name, err)
			}
			if p.Kind != "Pod" {
				continue
			}
			pods++
			address, err := netip.ParseAddr(p.Status.PodIP)
			if err != nil || !pool.Contains(address) {
				t.Errorf("%s: pod %s has address %q, which is not in %s", m.Name, p.Name, p.Status.PodIP, pool)
			}
			if other, twice := seen[p.Status.PodIP]; twice {
				t.Errorf("%s: pod %s has the address of %s", m.Name, p.Name, other)
			}
			seen[p.Status.PodIP] = m.Name + "/" + p.Name
		}
		if want := len(contentOf(m).Pods); pods != want || pods == 0 {
			t.Errorf("%s: %d pods in the manifest, want %d", m.Name, pods, want)
		}
	}
}
