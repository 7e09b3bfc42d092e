# The commands that people and CI run. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export DUALTRACK_CACHE ?= $(CURDIR)/.cache
export UV_CACHE_DIR ?= $(DUALTRACK_CACHE)/uv
UV := $(DUALTRACK_CACHE)/uv-tool/bin/uv
PY := .venv/bin/python
# Images often set it. Without bytecode every worker of pytest and every command that a test starts compiles anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## List what can be made
	@awk -F':.*## ' '/^[a-zA-Z0-9_%-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	python3 -m venv $(DUALTRACK_CACHE)/uv-tool
	$(DUALTRACK_CACHE)/uv-tool/bin/python -m pip install --quiet uv

# Scripts and the editable install name the folder that they were made in: a copied checkout makes its own.
ifneq ($(shell cat .venv/.place 2>/dev/null || echo $(CURDIR)),$(CURDIR))
$(shell rm -rf .venv)
endif

.venv/.ready: requirements.lock pyproject.toml hatch_build.py $(wildcard operator/dualtrack/engine/native/*.[ch]) | $(UV)
	$(UV) venv --quiet --allow-existing --python python3 .venv
	$(UV) pip sync --quiet --python .venv --require-hashes requirements.lock
	$(UV) pip install --quiet --python .venv --no-deps --editable .
	@echo $(CURDIR) > .venv/.place
	@touch $@

.PHONY: venv
venv: .venv/.ready ## Install Python packages into .venv

.PHONY: lock
lock: | $(UV) ## Resolve requirements.lock anew
	$(UV) pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 \
	  --group dev --custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
	$(UV) pip compile --quiet --universal --generate-hashes --no-annotate --python-version 3.11 \
	  --constraint requirements.lock --custom-compile-command "make lock" \
	  --output-file requirements-runtime.lock pyproject.toml

.PHONY: format
format: venv ## Format and mend what can be mended
	.venv/bin/ruff format operator tests hack benchmarks hatch_build.py
	.venv/bin/ruff check --fix operator tests hack benchmarks hatch_build.py

.PHONY: check
check: venv ## Format, lint, types, contracts, generated files
	.venv/bin/ruff format --check operator tests hack benchmarks hatch_build.py
	.venv/bin/ruff check operator tests hack benchmarks hatch_build.py
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PY) -m dualtrack.api.crdgen --check
	$(PY) hack/manifests.py --check

.PHONY: manifests
manifests: venv ## Write the CRD, the chart's copy of it and manifests/install.yaml
	$(PY) -m dualtrack.api.crdgen
	$(PY) hack/manifests.py

.PHONY: unit
unit: venv ## Tests that need no cluster (minutes)
	.venv/bin/pytest -n auto --dist worksteal tests/unit tests/property tests/contract tests/chart

.PHONY: test
test: check ## Everything that must pass, a whole run on a real cluster included
	hack/test.sh

.PHONY: test-long
test-long: venv ## The long suites: crash states, kills, state machine, corruption, soak (hours; see docs/internals/test-long.md)
	.venv/bin/python hack/test_long.py

.PHONY: sanitize
sanitize: venv ## The native library under AddressSanitizer, UndefinedBehaviorSanitizer and ThreadSanitizer (minutes)
	.venv/bin/pytest tests/long/test_native_bounds.py tests/long/test_native_races.py

.PHONY: e2e
e2e: venv ## Every end-to-end case: kills, outages, damage, drift, rollback (half an hour)
	.venv/bin/pytest tests/e2e

bench-%: venv ## Measure: make bench-migrate [ARGS="--shape parts"]; benchmarks/README.md lists them
	$(PY) -m benchmarks.$* $(ARGS)

.PHONY: tools
tools: venv ## Install packages and build the local cluster's programs into the cache
	$(PY) hack/lab.py tools

.PHONY: image
image: venv ## Build the image dualtrack:dev as a docker-archive
	$(PY) hack/lab.py image

.PHONY: cluster
cluster: venv ## Start a cluster, by CLUSTER=existing, kind or local
	$(PY) hack/lab.py cluster up

.PHONY: cluster-down
cluster-down: venv ## End the cluster that `make cluster` started and remove its traces
	$(PY) hack/lab.py cluster down

.PHONY: minio
minio: venv ## Run a real MinIO: make minio DRIVE=DIR [PORT=9000]
	$(PY) hack/lab.py minio --drive $(DRIVE) --port $(or $(PORT),9000)

.PHONY: demo
demo: venv ## One migration from nothing to Complete on a real cluster, watched live
	PYTHONPATH=hack .venv/bin/python -m demo play

.PHONY: demo-clean
demo-clean: venv ## Remove all that the demo left (caches stay)
	PYTHONPATH=hack .venv/bin/python -m demo clean
