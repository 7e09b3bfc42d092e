#!/usr/bin/env bash
# Everything that must pass, in the order in which it is cheapest to fail: what needs no cluster, then a real
# API server, then the whole way. Each cluster is one of its own and is removed whatever happens.
set -euo pipefail
cd "$(dirname "$0")/.."
python=.venv/bin/python
name=${DUALTRACK_TEST_CLUSTER:-test}
export CLUSTER=${CLUSTER:-local}

$python hack/lab.py tools
# In parallel: nothing here shares a port, a folder that it writes to, or a server with another test.
.venv/bin/pytest -n auto --dist worksteal tests/unit tests/property tests/contract tests/chart "$@"

down() { $python hack/lab.py cluster down --name "$name"; }
trap down EXIT
$python hack/lab.py cluster up --name "$name"
KUBECONFIG=$($python hack/lab.py cluster kubeconfig --name "$name") \
  KUBECTL=${DUALTRACK_CACHE:-$PWD/.cache}/tools/bin/kubectl \
  .venv/bin/pytest tests/cluster "$@"

# A new one: the tests above have installed the chart under names of their own, and Helm keeps its CRD.
down
DUALTRACK_E2E=$name .venv/bin/pytest tests/e2e/test_the_whole_way.py "$@"
