package gather

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestAddressesThatAreNoPods reads what a broken or hostile member may report. The pod CIDRs that it is judged by are often its own word, too.
func TestAddressesThatAreNoPods(t *testing.T) {
	for text, want := range map[string]string{
		"10.1.2.3": "[10.1.2.3]", "2001:db8::1": "[2001:db8::1]", "fd00::1": "[fd00::1]", "::ffff:10.1.2.3": "[10.1.2.3]", "10.1.2.3/32": "[10.1.2.3]",
		"": "", "none": "", "10.1.2": "", "10.1.2.300": "", "010.1.2.3": "", "10.1.2.3 ": "", "fe80::1%eth0": "", "0x0a010203": "",
		"0.0.0.0": "", "::": "", "0.0.0.0/0": "", "127.0.0.1": "", "::1": "", "::ffff:127.0.0.1": "", "169.254.169.254": "", "fe80::1": "",
		"224.0.0.1": "", "ff02::1": "", "255.255.255.255": "",
	} {
		pod, ok := Pod(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b", UID: "c"},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: text, PodIPs: []corev1.PodIP{{IP: text}}},
		})
		if got := fmt.Sprint(pod.Addresses); ok != (want != "") || (ok && got != want) {
			t.Errorf("a pod that reports %q counts (%t) with %s, want %q", text, ok, got, want)
		}
	}
}

// TestLabelsPassAsTheyAre: a member's labels are compared with selectors and never become part of one.
func TestLabelsPassAsTheyAre(t *testing.T) {
	labels := map[string]string{"a": "x' || all()", "b\n": "", "": "\x00"}
	pod, ok := Pod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b", Labels: labels}, Status: corev1.PodStatus{PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}},
	})
	if !ok || fmt.Sprint(pod.Labels) != fmt.Sprint(labels) {
		t.Errorf("labels became %q", pod.Labels)
	}
}
