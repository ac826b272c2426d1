# Thin aliases. Everything runs in .venv, whether or not an environment is activated.
PYTHON ?= python3
BIN := .venv/bin
ORACLES := $(wildcard tests/oracle-requirements.txt)
# DVC starts `python stages/...`: it must find the environment's Python. The quotes of a shell are not needed
# here: PATH may hold spaces.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY := true

# What `make experiments` shows beside the settings that differ: at most eight headline metrics (src/bruna/headlines.py).
SHOWN := unet_iou|task1_balanced_accuracy|map|rank1|course_map|attribute_accuracy|test_map
GROUPS := runtime|validate|split|train_unet|segment|train_attributes|train_bruna|evaluate|report

.PHONY: help env repository run experiments ui test lint deps docs lock audit bench soak
.DEFAULT_GOAL := help

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*##/  make \1\t/p' Makefile | expand -t 20

env: .venv/.installed  ## the environment in .venv, as requirements.lock pins it, hashes checked

.venv/.installed: requirements.lock pyproject.toml $(ORACLES)
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "error: Python 3.11 or newer is needed, and \`$(PYTHON)\` is $$("$(PYTHON)" --version 2>&1)." \
	         "Name one with: make $(or $(MAKECMDGOALS),env) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv .venv || { rm -rf .venv; \
	    echo "error: \`$(PYTHON) -m venv\` does not work here; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(if $(ORACLES),$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --no-deps -r $(ORACLES))
	@touch $@

data: | env
	@$(BIN)/dvc checkout --quiet data.dvc 2>/dev/null && test -d data || \
	    { $(BIN)/bruna sample --if-missing && $(BIN)/dvc add --quiet data; }

repository:
	@git rev-parse --git-dir >/dev/null 2>&1 || { \
	    echo "error: DVC needs a Git repository, and this folder is none (a download as ZIP has none). Make it one:" >&2; \
	    echo '  git init && git add --all && git commit -m "Start"' >&2; exit 1; }

run: | repository env data  ## everything: environment, sample where there is no data set, pipeline, an index of the sample
	@$(BIN)/bruna check
	@# DVC ends with the advice to push, remote or not; here the advice is kept where there is a remote.
	@grep -q remote .dvc/config .dvc/config.local 2>/dev/null && exec $(BIN)/dvc repro || \
	    PYTHONUNBUFFERED=1 bash -o pipefail -c "$(BIN)/dvc repro | grep --line-buffered -v 'dvc push'"
	@# An index is no output of DVC, whose cache would keep people who were erased. What is there stays as it is.
	@test -e people.index || ! grep -qs '^source: "bruna sample' data/dataset.yaml || $(BIN)/bruna index data/
	@$(BIN)/bruna summary

experiments: env  ## experiments side by side, the best mAP first: the settings that differ, the main figures
	@$(BIN)/dvc exp show --only-changed --hide-failed --hide-queued --sort-by map --sort-order desc \
	    --drop '^(?!Experiment$$|($(SHOWN))$$|($(GROUPS))\.)'

ui: env  ## MLflow's pages of all runs, in the browser; PORT=5001 where 5000 is taken
	@$(BIN)/bruna ui --port $(or $(PORT),5000)

test: env  ## all tests; two processes, one core each
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: env  ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --cache-dir .import_linter_cache

deps: env  ## write into dvc.yaml what each stage really imports
	$(BIN)/python tests/stage_dependencies.py

docs: env  ## the docs as a site, without network: docs/_build/html/index.html
	$(BIN)/sphinx-build --quiet --fail-on-warning docs docs/_build/html
	@echo "docs/_build/html/index.html"

lock: env  ## requirements.lock after a change to pyproject.toml; what it pins stays unless the change forbids it
	$(BIN)/uv pip compile --quiet --universal --no-header --generate-hashes --extra pipeline --extra export --extra large --extra dev --extra docs \
	    pyproject.toml -o requirements.lock

audit: env  ## known vulnerabilities of what requirements.lock pins; asks the package index
	$(BIN)/uv tool run pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.lock

bench: env  ## the benchmarks, each against a named peer; their tables go to docs/benchmarks
	@for script in $(filter-out benchmarks/measure.py benchmarks/gpu.py,$(wildcard benchmarks/*.py)); do \
	    echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

soak: env  ## an hour or two of kills, four workers at once, bad days, and data that lack something or are damaged
	$(BIN)/python tests/soak/kill_and_resume.py
	$(BIN)/python tests/soak/kill_import.py
	$(BIN)/python tests/soak/four_workers.py
	$(BIN)/python tests/soak/bad_days.py
	$(BIN)/python tests/soak/lacks.py
	$(BIN)/python tests/unit/test_fuzz.py 120
