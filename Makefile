# Everything runs from a fresh clone with Go, git and make. Programs that are not Go's own are built from Go modules, into .cache and bin.
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The image that docker-build makes.
IMG ?= multicloud-network-operator:dev
# KEEP=1 leaves the demo running.
KEEP ?=
# How many random fleets the compiler's meaning is checked on, beside those of the race detector's run.
CHECKS ?= 1000
# How long the random history is that the index of pods follows; the race detector's run has a shorter one.
OPERATIONS ?= 1000000
# How many random networks packets are sent through, at least.
NETWORKS ?= 200
# How long fuzz looks for trouble in each fuzz target.
FUZZTIME ?= 30s

BIN := $(CURDIR)/bin
SAY := @printf '\n==> %s\n'

##@ Use
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: build build-demo ## a hub and three members on this machine, networks in force on them (KEEP=1 leaves them running)
	@exec $(BIN)/demo $(if $(KEEP),-keep) up

demo-stop: build-demo ## stop a demo that KEEP=1 left running
	@exec $(BIN)/demo stop

##@ Prove
test: ## everything that proves the product
	@start=$$SECONDS; \
	$(MAKE) require-cc tools verify lint test-unit test-live; \
	printf '\n==> all tests passed in %d s\n' $$((SECONDS - start))

test-unit: require-cc tools-cluster ## pure packages, controllers, tool modules, fuzz seeds: with the race detector
	$(SAY) 'unit tests and fuzz seeds, with the race detector'
	@packages=$$(go list ./... | grep -v /test/); go test -race -shuffle=on $$packages
	$(SAY) 'compiled policies against the specification, $(CHECKS) random fleets'
	@go test ./internal/compile -run 'TestCompiledPoliciesMean|TestCalicoAccepts' -rapid.checks=$(CHECKS)
	$(SAY) 'the index of pods against a plain recomputation, $(OPERATIONS) operations'
	@go test ./internal/identity -run 'TestIndexEquals|Costs|AllocateNothing' -operations=$(OPERATIONS)
	$(SAY) 'tests of the tool modules'
	@cd hack/tools/nativecrds && CGO_ENABLED=0 go test ./...
	@cd hack/tools/calico && CGO_ENABLED=0 go test ./cmd/...

# Tests on control planes wait more than they compute, so that many run at once. The faults take longest and begin first.
LIVE := go test -race -shuffle=on -p 3 -parallel 6 -timeout 40m

# One story on one range, so that -v shows how far it is.
PACKETS := go test -count=1 -v -timeout 60m ./test/dataplane

test-live: require-cc tools ## all tests on real control planes, at once: those of the next three targets
	$(SAY) 'tests on real control planes with the real Calico API, about 10 minutes; each package reports when it is done'
	@$(LIVE) ./test/faults ./test/integration $$(go list ./test/... | grep -vE '/test/(faults|integration)$$|/test/dataplane')

test-crd: require-cc tools-cluster ## schema and CEL rules, on a real kube-apiserver
	$(SAY) 'schema tests, on a real kube-apiserver'
	@$(LIVE) ./test/crd

test-integration: require-cc tools ## hub and members: real control planes, real Calico API, samples
	$(SAY) 'integration tests, on real control planes with the real Calico API'
	@$(LIVE) ./test/integration $$(go list ./test/... | grep -vE '/test/(crd|dataplane|faults|integration)')

test-faults: require-cc tools-cluster ## a fleet that is broken in every way of docs/faults.md: the real program, real control planes
	$(SAY) 'faults: members and hub killed, frozen, emptied and lied about'
	@$(LIVE) ./test/faults/...

test-dataplane: tools-cluster ## every flow between the pods of three clusters, through real Felix; as root (DATAPLANE=nftables, NETWORKS=200)
	$(SAY) 'packets through real Felix: clusters, nodes and pods in network namespaces, $(NETWORKS) random networks'
	@go test -count=1 -v ./test/dataplane/lab
	@$(PACKETS) -networks $(NETWORKS)

mutants: tools-cluster ## the operator with deliberate faults, each of which packets must catch; as root
	$(SAY) 'deliberate faults, each caught by packets'
	@$(PACKETS) -run TestMutants -mutants

dataplane-doc: tools-cluster ## docs/verification.md, with what these runs see; as root
	@DATAPLANE=iptables $(PACKETS) -update-docs -networks $(NETWORKS)
	@DATAPLANE=nftables $(PACKETS) -update-docs -networks $(NETWORKS)
	@$(PACKETS) -run TestMutants -mutants -update-docs

faults-doc: tools-cluster ## docs/faults.md, with the times that this run measures
	@go test -timeout 20m -run 'TestFaults' ./test/faults -update-docs

fuzz: ## look for trouble in each fuzz target for FUZZTIME (30s)
	@grep -rlE '^func Fuzz' --include='*_test.go' internal | sort | while read -r file; do \
	  for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file"); do \
	    printf '\n==> %s in %s\n' "$$target" "$$(dirname "$$file")"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "./$$(dirname "$$file")"; \
	  done; \
	done

lint: $(BIN)/golangci-lint ## go vet, import walls, function length, documentation
	$(SAY) 'go vet and golangci-lint'
	@go vet ./...
	@$(BIN)/golangci-lint run ./...

verify: $(BIN)/controller-gen $(BIN)/crd-ref-docs ## generated files and go.mod are up to date
	$(SAY) 'generated files and go.mod are up to date'
	@hack/generate.sh --check
	@go mod tidy -diff

##@ Change
generate: $(BIN)/controller-gen $(BIN)/crd-ref-docs ## deep copies, CRDs and the API reference, from the types
	@hack/generate.sh

manifests: generate ## the same: CRDs come from the types

##@ Build
build: ## the operator, into bin/manager
	$(SAY) 'building the operator'
	@go build -o $(BIN)/manager .

plugin: ## kubectl mcn, into bin
	$(SAY) 'building the kubectl plugin'
	@go build -o $(BIN)/kubectl-mcn ./cmd/kubectl-mcn
	@install -m 755 cmd/kubectl-mcn/kubectl_complete-mcn $(BIN)/
	@printf 'kubectl finds it on the PATH:\n  export PATH=%s:$$PATH\n  kubectl mcn --help\n' '$(BIN)'

docker-build: ## the operator's image, IMG=name:tag
	docker build -t $(IMG) .

tools: tools-cluster $(BIN)/golangci-lint $(BIN)/controller-gen $(BIN)/crd-ref-docs ## all programs that tests and the demo need

clean: ## what was built, and the cache with the tools (the next build takes long again)
	@! test -e .cache/demo/state.json || { echo 'a demo is running: make demo-stop'; exit 1; }
	@rm -rf bin dist .cache

# Below are steps of the targets above.

build-demo:
	@go build -o $(BIN)/demo ./hack/demo
	@go build -o $(BIN)/kubectl-mcn ./cmd/kubectl-mcn
	@install -m 755 cmd/kubectl-mcn/kubectl_complete-mcn $(BIN)/

tools-cluster:
	$(SAY) 'control planes and Calico, built from Go modules (from .cache, after the first time)'
	@go run ./test/cluster/cmd/tools >/dev/null

$(BIN)/golangci-lint: hack/tools/lint/go.mod hack/tools/lint/go.sum
	$(SAY) 'building golangci-lint, about 3 minutes the first time'
	@cd hack/tools/lint && CGO_ENABLED=0 go build -trimpath -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint && touch $@

$(BIN)/controller-gen: hack/tools/gen/go.mod hack/tools/gen/go.sum
	$(SAY) 'building controller-gen'
	@cd hack/tools/gen && CGO_ENABLED=0 go build -trimpath -o $@ sigs.k8s.io/controller-tools/cmd/controller-gen && touch $@

$(BIN)/crd-ref-docs: hack/tools/gen/go.mod hack/tools/gen/go.sum
	$(SAY) 'building crd-ref-docs'
	@cd hack/tools/gen && CGO_ENABLED=0 go build -trimpath -o $@ github.com/elastic/crd-ref-docs && touch $@

# The race detector is the one thing that needs a C compiler.
require-cc:
	@command -v "$$(go env CC)" >/dev/null && exit 0; \
	if [[ $$(id -u) == 0 ]] && command -v apt-get >/dev/null; then \
	  echo '==> the race detector needs a C compiler: apt-get install gcc'; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null; \
	else \
	  echo 'the race detector needs a C compiler, and there is none: install gcc (Debian: apt-get install gcc libc6-dev)' >&2; exit 1; \
	fi

.PHONY: help demo demo-stop test test-unit test-live test-crd test-integration test-faults test-dataplane mutants dataplane-doc faults-doc fuzz lint verify generate manifests build plugin docker-build tools clean \
  build-demo tools-cluster require-cc
