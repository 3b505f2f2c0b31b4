# What the README names and CI calls. Every target sets up what it needs; setting up twice does nothing.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# Those that the tests run on come first.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3.14 python3.15 python3; do \
	$$p -c 'import sys; sys.exit(not ((3, 11) <= sys.version_info[:2] < (3, 16)))' 2>/dev/null && { echo $$p; break; }; done)
ARGS ?=
export PYTHONPATH := src
# Modules stay compiled, also where the environment would have it otherwise: tests start the proxy many times.
export PYTHONDONTWRITEBYTECODE :=

# An environment that was interrupted while it was made, whose Python has gone or is too old, or that is of another Python
# than PYTHON= asks for, is made anew.
ASKED := $(if $(filter-out file default undefined,$(origin PYTHON)),$(shell $(PYTHON) -c 'import sys; print(*sys.version_info[:2])'))
IS_WANTED := import sys, pip; has = sys.version_info[:2]; \
	sys.exit(not (3, 11) <= has < (3, 16) or sys.argv[1:] not in ([], [*map(str, has)]))
ifneq ($(wildcard $(VENV)),)
ifneq ($(shell $(BIN)/python -c '$(IS_WANTED)' $(ASKED) 2>/dev/null && \
	{ [ -e $(VENV)/.runtime ] || $(BIN)/python -m pip --version >/dev/null 2>&1; } && echo yes),yes)
$(info $(VENV) is incomplete or of another Python: it is made anew)
REMOVED := $(shell rm -f $(BIN)/python $(VENV)/.runtime $(VENV)/.dev $(VENV)/.azure $(VENV)/.otel)
endif
endif

.PHONY: setup setup-dev setup-azure setup-otel run test check format docs bench bench-setup bench-peers bench-against instructions soak attack fuzz conversations sockets reloads bench-cost chaos upgrades lock sbom licences audit clean faults fuzz-parsers counts

setup: $(VENV)/.runtime
setup-dev: $(VENV)/.dev
setup-azure: $(VENV)/.azure
setup-otel: $(VENV)/.otel

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "LLMProxy needs Python 3.11, 3.12, 3.13, 3.14 or 3.15 on PATH (or: make PYTHON=/path/to/python3.12 ...)"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.runtime: requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ $(VENV)/.runtime

# Entra ID for Azure endpoints: the optional extra `azure`.
$(VENV)/.azure: requirements-azure.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-azure.txt
	@touch $@

# Traces and metrics by OTLP: the optional extra `otel`, switched on by the OTEL_* variables.
$(VENV)/.otel: requirements-otel.txt $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-otel.txt
	@touch $@

# Serves ./llmproxy.yaml (or LLMPROXY_CONFIG, or ARGS='--config FILE') where there is one, and the demo where there is none.
run: setup
	@exec $(BIN)/python -m entrypoints.http --or-demo $(ARGS)

# Rate limits are kept in real time, to a few milliseconds, so their tests have the machine to themselves.
RATE_LIMITS := tests/integration/test_rate_limits.py

test: setup-dev
ifeq ($(ARGS),)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --ignore $(RATE_LIMITS)
	$(BIN)/python -m pytest $(RATE_LIMITS)
else
	$(BIN)/python -m pytest $(ARGS)
endif

check: setup-dev
	$(BIN)/ruff format --check src tests bench release deploy
	$(BIN)/ruff check src tests bench release deploy
	$(BIN)/mypy
	$(BIN)/lint-imports

# Mixed traffic for 20 minutes, or for as long as `ARGS="--minutes N"` says: does anything grow? See bench/soak/README.md.
soak: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.soak $(ARGS)

# 500 conversations over WebSockets while three accounts fail in turn: bench/conversations.py.
# ARGS='--count N --seed N --mode native --client sync'.
conversations: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.conversations $(ARGS)

# 10,000 WebSockets opened and dropped in every phase: is anything left of them? See bench/soak/README.md.
sockets: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.soak --dropped-sockets 10000 $(ARGS)

# All attacks at once beside a well-behaved client, for a minute and a half: bench/mixed_attacks.py.
attack: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.mixed_attacks $(ARGS)

# 100,000 mutated requests, then the requests that schemathesis makes of /openapi.json: docs/fuzzing.md. ARGS='--requests N'.
fuzz: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.fuzz $(ARGS)
	PYTHONPATH=src:. $(BIN)/python -m bench.fuzz.surface

# Every way to fail, one after the other, in less than a quarter of an hour; writes docs/reliability.md. ARGS='--only NAME', '--list'.
faults: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.faults $(ARGS)

# A thousand reloads at 200 requests a second, of which none may fail: bench/reloads.py.
reloads: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.reloads $(ARGS)

# Two replicas, Redis and nginx under random faults for 20 minutes: docs/chaos.md. ARGS='--minutes N --seed N --rate N'.
chaos: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.chaos $(ARGS)

# Rolling restarts of two replicas behind nginx, and reloads of one, under 200 requests a second: docs/chaos.md.
upgrades: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.upgrades $(ARGS)

# Parsers under fuzz, guided by coverage, a minute each: tests/parsers/README.md. ARGS='--minutes 60 --only requests replies'.
fuzz-parsers: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m tests.parsers $(ARGS)

# 10,000 mixed requests through two workers, one of which is killed: do /metrics, the log and the providers agree on all
# counts? bench/counts/. ARGS='--requests 2000'.
counts: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.counts $(ARGS)

format: setup-dev
	$(BIN)/ruff format src tests bench release deploy
	$(BIN)/ruff check --fix src tests bench release deploy

# The JSON Schema of the configuration, and the tables of the pages that are made of the code.
docs: setup
	$(BIN)/python -m llmproxy schema > docs/llmproxy.schema.json
	$(BIN)/python -m entrypoints.schema.tables docs/configuration.md docs/metrics.md

# Every row of the performance budget, beside nginx, in about ten minutes; bench/README.md. ARGS='--only streams', '--quick'.
bench: bench-setup
	PYTHONPATH=src:. $(BIN)/python -m bench $(ARGS)

# The same work through nginx, LiteLLM and Portkey, which it installs below bench/.peers, and through whatever is named:
# ARGS="--peer 'gomodel=./gomodel --config {config:my.yaml}'"; bench/README.md.
bench-peers: bench-setup
	PYTHONPATH=src:. $(BIN)/python -m bench peers $(ARGS)

# What tiers and the cache save on two public traces, in virtual time: make bench-cost ARGS='--traces DIR'; docs/cost.md.
bench-cost: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.cost $(ARGS)

# Another commit beside what is here and nginx, in one run: make bench-against COMMIT=v1.0.
bench-against: bench-setup
	PYTHONPATH=src:. $(BIN)/python -m bench against $(COMMIT) $(ARGS)

# Instructions a request, beside those recorded for the same build of Python. A Python of the image's kind is the one of
# `make instructions PYTHON=/usr/bin/python3.11 VENV=.venv-optimised` on Debian; all other targets take the two as well.
instructions: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m bench.instructions $(ARGS)

# Says what has to be installed by hand, and how.
bench-setup: setup-dev
	@PYTHONPATH=src:. $(BIN)/python -m bench.needs

# Rewrites the hash-locked requirements from pyproject.toml, for every supported Python and platform.
lock: setup-dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --extra azure -c requirements.txt -o requirements-azure.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --extra otel -c requirements.txt -o requirements-otel.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt

# The bill of materials of what is locked, in CycloneDX's form: llmproxy.cdx.json.
sbom: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m release.sbom llmproxy.cdx.json

# Writes docs/licences.md; fails for a licence that is not allowed.
licences: setup-dev
	PYTHONPATH=src:. $(BIN)/python -m release.licences

# Known vulnerabilities of what is locked: exit code 2. Where no database can be reached: 1, and it says so.
audit: setup-dev $(VENV)-audit/bin/pip-audit
	PYTHONPATH=src:. $(BIN)/python -m release.audit $(VENV)-audit/bin/pip-audit

$(VENV)-audit/bin/pip-audit:
	$(BIN)/python -m venv $(VENV)-audit
	$(VENV)-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit

clean:
	rm -rf $(VENV) $(VENV)-audit llmproxy.cdx.json .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/.peers bench/.fuzz
