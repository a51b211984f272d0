#!/usr/bin/env bash
# Prints the kubeconfig that the hub gets for a member: the server and CA of one of your contexts, with the token of the service account
# that config/member-rbac makes. The namespace and the name are those of config/member-rbac.
#
#   hack/member-kubeconfig.sh my-context > my-member.kubeconfig
#
# The token is that of the Secret multicloud-network-member, which does not expire. Where no controller fills that Secret, a token for
# DURATION (default 24h) is asked for instead.
set -euo pipefail

if [[ $# -ne 1 ]]; then
  echo "usage: $0 CONTEXT" >&2
  exit 2
fi
context=$1
namespace=multicloud-network-system
account=multicloud-network-member

config() { kubectl config view --context "$context" --minify --flatten --raw -o jsonpath="$1"; }
server=$(config '{.clusters[0].cluster.server}')
ca=$(config '{.clusters[0].cluster.certificate-authority-data}')
if [[ -z $server || -z $ca ]]; then
  echo "context $context has no server or no CA data: the operator takes https with a CA only" >&2
  exit 1
fi

token=$(kubectl --context "$context" -n "$namespace" get secret "$account" -o go-template='{{with .data}}{{with .token}}{{. | base64decode}}{{end}}{{end}}')
if [[ -z $token ]]; then
  token=$(kubectl --context "$context" -n "$namespace" create token "$account" --duration "${DURATION:-24h}")
fi

cat <<KUBECONFIG
apiVersion: v1
kind: Config
current-context: member
contexts:
- name: member
  context: {cluster: member, user: $account}
clusters:
- name: member
  cluster:
    server: $server
    certificate-authority-data: $ca
users:
- name: $account
  user:
    token: $token
KUBECONFIG
