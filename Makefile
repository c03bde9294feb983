# Needs make and a Python from 3.11 to 3.14; `test-kafka` and `bench` also a JDK 17 and Maven, `test-kafka` Go and Chromium too.
# The newest that runs: a version manager's shim may be on the PATH for a version that is not active.
PYTHON ?= $(shell for v in 3.14 3.13 3.12 3.11; do python$$v -c 'import ensurepip, venv' 2>/dev/null && { echo python$$v; exit; }; done; echo python3)
VENV := .venv
BENCH_VENV := .venv-bench
SBOM_VENV := .venv-sbom
# Each in an environment of its own: torch is 4 GB, and OpenTelemetry's instrumentations do not all fit into one.
SIDE_VENVS := .venv-client .venv-torch .venv-otel
BIN := $(VENV)/bin
# uv compiles what it installs, as pip does, and what was compiled is kept: a process that has to do that itself takes seconds to start, and
# the tests start hundreds.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE
# make test ARGS="-k snapshot" narrows a run.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test unit unit-agents unit-drift unit-others unit-client test-kafka test-client test-client-torch test-client-otel fuzz fuzz-worker check smoke bench quality docs lint types format setup lock sbom pin-images clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: setup  ## watch four incidents being caught, without Docker or servers
	$(BIN)/streamgauge demo $(ARGS)

test: setup  ## every test but those that need a real Kafka
	$(BIN)/pytest -m "not kafka" $(ARGS)

test-kafka: setup .venv-client/.installed  ## the tests on Apache Kafka itself (JDK 17, Maven), each integration end to end, ClickHouse by JDBC, Go and a browser (Go, Chromium)
	$(BIN)/pytest -m kafka --log-level=INFO $(ARGS)

fuzz: setup  ## 100,000 broken bodies against the gateway over HTTP, each answered (six minutes)
	$(BIN)/python -m tests.property.fuzz_ingest $(ARGS)

fuzz-worker: setup  ## 100,000 hostile records against the worker on real Kafka, beside honest ones (ten minutes; Java 17, Maven)
	$(BIN)/python -m tests.security.fuzz_worker $(ARGS)

# A fresh clone compiles all kernels, half a minute of one core. Drift's are half of them: its tests go beside the other agents', and what
# needs all kernels comes later. The client's tests mostly wait for servers, so three at a time fill two cores.
check: setup  ## format, lint, layers, types, unit tests; three at a time
	$(MAKE) --jobs 3 --output-sync=target unit-agents unit-drift unit-client unit-others types lint

unit: unit-agents unit-drift unit-others

unit-agents: setup
	$(BIN)/pytest -m "not kafka" tests/unit/agents tests/unit/processing --ignore tests/unit/agents/drift $(ARGS)

unit-drift: setup
	$(BIN)/pytest -m "not kafka" tests/unit/agents/drift $(ARGS)

unit-others: setup
	$(BIN)/pytest -m "not kafka" tests/unit --ignore tests/unit/agents --ignore tests/unit/processing $(ARGS)

unit-client: setup
	cd client && ../$(BIN)/python -m pytest tests/unit $(ARGS)

test-client: .venv-client/.installed  ## the client with the real libraries it integrates
	cd client && ../.venv-client/bin/mypy
	cd client && ../.venv-client/bin/python -m pytest --ignore tests/pipelines --ignore tests/integrations/opentelemetry_hook/test_newest.py $(ARGS)

test-client-torch: .venv-torch/.installed  ## the client with transformers pipelines (downloads 2.4 GB once; Java 17, Maven)
	cd client && ../.venv-torch/bin/python -m pytest tests/pipelines tests/docs_and_examples/test_pages.py::test_transformers $(ARGS)
	$(BIN)/pytest tests/e2e/test_transformers.py $(ARGS)

test-client-otel: .venv-otel/.installed  ## the client with OpenTelemetry's newest GenAI instrumentations
	cd client && ../.venv-otel/bin/python -m pytest tests/integrations/opentelemetry_hook $(ARGS)

smoke: setup  ## replay the same events under the oldest and the newest Python of this machine; outputs must be equal
	.ci/smoke

bench: setup $(BENCH_VENV)/.installed  ## measure against aiokafka, Quix Streams and Bytewax, on real Kafka
	$(BIN)/python benchmarks/run.py --peers-python $(BENCH_VENV)/bin/python $(ARGS)

quality: setup  ## measure the agents on sources they never saw: make quality ARGS="--data ../shared/data"
	OMP_NUM_THREADS=1 $(BIN)/python -m evaluation $(ARGS)

docs: setup  ## write the generated references: contracts, settings, tables, metrics
	$(BIN)/python -m schemas.export
	$(BIN)/python -m streams.connectors.clickhouse.table_reference
	$(BIN)/python -m streams.runtime.metrics

lint: setup  ## format check, ruff, import-linter, language of prose and commit subjects
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python .ci/language.py

types: setup  ## mypy, strict, tests too
	$(BIN)/mypy

format: setup  ## format, and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(VENV)/.installed  ## make .venv; again only when pyproject.toml or a lock changed

# uv where it can be had, pip where not: both install the very same pinned versions and refuse a file with another hash.
# Our own two packages come last and are built by the pinned build backend of the lock, not by one fetched for the occasion.
install = if [ -x $(BIN)/uv ]; then installer="$(BIN)/uv pip install --python $(1)/bin/python"; else installer="$(1)/bin/python -m pip install"; fi; \
	  set -ex; $$installer --quiet --require-hashes $(2); $(if $(3),$$installer --quiet --no-deps --no-build-isolation $(3))

$(VENV)/.uv: requirements-uv.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { echo "$(VENV) has a Python outside 3.11 to 3.14: make clean, then make setup PYTHON=/path/to/python3.13"; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes -r $< || echo "no uv for this machine; going on with pip"
	touch $@

$(VENV)/.installed: pyproject.toml requirements.lock client/pyproject.toml $(VENV)/.uv
	@$(call install,$(VENV),-r requirements.lock,--editable . --editable client)
	touch $@

# An environment of its own: Quix Streams wants an older confluent-kafka and pydantic-settings than we do.
$(BENCH_VENV)/.installed: requirements-bench.lock $(VENV)/.installed
	test -x $(BENCH_VENV)/bin/python || $(BIN)/python -m venv $(BENCH_VENV)
	@$(call install,$(BENCH_VENV),-r requirements-bench.lock)
	touch $@

$(SBOM_VENV)/.installed: requirements-sbom.lock $(VENV)/.installed
	test -x $(SBOM_VENV)/bin/python || $(BIN)/python -m venv $(SBOM_VENV)
	@$(call install,$(SBOM_VENV),-r requirements-sbom.lock)
	touch $@

# --no-deps: the locks are whole, but for what of torch's dependencies is never loaded on a CPU (see LEFT_OUT).
$(SIDE_VENVS:%=%/.installed): .venv-%/.installed: client/requirements-%.lock client/pyproject.toml $(VENV)/.installed
	test -x .venv-$*/bin/python || $(BIN)/python -m venv .venv-$*
	@$(call install,.venv-$*,--no-deps -r client/requirements-$*.lock,--editable client)
	touch $@

sbom: $(SBOM_VENV)/.installed  ## write dist/sbom.cdx.json: what the image installs, with versions and hashes (CycloneDX)
	mkdir -p dist
	$(SBOM_VENV)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json docker/requirements.lock

pin-images:  ## write the current digests of the base images into docker/ (needs docker's buildx and a registry)
	docker/pin-images.sh docker/compose.yml docker/Dockerfile

LEFT_OUT := triton nvidia-cusolver nvidia-cuda-cccl nvidia-nvtx cuda-bindings cuda-pathfinder cuda-toolkit

# Universal: one lock for all versions of Python and all platforms, with the hash of every file.
COMPILE = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet $(if $(UPGRADE),--upgrade)

lock: $(VENV)/.uv  ## pin again after pyproject.toml changed; UPGRADE=1 takes the newest versions
	$(COMPILE) requirements-uv.in --output-file requirements-uv.lock
	$(COMPILE) requirements-sbom.in --output-file requirements-sbom.lock
	$(COMPILE) requirements-bench.in --output-file requirements-bench.lock
	$(COMPILE) pyproject.toml --group dev --output-file requirements.lock
	$(COMPILE) pyproject.toml --constraint requirements.lock --output-file docker/requirements.lock
	$(COMPILE) pyproject.toml --constraint requirements.lock --extra reviewers --output-file docker/requirements-reviewers.lock
	$(COMPILE) --group build --constraint requirements.lock --output-file docker/requirements-build.lock
	for of in client torch otel; do \
	  $(COMPILE) client/requirements-$$of.in $(LEFT_OUT:%=--no-emit-package %) --output-file client/requirements-$$of.lock || exit 1; \
	done

clean:  ## remove environments, caches and test brokers (Kafka's jars stay)
	rm -rf $(VENV) $(BENCH_VENV) $(SBOM_VENV) $(SIDE_VENVS) .venv-smoke-* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .demo dist build *.egg-info
	find .kafka -mindepth 1 -maxdepth 1 ! -name libs -exec rm -rf {} + 2>/dev/null || true
