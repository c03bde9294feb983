# Needs make and a Python from 3.11 to 3.14; `test-kafka` and `bench` also a JDK 17 and Maven, `test-kafka` Go and Chromium too.
# Selects the newest Python that runs: a version manager may have a shim on the PATH for an inactive version.
PYTHON ?= $(shell for v in 3.14 3.13 3.12 3.11; do python$$v -c 'import ensurepip, venv' 2>/dev/null && { echo python$$v; exit; }; done; echo python3)
VENV := .venv
BENCH_VENV := .venv-bench
SBOM_VENV := .venv-sbom
# Separate environments: torch has 4 GB, and the OpenTelemetry instrumentations have conflicting requirements.
SIDE_VENVS := .venv-client .venv-torch .venv-otel
BIN := $(VENV)/bin
# uv compiles the installed packages to bytecode, as pip does. Without bytecode, each process takes seconds to start, and the tests start
# hundreds of processes.
export UV_COMPILE_BYTECODE := 1
unexport PYTHONDONTWRITEBYTECODE
# make test ARGS="-k snapshot" narrows a run.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test unit unit-agents unit-drift unit-others unit-client test-kafka test-client test-client-torch test-client-otel fuzz fuzz-worker check smoke bench quality docs lint types format setup lock sbom pin-images clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

demo: setup  ## run the demo with four incidents, without Docker or servers
	$(BIN)/streamgauge demo $(ARGS)

test: setup  ## run all tests except those that need Apache Kafka
	$(BIN)/pytest -m "not kafka" $(ARGS)

test-kafka: setup .venv-client/.installed  ## run the tests on Apache Kafka (JDK 17, Maven), each integration end to end, ClickHouse through JDBC, Go and a browser (Go, Chromium)
	$(BIN)/pytest -m kafka --log-level=INFO $(ARGS)

fuzz: setup  ## send 100,000 malformed bodies to the ingest service over HTTP (six minutes)
	$(BIN)/python -m tests.property.fuzz_ingest $(ARGS)

fuzz-worker: setup  ## send 100,000 hostile and valid records to the worker on Apache Kafka (ten minutes; Java 17, Maven)
	$(BIN)/python -m tests.security.fuzz_worker $(ARGS)

# A new clone compiles all kernels, which takes half a minute of one core. Half of the time is for the drift agent, so its tests run in
# parallel to those of the other agents, and tests that need all kernels run later. The client's tests mostly wait for servers, so three
# jobs fill two cores.
check: setup  ## run format check, linters, type check and unit tests, three jobs in parallel
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

test-client: .venv-client/.installed  ## test the client with the real libraries that it integrates
	cd client && ../.venv-client/bin/mypy
	cd client && ../.venv-client/bin/python -m pytest --ignore tests/pipelines --ignore tests/integrations/opentelemetry_hook/test_newest.py $(ARGS)

test-client-torch: .venv-torch/.installed  ## test the client with transformers pipelines (downloads 2.4 GB once; Java 17, Maven)
	cd client && ../.venv-torch/bin/python -m pytest tests/pipelines tests/docs_and_examples/test_pages.py::test_transformers $(ARGS)
	$(BIN)/pytest tests/e2e/test_transformers.py $(ARGS)

test-client-otel: .venv-otel/.installed  ## test the client with the newest OpenTelemetry GenAI instrumentations
	cd client && ../.venv-otel/bin/python -m pytest tests/integrations/opentelemetry_hook $(ARGS)

smoke: setup  ## compare a replay under the oldest and the newest Python of this machine; the outputs must be equal
	.ci/smoke

bench: setup $(BENCH_VENV)/.installed  ## compare with aiokafka, Quix Streams and Bytewax on Apache Kafka
	$(BIN)/python benchmarks/run.py --peers-python $(BENCH_VENV)/bin/python $(ARGS)

quality: setup  ## measure the agents on held-out sources: make quality ARGS="--data FOLDER"
	OMP_NUM_THREADS=1 $(BIN)/python -m evaluation $(ARGS)

docs: setup  ## generate the references: contracts, settings, tables, metrics
	$(BIN)/python -m schemas.export
	$(BIN)/python -m streams.connectors.clickhouse.table_reference
	$(BIN)/python -m streams.runtime.metrics

lint: setup  ## format check, ruff, import-linter, language of prose and commit subjects
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/python .ci/language.py

types: setup  ## run mypy in strict mode, including tests
	$(BIN)/mypy

format: setup  ## format the code and apply the fixes of ruff
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(VENV)/.installed  ## create .venv, or update it after a change of pyproject.toml or a lock

# Uses uv if available, otherwise pip. Both install the same pinned versions and reject files with a different hash. The two packages of
# this repository are installed last, with the pinned build backend of the lock.
install = if [ -x $(BIN)/uv ]; then installer="$(BIN)/uv pip install --python $(1)/bin/python"; else installer="$(1)/bin/python -m pip install"; fi; \
	  set -ex; $$installer --quiet --require-hashes $(2); $(if $(3),$$installer --quiet --no-deps --no-build-isolation $(3))

$(VENV)/.uv: requirements-uv.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' || { echo "$(VENV) has a Python outside 3.11 to 3.14: make clean, then make setup PYTHON=/path/to/python3.13"; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes -r $< || echo "uv is not available for this machine; using pip"
	touch $@

$(VENV)/.installed: pyproject.toml requirements.lock client/pyproject.toml $(VENV)/.uv
	@$(call install,$(VENV),-r requirements.lock,--editable . --editable client)
	touch $@

# Separate environment: Quix Streams requires older versions of confluent-kafka and pydantic-settings.
$(BENCH_VENV)/.installed: requirements-bench.lock $(VENV)/.installed
	test -x $(BENCH_VENV)/bin/python || $(BIN)/python -m venv $(BENCH_VENV)
	@$(call install,$(BENCH_VENV),-r requirements-bench.lock)
	touch $@

$(SBOM_VENV)/.installed: requirements-sbom.lock $(VENV)/.installed
	test -x $(SBOM_VENV)/bin/python || $(BIN)/python -m venv $(SBOM_VENV)
	@$(call install,$(SBOM_VENV),-r requirements-sbom.lock)
	touch $@

# --no-deps: the locks are complete except for dependencies of torch that are not loaded on a CPU (see LEFT_OUT).
$(SIDE_VENVS:%=%/.installed): .venv-%/.installed: client/requirements-%.lock client/pyproject.toml $(VENV)/.installed
	test -x .venv-$*/bin/python || $(BIN)/python -m venv .venv-$*
	@$(call install,.venv-$*,--no-deps -r client/requirements-$*.lock,--editable client)
	touch $@

sbom: $(SBOM_VENV)/.installed  ## write dist/sbom.cdx.json: packages of the image with versions and hashes (CycloneDX)
	mkdir -p dist
	$(SBOM_VENV)/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible --output-file dist/sbom.cdx.json docker/requirements.lock

pin-images:  ## pin the base images in docker/ to their current digests (needs skopeo and a registry)
	docker/pin-images.sh docker/compose.yml docker/Dockerfile

LEFT_OUT := triton nvidia-cusolver nvidia-cuda-cccl nvidia-nvtx cuda-bindings cuda-pathfinder cuda-toolkit

# Universal: one lock for all Python versions and platforms, with the hash of every file.
COMPILE = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet $(if $(UPGRADE),--upgrade)

lock: $(VENV)/.uv  ## update the locks after a change of pyproject.toml; UPGRADE=1 selects the newest versions
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
