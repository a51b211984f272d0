// Package tools builds the real programs that tests and the demo run (kube-apiserver, etcd, kubectl, Calico's API server and its agent Felix)
// from the tool modules under hack/tools, and keeps them in a cache that git ignores.
//
// Each artifact has its own folder in the cache, named after what went into it, so that a change of a tool module rebuilds
// only what it touches and two versions can stand side by side. The package needs nothing but the standard library and
// golang.org/x/sys.
package tools

import "path/filepath"

// Artifact names one thing that the builder makes: a program or a folder of manifests.
type Artifact string

// The artifacts that this package knows.
const (
	// KubeAPIServer is the program kube-apiserver.
	KubeAPIServer Artifact = "kube-apiserver"
	// Etcd is the program etcd.
	Etcd Artifact = "etcd"
	// Kubectl is the program kubectl.
	Kubectl Artifact = "kubectl"
	// CalicoAPIServer is Calico's aggregated API server, which serves projectcalico.org/v3 over CRDs of crd.projectcalico.org/v1.
	CalicoAPIServer Artifact = "calico-apiserver"
	// CalicoFelix is Calico's agent, which programs a node's kernel.
	CalicoFelix Artifact = "calico-felix"
	// CalicoValidate checks Calico objects with Calico's own validator (hack/tools/calico/cmd/calico-validate).
	CalicoValidate Artifact = "calico-validate"
	// CalicoStorageCRDs is a folder with the CRDs in which the aggregated API server stores its objects.
	CalicoStorageCRDs Artifact = "calico-storage-crds"
	// CalicoNativeCRDs is a folder with CRDs that serve projectcalico.org/v3 without an aggregated API server.
	CalicoNativeCRDs Artifact = "calico-native-crds"
)

// kubeVersion is what the programs built from k8s.io/kubernetes report as their version; the module has the same.
const kubeVersion = "v1.36.3"

// calicoVersion is what the programs built from Calico report as their version: the tag of the commit in hack/tools/calico/go.mod.
const calicoVersion = "v3.31.0"

// recipe says how one artifact is made.
type recipe struct {
	// module is the tool module's folder, relative to the repository.
	module string
	// title is what the user reads: the name and version.
	title string
	// cold is a rough duration of the first build, for the user.
	cold string
	// pkg is the package to build, or for a folder the package to run or to copy from.
	pkg string
	// ldflags go to the linker: version strings.
	ldflags string
	// sources are folders of the module whose Go files belong to the key, because the program is ours.
	sources []string
	// assets says that KUBEBUILDER_ASSETS may provide the program.
	assets bool
	// make does the work: it writes the artifact to the path out.
	make func(b *builder, r recipe, out string) error
}

// recipes has one entry per artifact: adding a program is one line.
var recipes = map[Artifact]recipe{
	KubeAPIServer: {module: "hack/tools/kube", pkg: "k8s.io/kubernetes/cmd/kube-apiserver", title: "kube-apiserver " + kubeVersion,
		cold: "about 5 minutes", ldflags: kubeFlags, assets: true, make: goBuild},
	Etcd: {module: "hack/tools/kube", pkg: "go.etcd.io/etcd/server/v3", title: "etcd", cold: "about a minute", assets: true, make: goBuild},
	Kubectl: {module: "hack/tools/kube", pkg: "k8s.io/kubernetes/cmd/kubectl", title: "kubectl " + kubeVersion,
		cold: "about a minute", ldflags: kubeFlags, assets: true, make: goBuild},
	CalicoAPIServer: {module: "hack/tools/calico", pkg: "github.com/projectcalico/calico/apiserver/cmd/apiserver",
		title: "calico-apiserver " + calicoVersion, cold: "about 4 minutes", ldflags: calicoFlags, make: goBuild},
	CalicoFelix: {module: "hack/tools/calico", pkg: "github.com/projectcalico/calico/felix/cmd/calico-felix",
		title: "calico-felix " + calicoVersion, cold: "about 4 minutes", ldflags: calicoFlags, make: goBuild},
	CalicoValidate: {module: "hack/tools/calico", pkg: "./cmd/calico-validate", title: "calico-validate " + calicoVersion,
		cold: "about a minute", sources: []string{"cmd/calico-validate"}, make: goBuild},
	CalicoStorageCRDs: {module: "hack/tools/calico", pkg: "github.com/projectcalico/calico", title: "Calico's storage CRDs " + calicoVersion,
		cold: "a second", make: copyFromModule(filepath.Join("libcalico-go", "config", "crd"), "crd.projectcalico.org_*.yaml")},
	CalicoNativeCRDs: {module: "hack/tools/nativecrds", pkg: ".", title: "native projectcalico.org/v3 CRDs",
		cold: "about a minute", sources: []string{"."}, make: goRun},
}

// All lists every artifact, in the order in which they are best built.
func All() []Artifact {
	return []Artifact{Etcd, KubeAPIServer, Kubectl, CalicoAPIServer, CalicoFelix, CalicoValidate, CalicoStorageCRDs, CalicoNativeCRDs}
}

const kubeFlags = "-X k8s.io/component-base/version.gitVersion=" + kubeVersion +
	" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36" +
	" -X k8s.io/client-go/pkg/version.gitVersion=" + kubeVersion

const calicoFlags = "-X github.com/projectcalico/calico/pkg/buildinfo.Version=" + calicoVersion
