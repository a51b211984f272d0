#!/usr/bin/env bash
# Generates what comes from the types in api: deep copies, CRDs and the API reference. With --check it changes nothing and says
# whether they are up to date. The programs are those that "make tools" builds into bin.
set -euo pipefail
cd "$(dirname "$0")/.."

# generate writes all generated files below the folder $1, at the paths that they have in the repository.
generate() {
  local out=$1
  bin/controller-gen object paths=./api/... output:object:dir="$out/api/v1alpha1"
  bin/controller-gen crd paths=./api/... output:crd:dir="$out/config/crd/bases"
  if [[ -f docs/reference/config.yaml ]]; then
    bin/crd-ref-docs --log-level=ERROR --source-path=api --config=docs/reference/config.yaml --renderer=markdown \
      --output-path="$out/docs/reference/api.md"
  fi
}

case ${1:-} in
  '') generate . ;;
  --check)
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
    mkdir -p "$out"/{api/v1alpha1,config/crd/bases,docs/reference}
    generate "$out"
    stale=0
    while read -r file; do
      diff -u "$file" "$out/$file" || stale=1
    done < <(cd "$out" && find . -type f | sort)
    if [[ $stale != 0 ]]; then
      echo 'generated files are not up to date: run "make generate" and commit the result' >&2
      exit 1
    fi
    ;;
  *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac
