# Everything a developer or CI runs. `make` alone lists the targets; each sets up what it needs.

MAKEFLAGS += --no-print-directory --warn-undefined-variables
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The first Python that is new enough; `make PYTHON=…` chooses another.
PYTHON ?= $(shell for python in python3.11 python3 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

BIN := .venv/bin
PY := $(BIN)/python
NPM_BIN := node_modules/.bin
PROTOS := $(wildcard protos/evergreen/v1/*.proto)
LOCKS := $(wildcard requirements/*.txt) package-lock.json
ARGS ?=
# How many tests run at a time: one more than there are cores, since many tests wait more than they compute. No more than
# five, each with its servers, since a container may show all cores of its host and lend only a few.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(1 + min(4, os.cpu_count() or 1))')

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## Setting up. A stamp in .make is newer than what it was made from, unless there is something to do.

.PHONY: setup
setup: .make/project node_modules/.package-lock.json ## Create .venv and node_modules from the locks

.venv/pyvenv.cfg .venv-proto/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one with make PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(@D)

# uv does in seconds what takes pip more than a minute; where it reaches no index, since the index is named in pip's own
# settings, pip does it.
.make/lock: .venv/pyvenv.cfg requirements/dev.txt
	@mkdir -p .make
	@awk '/^[^ #]/ { wanted = /^uv==/ } wanted' requirements/dev.txt >.make/uv.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r .make/uv.txt
	$(BIN)/uv pip install --quiet --python $(PY) --require-hashes -r requirements/dev.txt \
		|| $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

.make/project: .make/lock pyproject.toml
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The generators run in an environment of their own: their age sets the oldest grpcio and protobuf that users may have,
# and would hold back everything else.
.make/proto: .venv-proto/pyvenv.cfg requirements/proto.txt
	.venv-proto/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/proto.txt
	@mkdir -p .make && touch $@

# The packages' own install scripts are not run: none of them is needed.
node_modules/.package-lock.json: package.json package-lock.json clients/typescript/package.json
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

## The contract.

# $(call generate,DIR) writes all stubs under DIR, in the folders that they have in the repository.
define generate
	PATH="$$PWD/.venv-proto/bin:$$PATH" .venv-proto/bin/python -m grpc_tools.protoc -Iprotos \
		--python_out=$(1)/clients/python --grpc_python_out=$(1)/clients/python \
		--mypy_out=quiet:$(1)/clients/python --mypy_grpc_out=quiet:$(1)/clients/python $(PROTOS)
	PATH="$$PWD/$(NPM_BIN):$$PATH" buf generate --output $(1)
endef

# $(call reference,FILE) writes the API reference, from the comments.
define reference
	.venv-proto/bin/python -m grpc_tools.protoc -Iprotos --include_source_info \
		--descriptor_set_out=.make/contract.binpb $(sort $(PROTOS))
	.venv-proto/bin/python docs/make_reference.py .make/contract.binpb >$(1)
endef

.PHONY: proto
proto: .make/proto node_modules/.package-lock.json ## Generate the Python and TypeScript stubs and docs/reference.md
	rm -f clients/python/evergreen/v1/*_pb2*
	$(call generate,.)
	$(call reference,docs/reference.md)

.PHONY: docs
docs: .make/proto ## Generate docs/reference.md alone
	$(call reference,docs/reference.md)

.PHONY: check-proto
check-proto: .make/proto node_modules/.package-lock.json ## Lint the contract, compare it with main, prove the stubs current
	$(NPM_BIN)/buf lint
	$(NPM_BIN)/buf format --diff --exit-code
	@.ci/breaking $(NPM_BIN)/buf
	@rm -rf .make/generated && mkdir -p .make/generated/clients/python
	@$(call generate,.make/generated)
	@diff -r -x __init__.py -x __pycache__ .make/generated/clients/python/evergreen/v1 clients/python/evergreen/v1 \
		&& diff -r .make/generated/clients/typescript/src/gen clients/typescript/src/gen \
		|| { echo "The stubs are not what the protos say: run make proto." >&2; exit 1; }
	@$(call reference,.make/generated/reference.md)
	@diff .make/generated/reference.md docs/reference.md \
		|| { echo "docs/reference.md is not what the protos say: run make docs." >&2; exit 1; }
	@echo "The stubs and the reference are current."

## Looking at the code.

.PHONY: fmt
fmt: setup ## Format and mend what can be mended
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(NPM_BIN)/buf format --write

.PHONY: lint
lint: setup ## Lint, and check formatting and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

.PHONY: types
types: setup ## Check types, Python and TypeScript
	$(BIN)/mypy
	$(NPM_BIN)/tsc -p clients/typescript
	$(NPM_BIN)/tsc --noEmit -p tests/clients/typescript
	$(NPM_BIN)/tsc --noEmit -p examples/worker

.PHONY: check-locks
check-locks: ## Prove that no lock names a host
	@! grep -n '://' $(LOCKS) .npmrc || { echo "A lock names a host." >&2; exit 1; }
	@echo "The locks name no host."

.PHONY: check-deploy
check-deploy: setup ## Lint the Dockerfile, and check compose.yaml against the schema of Compose
	@# A Linux wheel alone exists of it.
	@test "$$(uname)" != Linux || $(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml

.PHONY: check
check: lint types check-proto check-locks check-deploy ## Run every check that is not a test

## Running it.

.PHONY: test
test: setup typescript ## Run all tests, WORKERS=… at a time; ARGS="-k watch" chooses among those in Python
	$(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)
	@$(MAKE) test-typescript

# The pytest that watches from Node runs what is compiled here too.
.PHONY: typescript
typescript: setup ## Compile the TypeScript client, its example and its tests
	rm -rf .make/typescript
	$(NPM_BIN)/tsc -p clients/typescript
	$(NPM_BIN)/tsc -p clients/typescript/tsconfig.cjs.json
	cp clients/typescript/commonjs.json clients/typescript/dist/cjs/package.json
	$(NPM_BIN)/tsc -p examples/worker --outDir .make/typescript/worker
	$(NPM_BIN)/tsc -p tests/clients/typescript

.PHONY: test-typescript
test-typescript: typescript ## Run the tests of the TypeScript client
	node --test --test-concurrency=$(WORKERS) --test-reporter=spec .make/typescript/*.test.js

.PHONY: coverage
coverage: setup ## Run all tests in Python and tell which lines none of them reaches
	$(PY) -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term-missing:skip-covered $(ARGS)

.PHONY: mutants
mutants: setup ## Take guards away in a copy, one by one, and tell which no test misses; ARGS=balance chooses
	$(PY) -m tests.mutants $(ARGS)

.PHONY: e2e
e2e: setup ## Run only the tests with real processes
	$(PY) -m pytest tests/e2e $(ARGS)

# An S3 server that is no emulator. Two tests are not for it: one sends a session token that nobody issued, the other
# takes out of requests, on their way, conditions that are part of what is signed.
.PHONY: test-rgw
test-rgw: setup ## Run the storage tests on Ceph's object gateway, from Debian's radosgw ceph-mon ceph-osd ceph-common
	$(PY) -m pytest tests/storage --rgw -k "s3 and not vendors_own_variables and not ignores_conditions" $(ARGS)

.PHONY: test-pgbouncer
test-pgbouncer: setup ## Try the service behind a real PgBouncer, from Debian's package of that name
	$(PY) -m tests.pgbouncer

KILLS ?= 500
SEED ?= 1

.PHONY: chaos
chaos: setup ## Kill servers KILLS=500 times by SEED=1, and tell what was lost, paid twice, torn or missed
	$(PY) -m tests.chaos --kills $(KILLS) --seed $(SEED) $(ARGS)

.PHONY: outages
outages: setup ## Take database, storage, provider and disk away for 30 to 60 s each, and tell what that cost
	$(PY) -m tests.chaos.outages $(ARGS)

.PHONY: run
run: setup ## Serve on 127.0.0.1:50051 with the sandbox as provider
	$(BIN)/evergreen serve --sandbox $(ARGS)

.PHONY: demo
demo: setup ## Turn a picture into a clip, watched live; needs no key
	$(PY) examples/demo.py $(ARGS)

.PHONY: bench
bench: setup ## Measure
	$(PY) -m tests.benchmarks $(ARGS)

## Shipping it.

.PHONY: build
build: typescript ## Build wheel, sdist and npm tarball, and import the wheel away from the sources
	rm -rf dist
	$(BIN)/uv build --quiet --no-build-isolation --python $(PY) --out-dir dist
	@rm -rf .make/wheel
	$(BIN)/uv pip install --quiet --python $(PY) --no-deps --target .make/wheel dist/*.whl
	@cd .make/wheel && PYTHONPATH=. ../../$(PY) -P -c "$$IMPORT_WHEEL"
	@cd clients/typescript && npm pack --silent --ignore-scripts --pack-destination ../../dist
	@ls -l dist

define IMPORT_WHEEL
import pathlib
import evergreen, evergreen_server, evergreen_storage, evergreen.v1.scene_pb2_grpc, evergreen.v1.video_pb2_grpc
for package in (evergreen, evergreen_server, evergreen_storage):
    assert pathlib.Path(package.__file__).is_relative_to(pathlib.Path.cwd()), package.__file__
endef
export IMPORT_WHEEL

.PHONY: locks
locks: setup ## Choose the newest allowed versions anew
	$(BIN)/uv pip compile --quiet --upgrade $(COMPILE) pyproject.toml --extra server --group dev -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --upgrade $(COMPILE) pyproject.toml --extra postgres --extra s3 -o requirements/server.txt
	$(BIN)/uv pip compile --quiet --upgrade $(COMPILE) --group build -o requirements/build.txt
	$(BIN)/uv pip compile --quiet --upgrade $(COMPILE) requirements/proto.in -o requirements/proto.txt
	npm install --package-lock-only --ignore-scripts --no-audit --no-fund --loglevel=error
	@node -e "$$PLAIN_LOCK"

# npm copies addresses of licences and of who asks for money into the lock; a lock is to name no host.
define PLAIN_LOCK
const fs = require("node:fs"), lock = JSON.parse(fs.readFileSync("package-lock.json", "utf8"));
for (const entry of Object.values(lock.packages)) {
  delete entry.funding;
  if (String(entry.license).includes("://")) delete entry.license;
}
fs.writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n");
endef
export PLAIN_LOCK

COMPILE := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.PHONY: clean
clean: ## Remove what the other targets made; never data
	rm -rf .make .venv .venv-proto node_modules build dist clients/typescript/dist
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info
