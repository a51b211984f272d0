package gather

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	mcnv1alpha1 "multicloud.network/operator/api/v1alpha1"
)

// CalicoHealth is whether Calico takes policies, and why not.
type CalicoHealth struct {
	Ready   bool
	Reason  mcnv1alpha1.Reason
	Message string
}

// calicoFacts are what Calico's health is judged by. A nil info means that ClusterInformation could not be read, for the reason that problem gives.
type calicoFacts struct {
	api                           mcnv1alpha1.CalicoAPI
	apiServices, info, migrations []unstructured.Unstructured
	problem                       string
}

// calicoHealth judges Calico's API form, its migration, its APIService and its datastore.
func calicoHealth(f calicoFacts) CalicoHealth {
	switch f.api {
	case mcnv1alpha1.CalicoAPINone:
		return CalicoHealth{Reason: mcnv1alpha1.ReasonCalicoNotInstalled, Message: "the cluster has no Calico API; install Calico, or set spec.role to Source"}
	case mcnv1alpha1.CalicoAPIStorageOnly:
		return CalicoHealth{Reason: mcnv1alpha1.ReasonCalicoAPIUnavailable,
			Message: "only " + calicoStorageGroup + "/v1 is served, which nobody but Calico may write; install Calico's API server, or, from v3.32, the native v3 CRDs; " +
				"where the cloud runs Calico for you (AKS, GKE), run one of your own, or set spec.role to Source"}
	case "":
		return CalicoHealth{Reason: mcnv1alpha1.ReasonConnecting, Message: "what serves Calico's API is not known yet"}
	}
	// First, because in a migration the API comes and goes.
	if phase, under := underMigration(f.migrations); under {
		return CalicoHealth{Reason: mcnv1alpha1.ReasonDatastoreNotReady,
			Message: "Calico's datastore is being migrated (DatastoreMigration, phase " + phase + "); nothing is written before its phase is Complete"}
	}
	for i := range f.apiServices {
		if f.apiServices[i].GetName() == "v3."+calicoGroup {
			if ok, message := available(&f.apiServices[i]); !ok {
				return CalicoHealth{Reason: mcnv1alpha1.ReasonCalicoAPIUnavailable, Message: "APIService v3." + calicoGroup + " is not available: " + message}
			}
		}
	}
	if f.info == nil {
		if f.problem == "" {
			return CalicoHealth{Reason: mcnv1alpha1.ReasonConnecting, Message: "ClusterInformation/default has not been read yet"}
		}
		return CalicoHealth{Reason: mcnv1alpha1.ReasonCalicoAPIUnavailable, Message: f.problem}
	}
	config := findDefault(f.info)
	if config == nil {
		return CalicoHealth{Reason: mcnv1alpha1.ReasonDatastoreNotReady, Message: "ClusterInformation/default is missing; calico-node creates it when it starts"}
	}
	if ready, _, _ := unstructured.NestedBool(config.Object, "spec", "datastoreReady"); !ready {
		return CalicoHealth{Reason: mcnv1alpha1.ReasonDatastoreNotReady,
			Message: "ClusterInformation/default has spec.datastoreReady other than true; wait for the migration to end, or set it"}
	}
	return CalicoHealth{Ready: true, Reason: mcnv1alpha1.ReasonCalicoReady, Message: fmt.Sprintf("projectcalico.org/v3 is served (%s) and the datastore is ready", f.api)}
}

// word is what a phase or a reason looks like. Anything else that a member says does not go into a message.
var word = regexp.MustCompile(`^[A-Za-z]{1,64}$`)

// underMigration says whether Calico is moving its objects from one form of the API to another, and how far that is. Objects get new UIDs meanwhile, and one
// that is written on the wrong side stops the migration.
func underMigration(migrations []unstructured.Unstructured) (phase string, under bool) {
	for i := range migrations {
		phase, _, _ := unstructured.NestedString(migrations[i].Object, "status", "phase")
		switch {
		case phase == "Complete":
		case word.MatchString(phase):
			return phase, true
		default:
			return "Unknown", true
		}
	}
	return "", false
}

// migrationKind is the version of DatastoreMigration to read: the newer one where it is served.
func migrationKind(crd *unstructured.Unstructured) Kind {
	versions, _, _ := unstructured.NestedFieldNoCopy(crd.Object, "spec", "versions")
	list, _ := versions.([]any)
	for _, version := range list {
		if fields, ok := version.(map[string]any); ok && fields["name"] == migrations.Version && fields["served"] == true {
			return migrations
		}
	}
	return migrationsBeta
}

// available reads an APIService's condition; one that has none yet is not called unavailable.
func available(apiService *unstructured.Unstructured) (bool, string) {
	conditions, _, _ := unstructured.NestedSlice(apiService.Object, "status", "conditions")
	for _, c := range conditions {
		fields, ok := c.(map[string]any)
		if ok && fields["type"] == "Available" && fields["status"] == "False" {
			// The condition's message holds addresses and times that change; its reason does not.
			reason, _ := fields["reason"].(string)
			if !word.MatchString(reason) {
				reason = "Unknown"
			}
			return false, reason
		}
	}
	return true, ""
}
