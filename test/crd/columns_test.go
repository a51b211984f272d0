package crd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

func TestNetworkColumns(t *testing.T) {
	t.Parallel()
	network := &mcnv1alpha1.MultiCloudNetwork{}
	created := build(t, vlanBase, edit{"metadata.name", "columns-network"})
	create(t, created)
	if err := hub.Get(context.Background(), client.ObjectKeyFromObject(created), network); err != nil {
		t.Fatal(err)
	}
	network.Status = mcnv1alpha1.MultiCloudNetworkStatus{
		ObservedGeneration: 1,
		Boundary:           mcnv1alpha1.BoundaryClosed,
		Mode:               mcnv1alpha1.ModeMixed,
		Summary:            mcnv1alpha1.NetworkSummary{Clusters: "39/40", Total: 40, Programmed: 39, Unreachable: 1, Held: 2, Pods: 1200, SharedPods: 3},
		Conditions:         []metav1.Condition{readyCondition(metav1.ConditionFalse, mcnv1alpha1.ReasonClusterUnreachable)},
	}
	if err := hub.Status().Update(context.Background(), network); err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"Name", "columns-network"}, {"Model", "VLAN"}, {"Mode", "Mixed"}, {"Clusters", "39/40"}, {"Ready", "False"}, {"Reason", "ClusterUnreachable"},
		{"Boundary (wide)", "Closed"}, {"Pods (wide)", "1200"}, {"Shared (wide)", "3"}, {"Stale (wide)", "1"}, {"Held (wide)", "2"}, {"Age", "*"},
	}
	if diff := cmp.Diff(want, tableRow(t, "multicloudnetworks", "columns-network")); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

func TestMemberColumns(t *testing.T) {
	t.Parallel()
	member := &mcnv1alpha1.MemberCluster{}
	created := build(t, memberBase, edit{"metadata.name", "columns-member"})
	create(t, created)
	if err := hub.Get(context.Background(), client.ObjectKeyFromObject(created), member); err != nil {
		t.Fatal(err)
	}
	staleSince := metav1.NewTime(time.Now().Add(-3 * time.Hour))
	member.Status = mcnv1alpha1.MemberClusterStatus{
		ObservedGeneration: 1,
		Cloud:              mcnv1alpha1.CloudStatus{Provider: "aws", Region: "us-east-1"},
		Calico:             mcnv1alpha1.CalicoStatus{Version: "v3.31.0", API: mcnv1alpha1.CalicoAPIAggregated, CNI: "AmazonVPC"},
		StaleSince:         &staleSince,
		Conditions:         []metav1.Condition{readyCondition(metav1.ConditionUnknown, mcnv1alpha1.ReasonConnectionFailed)},
	}
	if err := hub.Status().Update(context.Background(), member); err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"Name", "columns-member"}, {"Provider", "aws"}, {"Region", "us-east-1"}, {"Calico", "v3.31.0"}, {"CNI", "AmazonVPC"}, {"Role", "Managed"},
		{"Ready", "Unknown"}, {"Reason", "ConnectionFailed"}, {"Stale-Since", "3h"}, {"Updates (wide)", "Held"}, {"Age", "*"},
	}
	if diff := cmp.Diff(want, tableRow(t, "memberclusters", "columns-member")); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

func TestNewbornColumns(t *testing.T) {
	t.Parallel()
	create(t, build(t, flatBase, edit{"metadata.name", "columns-newborn"}))
	want := [][]string{
		{"Name", "columns-newborn"}, {"Model", "Flat"}, {"Mode", ""}, {"Clusters", ""}, {"Ready", "Unknown"}, {"Reason", "Pending"},
		{"Boundary (wide)", ""}, {"Pods (wide)", ""}, {"Shared (wide)", ""}, {"Stale (wide)", ""}, {"Held (wide)", ""}, {"Age", "*"},
	}
	if diff := cmp.Diff(want, tableRow(t, "multicloudnetworks", "columns-newborn")); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

func TestNamesInDiscovery(t *testing.T) {
	t.Parallel()
	var got metav1.APIResourceList
	if err := json.Unmarshal(get(t, "/apis/multicloud.network/v1alpha1", "application/json"), &got); err != nil {
		t.Fatal(err)
	}
	type names struct {
		Kind                 string
		Namespaced           bool
		ShortNames, Category []string
	}
	gotNames := map[string]names{}
	for _, resource := range got.APIResources {
		gotNames[resource.Name] = names{resource.Kind, resource.Namespaced, resource.ShortNames, resource.Categories}
	}
	want := map[string]names{
		"multicloudnetworks":        {"MultiCloudNetwork", false, []string{"mcn"}, []string{"multicloud"}},
		"multicloudnetworks/status": {"MultiCloudNetwork", false, nil, nil},
		"memberclusters":            {"MemberCluster", false, []string{"mcm"}, []string{"multicloud"}},
		"memberclusters/status":     {"MemberCluster", false, nil, nil},
	}
	if diff := cmp.Diff(want, gotNames); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
}

func readyCondition(status metav1.ConditionStatus, reason mcnv1alpha1.Reason) metav1.Condition {
	return metav1.Condition{Type: mcnv1alpha1.ConditionReady, Status: status, Reason: string(reason), LastTransitionTime: metav1.Now()}
}

// tableRow returns the columns that kubectl prints for the object, each with its cell; an age is any text.
func tableRow(t *testing.T, resource, name string) [][]string {
	t.Helper()
	var table metav1.Table
	text := get(t, "/apis/multicloud.network/v1alpha1/"+resource+"/"+name, "application/json;as=Table;v=v1;g=meta.k8s.io")
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	var row [][]string
	for i, column := range table.ColumnDefinitions {
		header, cell := column.Name, ""
		if column.Priority > 0 {
			header += " (wide)"
		}
		if value := table.Rows[0].Cells[i]; value != nil {
			cell = fmt.Sprint(value)
		}
		if column.Name == "Age" {
			cell = "*"
		}
		row = append(row, []string{header, cell})
	}
	return row
}

// get reads a path of the API server in the form that accept asks for.
func get(t *testing.T, path, accept string) []byte {
	t.Helper()
	httpClient, err := rest.HTTPClientFor(hubConfig)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, strings.TrimSuffix(hubConfig.Host, "/")+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", accept)
	response, err := httpClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s: %s (%v)", path, response.Status, text, err)
	}
	return text
}
