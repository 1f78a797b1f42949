#!/bin/sh
# Runs the linters of what is in this folder, those that are installed, and says which are not. Exit code 1 where one finds something.
#
# KUBERNETES_SCHEMAS: where kubeconform finds the schemas of Kubernetes, where not in its own place on the internet, such as
# '/schemas/{{ .ResourceKind }}{{ .KindSuffix }}.json'.
set -u
cd "$(dirname "$0")" || exit 1

chart=helm/scaimind
kubernetes=1.33.1
failed=
skipped=

# check WHAT TOOL COMMAND …
check() {
  what=$1 tool=$2
  shift 2
  if ! command -v "$tool" >/dev/null 2>&1; then
    skipped="$skipped
  $what: $tool is not installed"
  elif "$@"; then
    echo "ok      $what ($tool)"
  else
    echo "FAILED  $what ($tool)"
    failed=1
  fi
}

# Docker's command may be there without compose.
compose() {
  MARIADB_ROOT_PASSWORD=x MARIADB_PASSWORD=x SCAIMIND_API_SECRET=x SCAIMIND_SLURM_USER=1000:1000 SCAIMIND_SHARED_FOLDER=/shared \
    docker compose "$@" config --quiet
}

render() {
  helm template scaimind $chart --kube-version $kubernetes --namespace slurm "$@"
}

conforms() {
  render "$@" | kubeconform -strict -kubernetes-version $kubernetes -schema-location "${KUBERNETES_SCHEMAS:-default}" \
    -skip cert-manager.io/v1/Certificate,monitoring.coreos.com/v1/ServiceMonitor
}

is_refused() {
  ! render "$@" >/dev/null 2>&1
}

check Dockerfile hadolint hadolint Dockerfile
check 'shell scripts' shellcheck shellcheck make-certificates.sh validate.sh
check 'systemd units' systemd-analyze systemd-analyze verify systemd/scaimind-api.service systemd/scaimind-coordinator.service systemd/scaimind-migrate.service

if docker compose version >/dev/null 2>&1; then
  check compose.yaml docker compose -f compose.yaml
  check compose.slurm.yaml docker compose -f compose.yaml -f compose.slurm.yaml
else
  skipped="$skipped
  compose.yaml, compose.slurm.yaml: docker compose is not installed"
fi

check 'chart' helm helm lint --strict --quiet --kube-version $kubernetes $chart
check 'chart: a misspelt value is refused' helm is_refused --set coordinator.replcas=2
check 'chart: two coordinators with the local engine are refused' helm is_refused --set coordinator.replicas=2

if command -v helm >/dev/null 2>&1; then
  check 'chart, as it comes' kubeconform conforms
  check 'chart, beside Slinky' kubeconform conforms --values $chart/values-slinky.yaml
  check 'chart, all options on' kubeconform conforms --values $chart/ci/all-values.yaml
else
  skipped="$skipped
  chart against the schemas of Kubernetes: helm is not installed"
fi

[ -z "$skipped" ] || printf '\nNOT CHECKED%s\n' "$skipped"
[ -z "$failed" ]
