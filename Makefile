# One command per intent; `make help` lists them. CI runs the same ones.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

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
# PROTOCOL is the former name of BENCHMARK.
BENCHMARK ?= $(or $(PROTOCOL),stream)
EVALUATE ?=
BENCH ?=
TESTS ?= tests
TIER ?=
WORKERS ?= auto
PORT ?=
COMPOSE ?= docker compose
WAIT ?= --wait
# Seconds that the users of a replay may be apart; the joiner runs with this lateness during `make replay`.
REPLAY_LATENESS_SEC ?= 604800
# Passwords of the stack and the gateway's API keys; git ignores the folder.
SECRETS := .secrets
PASSWORDS := $(SECRETS)/passwords.env
API_KEYS := $(SECRETS)/gateway/keys.yaml
# The values of .env and the passwords, overridden by the shell's, as docker compose reads them.
WITH_ENV = test -f $(PASSWORDS) || { echo "$(PASSWORDS) is missing: make passwords" >&2; exit 1; }; \
	test ! -f $(API_KEYS) || : "$${GATEWAY_KEYS_FILE:=/keys/gateway/keys.yaml}"; \
	eval "$$(sed -n 's/^\([A-Z_]*\)=\(.*\)/: "$${\1:=\2}"; export \1/p' .env $(PASSWORDS))";
SERVICE ?=

.PHONY: help install demo evaluate passwords kubernetes-keys pin-images up down reset ps logs replay run broker data test test-unit lint format typecheck boards docs soak bench lock wheels version sbom audit clean distclean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create the virtual environment and install pinned dependencies (the other commands run it first)

PACKAGES := shared services/gateway services/features services/scorer services/joiner services/trainer cli lab
# cpu: PyTorch's small build; cuda: the usual one. Empty: cpu where its index can be reached.
TORCH ?=

$(INSTALLED): pyproject.toml requirements/install.sh $(wildcard requirements/*.txt) $(addsuffix /pyproject.toml,$(PACKAGES))
	@PYTHON="$(PYTHON)" VENV=$(VENV) TORCH=$(TORCH) sh requirements/install.sh $(PACKAGES)
	@touch $@

demo: $(INSTALLED) ## Replay MovieLens through the whole loop on a local Kafka that this starts: DATASET=ml-100k|ml-1m LIMIT=events (LIMIT= for all)
	@$(BIN)/eddy demo --dataset $(DATASET) --limit $(or $(LIMIT),0) $(REPLAY)

evaluate: $(INSTALLED) ## Run a benchmark of the model in one process, without Kafka: BENCHMARK=name DATASET= EVALUATE="--limit 20000 --seed 1" (names: lab/eddy_lab/evaluate/README.md)
	@$(BIN)/eddy data $(DATASET)
	@$(BIN)/eddy evaluate $(BENCHMARK) --dataset $(DATASET) $(EVALUATE)

passwords: ## Create the passwords of the stack in containers, unless they exist: .secrets/passwords.env
	@sh deploy/passwords.sh $(PASSWORDS)
	@mkdir -p -m 755 $(dir $(API_KEYS)) && chmod 755 $(dir $(API_KEYS))
	@test ! -f $(API_KEYS) || chmod 644 $(API_KEYS)  # hashes, which the container's user reads

KEYS := deploy/kubernetes/keys
kubernetes-keys: $(INSTALLED) ## Create keys and passwords for deploy/kubernetes, unless they exist; prints the first API key
	@sh deploy/passwords.sh $(KEYS)/passwords.env
	@test -f $(KEYS)/release-signing.pem || $(BIN)/eddy keys create --signing-key $(KEYS)/release-signing.pem --public-keys $(KEYS)/release-public.pem
	@test -f $(KEYS)/gateway-keys.yaml || $(BIN)/eddy api-keys add first --file $(KEYS)/gateway-keys.yaml

pin-images: ## Write the present digests of all image tags into .env, Dockerfile and deploy/kubernetes (needs docker and the network)
	@sh deploy/pin-images.sh .env Dockerfile deploy/kubernetes/*.yaml

up: passwords ## Start the stack in containers: Kafka, schema registry, services, Prometheus, Alertmanager, Grafana (ports: .env)
	@$(WITH_ENV) $(COMPOSE) up --detach --build $(WAIT)
	@$(WITH_ENV) \
		printf '%s\n' "" "Eddy is up:" \
		"  Console       http://$$LISTEN:$$GATEWAY_PORT" \
		"  API           http://$$LISTEN:$$GATEWAY_PORT/docs" \
		"  Grafana       http://127.0.0.1:$$GRAFANA_PORT  (user admin, GRAFANA_PASSWORD of $(PASSWORDS))" \
		"  Prometheus    http://127.0.0.1:$$PROMETHEUS_PORT" \
		"  Alertmanager  http://127.0.0.1:$$ALERTMANAGER_PORT" \
		"  Kafka         127.0.0.1:$$KAFKA_PORT  (user eddy-publishers, KAFKA_PASSWORD_PUBLISHERS of $(PASSWORDS))" \
		"  Schemas       http://127.0.0.1:$$SCHEMA_REGISTRY_PORT/apis/ccompat/v7" \
		"make replay replays MovieLens through it, make logs follows its logs, make down stops it."

down: ## Stop the stack and keep its data
	@$(WITH_ENV) $(COMPOSE) down

reset: ## Stop the stack and delete its data
	@$(WITH_ENV) $(COMPOSE) down --volumes

ps: ## List the containers of the stack
	@$(WITH_ENV) $(COMPOSE) ps

logs: ## Follow the logs of the stack: SERVICE=scorer for one service
	@$(WITH_ENV) $(COMPOSE) logs --follow --tail 100 $(SERVICE)

replay: $(INSTALLED) ## Replay MovieLens through the running stack: DATASET=ml-100k|ml-1m LIMIT=events
	@$(BIN)/eddy data $(DATASET)
	@$(WITH_ENV) \
		trap '$(COMPOSE) up --detach --no-deps joiner' EXIT; \
		JOINER_LATENESS_SEC=$(REPLAY_LATENESS_SEC) $(COMPOSE) up --detach --no-deps $(WAIT) joiner && \
		EDDY_KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:$$KAFKA_PORT EDDY_KAFKA_SECURITY=SASL_PLAINTEXT \
		EDDY_KAFKA_USERNAME=eddy-tools EDDY_KAFKA_PASSWORD=$$KAFKA_PASSWORD_TOOLS EDDY_REPLAY_JOINER_URL=http://127.0.0.1:$$JOINER_PORT \
		EDDY_SCHEMA_REGISTRY_URL=http://127.0.0.1:$$SCHEMA_REGISTRY_PORT/apis/ccompat/v7 \
		EDDY_REPLAY_READY_URLS=gateway=http://127.0.0.1:$$GATEWAY_PORT,joiner=http://127.0.0.1:$$JOINER_PORT \
		$(BIN)/eddy replay --dataset $(DATASET) --limit $(or $(LIMIT),0) $(REPLAY)

run: $(INSTALLED) ## Run the five services until Ctrl-C, on EDDY_KAFKA_BOOTSTRAP_SERVERS or on a local Kafka that this starts
	@$(BIN)/eddy run

broker: $(INSTALLED) ## Run only a Kafka until Ctrl-C: PORT=number to choose its port
	@$(BIN)/eddy broker $(if $(PORT),--port $(PORT))

data: $(INSTALLED) ## Download MovieLens-100K and MovieLens-1M
	@$(BIN)/eddy data

test: $(INSTALLED) ## Run the tests, on a real Kafka: TESTS=path to select some, TIER=unit|slow|broker|stack for one tier
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

docs: $(INSTALLED) ## Regenerate docs/metrics.md, docs/settings.md and the typed records from code and schemas
	@$(BIN)/python -m eddy.contract.generate
	@$(BIN)/eddy docs reference

soak: $(INSTALLED) ## Play a month of users and items that come and go, and print the memory of every service: MINUTES=30 RATE=50
	@EDDY_USER_EXPIRY_DAYS=3 EDDY_ITEM_EXPIRY_DAYS=3 EDDY_FEATURES_SLATES_SEC=60 EDDY_JOINER_LATENESS_SEC=86400 \
		$(BIN)/eddy exec -- python -m eddy_lab.soak --minutes $(or $(MINUTES),30) --rate $(or $(RATE),50)

bench: $(INSTALLED) ## Run speed benchmarks, compared with references: BENCH="scorer trainer" to select some
	@$(BIN)/eddy bench $(BENCH)

lock: $(INSTALLED) ## Pin all dependencies by version and hash: UPGRADE=1 takes the newest versions
	@UPGRADE=$(UPGRADE) sh requirements/lock.sh $(BIN)/uv

wheels: $(INSTALLED) ## Build the wheels of all packages into dist/
	@rm -rf dist
	@for package in $(PACKAGES); do $(BIN)/uv build --quiet --wheel --no-build-isolation --out-dir dist $$package || exit 1; done
	@ls dist/*.whl

version: ## Set the version of all packages: VERSION=0.2.0
	@echo "$(VERSION)" | grep -Eq '^[0-9]+\.[0-9]+\.[0-9]+((a|b|rc)[0-9]+)?$$' || { echo "VERSION is missing or invalid. Example: make version VERSION=0.2.0" >&2; exit 1; }
	@for file in $(addsuffix /pyproject.toml,$(PACKAGES)); do \
		sed -E 's/^version = ".*"/version = "$(VERSION)"/; s/"(eddy-[a-z]+(\[[a-z]+\])?)==[^"]*"/"\1==$(VERSION)"/' $$file >$$file.new && mv $$file.new $$file || exit 1; done
	@echo "All packages are $(VERSION) now; give CHANGELOG.md a section for it"

sbom: $(INSTALLED) ## Write sbom.json: all that is installed, with licences (CycloneDX)
	@$(BIN)/cyclonedx-py environment --output-reproducible --spec-version 1.6 --output-format JSON --output-file sbom.json $(BIN)/python
	@echo "written: sbom.json"

audit: $(INSTALLED) ## Compare the pinned dependencies with known vulnerabilities
	@sh requirements/audit.sh $(BIN)

clean: ## Delete reports, wheels, state and caches
	@rm -rf reports dist sbom.json .state .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

distclean: clean ## Delete the virtual environment and the data sets too
	@rm -rf $(VENV) .data
