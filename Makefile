# One command per intent; `make help` lists them. CI runs the same ones.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

UV := uv==0.13.9
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# The first interpreter that is new enough. PYTHON=... selects another.
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)

DATASET ?= ml-100k
# Events to replay, about two minutes of them. LIMIT= replays the whole data set.
LIMIT ?= 30000
REPLAY ?=
PROTOCOL ?= stream
EVALUATE ?=
BENCH ?=
TESTS ?= tests
TIER ?=
WORKERS ?= auto
PORT ?=
COMPOSE ?= docker compose
WAIT ?= --wait
# The values of .env, overridden by the shell's, as docker compose reads them.
WITH_ENV = eval "$$(sed -n 's/^\([A-Z_]*\)=\(.*\)/: "$${\1:=\2}"; export \1/p' .env)";
SERVICE ?=

.PHONY: help install demo evaluate up down reset ps logs replay run broker data test test-unit lint format typecheck boards docs bench lock clean distclean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create the virtual environment and install pinned dependencies (the other commands run it first)

PACKAGES := shared services/gateway services/features services/scorer services/joiner services/trainer cli lab
# Where PyTorch's small CPU build is. Where it cannot be reached, or TORCH=cuda asks for it, the usual build comes with its CUDA libraries.
TORCH_INDEX := https://download.pytorch.org/whl/cpu
TORCH ?= $(shell curl --silent --fail --head --max-time 5 $(TORCH_INDEX)/torch/ >/dev/null 2>&1 && echo cpu || echo cuda)

$(INSTALLED): pyproject.toml $(wildcard requirements/*.txt) $(addsuffix /pyproject.toml,$(PACKAGES))
	@test -n "$(PYTHON)" || { echo "Eddy needs Python 3.11 or later: install it, or say make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Eddy needs Python 3.11 or later, $(PYTHON) is not: say make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Installing into $(VENV) with $$($(PYTHON) --version) and PyTorch's $(TORCH) build ..."
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || \
		{ rm -rf $(VENV); echo "cannot make $(VENV): install your system's python3-venv package, or free some disk space" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV) && \
		VIRTUAL_ENV=$(VENV) PATH=$(CURDIR)/$(BIN):$$PATH requirements/install.sh $(TORCH) requirements/base.txt && \
		$(BIN)/uv pip install --quiet --no-deps --python $(BIN)/python $(addprefix --editable ,$(PACKAGES)) || \
		{ echo "cannot install the dependencies: check the network and the disk space, then try again" >&2; exit 1; }
	@touch $@

demo: $(INSTALLED) ## Replay MovieLens through the whole loop on a Kafka of its own: DATASET=ml-100k|ml-1m LIMIT=events (LIMIT= for all)
	@$(BIN)/eddy demo --dataset $(DATASET) --limit $(or $(LIMIT),0) $(REPLAY)

evaluate: $(INSTALLED) ## Run a benchmark of the model in one process, without Kafka: PROTOCOL=stream|loop|isgd DATASET= EVALUATE="--limit 20000 --seed 1"
	@$(BIN)/eddy data $(DATASET)
	@$(BIN)/eddy evaluate $(PROTOCOL) --dataset $(DATASET) $(EVALUATE)

up: ## Start the stack in containers: Kafka, schema registry, services, Prometheus, Alertmanager, Grafana (ports: .env)
	@$(COMPOSE) up --detach --build $(WAIT)
	@$(WITH_ENV) \
		printf '%s\n' "" "Eddy is up:" \
		"  Console       http://$$LISTEN:$$GATEWAY_PORT" \
		"  API           http://$$LISTEN:$$GATEWAY_PORT/docs" \
		"  Grafana       http://$$LISTEN:$$GRAFANA_PORT" \
		"  Prometheus    http://$$LISTEN:$$PROMETHEUS_PORT" \
		"  Alertmanager  http://$$LISTEN:$$ALERTMANAGER_PORT" \
		"  Kafka         $$LISTEN:$$KAFKA_PORT" \
		"  Schemas       http://$$LISTEN:$$SCHEMA_REGISTRY_PORT/apis/ccompat/v7" \
		"make replay replays MovieLens through it, make logs follows its logs, make down stops it."

down: ## Stop the stack and keep its data
	@$(COMPOSE) down

reset: ## Stop the stack and delete its data
	@$(COMPOSE) down --volumes

ps: ## List the containers of the stack
	@$(COMPOSE) ps

logs: ## Follow the logs of the stack: SERVICE=scorer for one service
	@$(COMPOSE) logs --follow --tail 100 $(SERVICE)

replay: $(INSTALLED) ## Replay MovieLens through the running stack: DATASET=ml-100k|ml-1m LIMIT=events
	@$(BIN)/eddy data $(DATASET)
	@$(WITH_ENV) \
		EDDY_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:$$KAFKA_PORT EDDY_LAB_JOINER_URL=http://127.0.0.1:$$JOINER_PORT \
		EDDY_SCHEMA_REGISTRY_URL=http://127.0.0.1:$$SCHEMA_REGISTRY_PORT/apis/ccompat/v7 \
		EDDY_LAB_READY_URLS=gateway=http://127.0.0.1:$$GATEWAY_PORT,joiner=http://127.0.0.1:$$JOINER_PORT \
		$(BIN)/eddy replay --dataset $(DATASET) --limit $(or $(LIMIT),0) $(REPLAY)

run: $(INSTALLED) ## Run the five services until Ctrl-C, on EDDY_KAFKA_BOOTSTRAP_SERVERS or a Kafka of their own
	@$(BIN)/eddy run

broker: $(INSTALLED) ## Run only a Kafka until Ctrl-C: PORT=number to choose its port
	@$(BIN)/eddy broker $(if $(PORT),--port $(PORT))

data: $(INSTALLED) ## Download MovieLens-100K and MovieLens-1M
	@$(BIN)/eddy data

test: $(INSTALLED) ## Run the tests, on a real Kafka: TESTS=path to select some, TIER=unit|learning|broker|stack for one tier
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(if $(TIER),-m $(TIER)) $(TESTS)

test-unit: $(INSTALLED) ## Run the tests that need no broker, in less than a minute
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal -m unit $(TESTS)

lint: $(INSTALLED) ## Check style, format and import directions; changes no file
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/lint-imports --no-cache

format: $(INSTALLED) ## Format the code and apply the linter's safe fixes
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

typecheck: $(INSTALLED) ## Check types (mypy, strict)
	@$(BIN)/mypy

boards: $(INSTALLED) ## Regenerate the Grafana boards from cli/eddy_cli/boards.py
	@$(BIN)/eddy boards write

docs: $(INSTALLED) ## Regenerate docs/metrics.md and docs/settings.md from code
	@$(BIN)/eddy docs reference

bench: $(INSTALLED) ## Run speed benchmarks, compared with references: BENCH="scorer trainer" to select some
	@$(BIN)/eddy bench $(BENCH)

lock: $(INSTALLED) ## Pin all dependencies by version and hash: UPGRADE=1 takes the newest versions
	@UPGRADE=$(UPGRADE) sh requirements/lock.sh $(BIN)/uv

clean: ## Delete reports, state and caches
	@rm -rf reports .state .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## Delete the virtual environment and the data sets too
	@rm -rf $(VENV) .data
