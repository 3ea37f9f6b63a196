# Everything a developer or CI runs. `make` alone lists the targets; each sets up what it needs.

MAKEFLAGS += --no-print-directory --warn-undefined-variables
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# The first Python that is new enough; `make PYTHON=…` chooses another.
PYTHON ?= $(shell scripts/find-python)

BIN := .venv/bin
PY := $(BIN)/python
NPM_BIN := node_modules/.bin
LOCKS := $(wildcard requirements/*.txt) package-lock.json
ARGS ?=
CI ?=
# How many tests run at a time: two more than there are cores, since tests wait twice as long as they compute. No more than
# six, each with its servers, since a container may show all cores of its host and lend only a few.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(2 + min(4, os.cpu_count() or 1))')

.PHONY: help setup browser proto docs check-proto dashboard check-dashboard fmt lint types check-locks check-deploy check-unit \
	check-catalog check test typescript fuzz-http test-typescript test-dashboard picture coverage coverage-sample mutants \
	e2e test-rgw test-pgbouncer test-nginx test-wheel cuts check-sandbox chaos chaos-http chaos-webhooks outages \
	run demo film bench build image locks clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

## Setup. A stamp in .make is newer than its sources, unless there is something to do.

setup: .make/project node_modules/.package-lock.json ## Create .venv and node_modules from the locks

.venv/pyvenv.cfg .venv-proto/pyvenv.cfg .venv-sdk/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one with make PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv $(@D)

.make/lock: .venv/pyvenv.cfg requirements/dev.txt
	scripts/install-lock $(PY) requirements/dev.txt
	@touch $@

.make/project: .make/lock pyproject.toml
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The generators run in an environment of their own: their age sets the oldest grpcio and protobuf that users may have,
# and would hold back everything else.
.make/proto: .venv-proto/pyvenv.cfg requirements/proto.txt
	.venv-proto/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/proto.txt
	@mkdir -p .make && touch $@

# The vendor's SDK with its own tests, in an environment of its own: they need plugins that ours do not.
.make/sdk/pyproject.toml: .venv-sdk/pyvenv.cfg requirements/sdk.txt scripts/fetch-sdk-suite
	scripts/fetch-sdk-suite .make/sdk
	@touch $@

# The packages' own install scripts are not run: none of them is needed.
node_modules/.package-lock.json: package.json package-lock.json clients/typescript/package.json
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# A real browser for the tests, from the locked package; CHROMIUM=/usr/bin/chromium names another.
CHROMIUM ?=
browser: $(if $(CHROMIUM),,.make/chromium/chromium) ## Unpack the browser of the tests

.make/chromium/chromium: node_modules/.package-lock.json scripts/unpack-browser.mjs
	node scripts/unpack-browser.mjs $(@D)
	@touch $@

## The contract.

proto: .make/proto node_modules/.package-lock.json ## Generate the stubs, docs/reference.md, the OpenAPI document and the dashboard
	rm -f clients/python/evergreen/v1/*_pb2*
	scripts/stubs .
	scripts/reference docs/reference.md
	scripts/openapi server/evergreen_server/gateway/static/openapi.json
	@$(MAKE) dashboard

docs: .make/proto setup ## Generate the pages and the OpenAPI document that are made from code
	scripts/reference docs/reference.md
	scripts/openapi server/evergreen_server/gateway/static/openapi.json
	$(PY) docs/make_state_machine.py >docs/state-machine.md
	$(PY) docs/make_settings.py >docs/settings.md
	$(PY) docs/make_cli.py >docs/cli.md

check-proto: .make/proto node_modules/.package-lock.json ## Lint the contract, compare it with main, check that the stubs are current
	@scripts/check-proto

## The dashboard.

dashboard: node_modules/.package-lock.json ## Build the dashboard into the server's package
	$(NPM_BIN)/tsc -p clients/typescript
	$(NPM_BIN)/tsc -p dashboard
	node dashboard/build.mjs server/evergreen_server/gateway/static

check-dashboard: node_modules/.package-lock.json ## Check that the built dashboard is current, and not too large
	$(NPM_BIN)/tsc -p clients/typescript
	$(NPM_BIN)/tsc -p dashboard
	node dashboard/build.mjs .make/static
	@diff -rq --exclude=openapi.json .make/static server/evergreen_server/gateway/static || { echo "Run \`make dashboard\`." >&2; exit 1; }
	@first=$$(grep -o '[a-z]*-[0-9A-Z]*\.js' .make/static/index.html); size=$$(cd .make/static && cat $$first | gzip -9 | wc -c); \
	test $$size -le 92160 || { echo "The scripts of the first load have $$size bytes, gzipped." >&2; exit 1; }
	@size=$$(cat .make/static/*.js | gzip -9 | wc -c); test $$size -le 112640 || { echo "All scripts have $$size bytes, gzipped." >&2; exit 1; }

## Checks of the code.

fmt: setup ## Format, and fix what can be fixed automatically
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	$(NPM_BIN)/buf format --write

lint: setup ## Lint, and check formatting and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup ## Check types, Python and TypeScript
	$(BIN)/mypy
	$(NPM_BIN)/tsc -p clients/typescript
	$(NPM_BIN)/tsc --noEmit -p tests/clients/typescript
	$(NPM_BIN)/tsc --noEmit -p tests/dashboard
	$(NPM_BIN)/tsc --noEmit -p examples/worker
	$(NPM_BIN)/tsc --noEmit -p examples/scene
	$(NPM_BIN)/tsc --noEmit -p examples/integrations

check-locks: ## Check that no lock names a host
	@! grep -n '://' $(LOCKS) .npmrc || { echo "A lock names a host." >&2; exit 1; }
	@echo "The locks name no host."

check-deploy: setup .make/proto check-unit ## Lint the Dockerfile, check compose.yaml, deploy/ and Envoy's settings against their schemas
	@# A Linux wheel alone exists of it.
	@test "$$(uname)" != Linux || $(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml
	$(BIN)/kubernetes-validate --strict --quiet deploy/kubernetes/*.yaml
	.venv-proto/bin/python scripts/check_envoy.py

# Elsewhere than on Linux there is no systemd, and the unit is for those who have it.
check-unit: ## Have systemd read the unit, and say how far it is confined
	@test "$$(uname)" != Linux || scripts/check-unit

check-catalog: setup ## Compare the table of models with the types of the provider's SDK
	$(PY) scripts/compare_sdk.py

check: lint types check-proto check-dashboard check-locks check-deploy check-catalog ## Run every check that is not a test

## Running it.

test: setup typescript ## Run all tests, WORKERS=… at a time; ARGS="-k watch" selects Python tests
	$(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)
	@$(MAKE) test-typescript test-dashboard

# The pytest that watches from Node runs what is compiled here too.
typescript: setup ## Compile the TypeScript client, its example and its tests
	rm -rf .make/typescript
	$(NPM_BIN)/tsc -p clients/typescript
	$(NPM_BIN)/tsc -p clients/typescript/tsconfig.cjs.json
	cp clients/typescript/commonjs.json clients/typescript/dist/cjs/package.json
	$(NPM_BIN)/tsc -p examples/worker --outDir .make/typescript/worker
	$(NPM_BIN)/tsc -p examples/scene --outDir .make/typescript/scene
	$(NPM_BIN)/tsc -p examples/integrations --outDir .make/typescript/integrations
	$(NPM_BIN)/tsc -p tests/clients/typescript

fuzz-http: setup ## Drive a server by its OpenAPI document, ARGS=… examples for each call
	$(PY) -m tests.gateway.rest.fuzzing $(or $(ARGS),100)

test-typescript: typescript browser ## Run the tests of the TypeScript client
	$(if $(CI),scripts/twice) node --test --test-concurrency=$(WORKERS) --test-reporter=spec .make/typescript/*.test.js

test-dashboard: typescript browser ## Test the dashboard in a real browser, and leave pictures of its screens in .make/screens
	rm -rf .make/dashboard .make/screens
	$(NPM_BIN)/tsc -p tests/dashboard
	$(if $(CI),scripts/twice) node --test --test-concurrency=2 --test-reporter=spec .make/dashboard/dashboard/*.test.js

picture: typescript browser ## Make the README's picture of the dashboard
	$(NPM_BIN)/tsc -p tests/dashboard
	node .make/dashboard/dashboard/picture.js docs/dashboard.png

# Every process writes what it reached, and none knows whether all did: the summary checks it.
coverage: setup typescript ## Run all Python tests and report the lines and branches that they reach, in all processes
	rm -rf .make/coverage
	PYTHONPATH=$(CURDIR)/scripts/measured $(PY) -m pytest -n $(WORKERS) --dist worksteal $(ARGS)
	$(PY) scripts/coverage_summary.py $(if $(ARGS),--part)

# What CI can afford: measured tests take about half as much processor time again as others, and those of the rest are
# mostly of processes and of servers of databases and buckets. Whether the tests pass is for `make test` to judge: some
# of them wait for what a measured process does too late. Left out is also what writes tens of thousands of rows or files, or
# starts servers of its own.
SAMPLED := admission feed maintenance model store
coverage-sample: setup ## Report what the tests of jobs' rows and of storage reach of these, on SQLite, local disk and memory
	rm -rf .make/coverage
	PYTHONPATH=$(CURDIR)/scripts/measured $(PY) -m pytest -n $(WORKERS) --dist worksteal $(SAMPLED:%=tests/jobs/%) tests/storage \
		-k "not [postgres and not [s3 and not [gs and not [az and not ten_thousand and not test_temp_files" || test $$? -eq 1
	$(PY) scripts/coverage_summary.py --part $(SAMPLED:%=server/evergreen_server/jobs/%) storage/evergreen_storage

mutants: setup ## Remove guards in a copy, one by one, and report those that no test misses; ARGS=balance selects
	$(PY) -m tests.mutants $(ARGS)

e2e: setup ## Run only the tests with real processes, with every moment of the kills of films on both databases
	$(PY) -m pytest tests/e2e --every-moment $(ARGS)

# An S3 server that is no emulator. Two tests are not for it: one sends a session token that nobody issued, the other
# takes out of requests, on their way, conditions that are part of what is signed.
test-rgw: setup ## Run the storage tests on Ceph's object gateway, from Debian's radosgw ceph-mon ceph-osd ceph-common
	$(PY) -m pytest tests/storage --rgw -k "s3 and not vendors_own_variables and not ignores_conditions" $(ARGS)

test-pgbouncer: setup ## Test the service behind a real PgBouncer, from Debian's package pgbouncer
	$(PY) -m tests.pgbouncer

test-nginx: setup ## Test the service behind a real nginx with the settings of docs/proxies.md, from Debian's package nginx-light
	$(PY) -m tests.nginx

# CI has one Python; whoever has others names them. Debian's next releases have some, in a folder that debootstrap made.
PYTHONS ?= $(PYTHON)
test-wheel: setup ## Install the wheel with each extra into an empty environment of each of PYTHONS="python3.13 …", and use it
	rm -rf .make/wheels
	$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(PY) --out-dir .make/wheels
	scripts/try-wheel .make/wheels/*.whl $(PYTHONS)

cuts: setup ## Make whole cuts of the sample scripts, judge them, and leave sheets of pictures in .make/cuts
	$(PY) -m tests.cuts $(ARGS)

KILLS ?= 500
SEED ?= 1

check-sandbox: setup .make/sdk/pyproject.toml ## Check the sandbox by the vendor's SDKs' every call and 20,000 random bodies
	$(PY) -m tests.providers.runway.sandbox.suite $(ARGS)

chaos: setup ## Kill servers KILLS=500 times with SEED=1 under jobs and films: what was lost, paid twice, torn or missed?
	$(PY) -m tests.chaos --kills $(KILLS) --seed $(SEED) $(ARGS)

chaos-http: setup ## Kill a server KILLS=500 times under 100 pages and event sources, with SEED=1: is each change told once?
	$(PY) -m tests.gateway.live.kills --kills $(KILLS) --seed $(SEED) $(ARGS)

chaos-webhooks: setup ## Kill what sends webhooks KILLS=500 times on each database, with SEED=1: is each event told, and none from before?
	$(PY) -m tests.webhooks.kills --kills $(KILLS) --seed $(SEED) $(ARGS)

outages: setup ## Take away database, storage, provider and disk for 30 to 60 s each, and report the effect
	$(PY) -m tests.chaos.outages $(ARGS)

run: setup ## Serve on 127.0.0.1:50051 with the sandbox as provider
	$(BIN)/evergreen serve --sandbox $(ARGS)

demo: .make/project ## Turn a picture into a clip, watched live; needs no key
	$(PY) examples/demo.py $(ARGS)

film: .make/project ## Turn a script into a finished cut, watched live; needs no key
	$(PY) examples/film.py $(ARGS)

bench: setup ## Run the benchmarks; ARGS="takeover flight" selects
	$(PY) -m tests.benchmarks $(ARGS)

## Shipping it.

build: typescript ## Build wheel, sdist and npm tarball, and import the wheel away from the sources
	rm -rf dist
	$(BIN)/uv build --quiet --no-build-isolation --python $(PY) --out-dir dist
	@rm -rf .make/wheel
	$(BIN)/uv pip install --quiet --python $(PY) --no-deps --target .make/wheel dist/*.whl
	@cd .make/wheel && PYTHONPATH=. ../../$(PY) -P ../../scripts/import_wheel.py
	@cd clients/typescript && npm pack --silent --ignore-scripts --pack-destination ../../dist
	@ls -l dist

image: ## Build the image without a daemon, and have it do the main job; needs root, buildah and debootstrap
	scripts/image .make/image

locks: setup ## Update the locks to the newest allowed versions
	$(BIN)/uv pip compile --quiet --upgrade $(COMPILE) pyproject.toml --extra server --group dev -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --upgrade $(COMPILE) pyproject.toml --extra postgres --extra s3 --extra otel -o requirements/server.txt
	$(BIN)/uv pip compile --quiet --upgrade $(COMPILE) --group build -o requirements/build.txt
	$(BIN)/uv pip compile --quiet --upgrade $(COMPILE) requirements/proto.in -o requirements/proto.txt
	$(BIN)/uv pip compile --quiet --upgrade $(COMPILE) requirements/sdk.in -o requirements/sdk.txt
	npm install --package-lock-only --ignore-scripts --no-audit --no-fund --loglevel=error
	$(PY) scripts/plain_lock.py

COMPILE := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

clean: ## Remove what the other targets created; never data
	rm -rf .make .venv .venv-proto .venv-sdk node_modules build dist clients/typescript/dist
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info
