# The commands of this project. Each installs what it needs into .venv, and again only when the
# locked requirements changed. `make` alone lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help

# Any Python 3.11-3.13 on the PATH; the one called python3 first. Override with PYTHON=/path.
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	found=$$(command -v $$name) && "$$found" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && { echo "$$found"; break; }; done)
VENV_PYTHON := .venv/bin/python
GROUPS := gateway agent dialer simulator local livekit redis dev

# Extra arguments for the tools behind the commands: make test ARGS="-k barge_in"
ARGS ?=

.PHONY: help run up down status logs test check bench soak lock python dev local

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: python ## start everything, play one call through it, follow the logs; Ctrl-C stops
	@exec $(PYTHON) -m deploy.local run $(ARGS)

up: python ## start everything in the background, return when all is ready
	@exec $(PYTHON) -m deploy.local up $(ARGS)

down: python ## stop what `make up` started
	@exec $(PYTHON) -m deploy.local down $(ARGS)

status: python ## say what runs and where
	@exec $(PYTHON) -m deploy.local status $(ARGS)

logs: python ## follow the logs of what runs; Ctrl-C ends only the following
	@exec $(PYTHON) -m deploy.local logs $(ARGS)

test: dev ## all tests; container tests too when a Docker engine answers
	@exec $(VENV_PYTHON) -m tests $(ARGS)

check: dev ## format, lint, types, and the compose file
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m mypy
	@if docker compose version >/dev/null 2>&1; \
		then docker compose --profile simulator --profile grafana config --quiet && echo "compose file: fine"; \
		else echo "compose file: not checked, no docker compose here"; fi
	@if command -v promtool >/dev/null; \
		then promtool check config deploy/prometheus/prometheus.yml; \
		else echo "prometheus config: not checked here, no promtool (a container test does)"; fi

bench: dev ## measure the media path: table, JSON and plots in .parley/bench/results
	@exec $(VENV_PYTHON) -m deploy.bench $(ARGS)

soak: dev ## the long test
	@exec $(VENV_PYTHON) -m pytest -m soak $(ARGS)

lock: dev ## write requirements/*.txt from pyproject.toml, with hashes
	@for group in $(GROUPS); do echo "requirements/$$group.txt"; \
		$(VENV_PYTHON) -m uv pip compile --quiet $$([ $$group = redis ] && echo --no-deps) --group pyproject.toml:$$group --universal \
		--python-version 3.11 --fork-strategy fewest --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --output-file requirements/$$group.txt || exit 1; done

python:
	@if [ -z "$(PYTHON)" ]; then echo "Parley needs Python 3.11, 3.12 or 3.13 and found none on the PATH." \
		"Install one (Debian, Ubuntu: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3" >&2; exit 1; fi

dev local: python
	@$(PYTHON) -m deploy.local.install $@
