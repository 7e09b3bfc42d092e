#!/usr/bin/env bash
# Everything that must pass, in the order in which it is cheapest to fail: what needs no cluster, then a real
# API server, then the whole way. The cluster is one of its own and is removed whatever happens.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
name=${DUALTRACK_TEST_CLUSTER:-test}

$python hack/lab.py tools
.venv/bin/pytest tests/unit tests/property tests/contract tests/chart "$@"

trap '$python hack/lab.py cluster down --name "$name"' EXIT
CLUSTER=${CLUSTER:-local} $python hack/lab.py cluster up --name "$name"
KUBECONFIG=$($python hack/lab.py cluster kubeconfig --name "$name")
KUBECTL=${DUALTRACK_CACHE:-$PWD/.cache}/tools/bin/kubectl
export KUBECONFIG KUBECTL
.venv/bin/pytest tests/cluster "$@"
CLUSTER=${CLUSTER:-local} $python hack/lab.py load --name "$name"
DUALTRACK_E2E=$name .venv/bin/pytest tests/e2e/test_the_whole_way.py "$@"
