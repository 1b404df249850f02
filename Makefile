# infinito: `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ARGS ?=
PROMPT ?= The
COVERAGE_FLOOR ?= 90
# A process for each core; each takes tests as they stand in the files, so that they share fixtures.
SHARED := -n auto --dist worksteal

.PHONY: help setup run train dpo test test-all coverage lint check format bench gpu-check sweep search dash docs generate clean
.DEFAULT_GOAL := help

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(STAMP)  ## Create the virtual environment and install the pinned packages, once

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"infinito needs Python 3.11 to 3.13, this is {v[0]}.{v[1]}: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

run: setup  ## Train the base model on Python's own documentation (ARGS="seed=7" for overrides)
	$(BIN)/python -m infinito.run +experiment=base_30ep $(ARGS)

train: setup  ## Train whatever ARGS says, e.g. ARGS="+experiment=debug attention=dot"
	$(BIN)/python -m infinito.run $(ARGS)

dpo: setup  ## Tune a small model on the bundled preference pairs, with a report
	$(BIN)/python -m infinito.run +experiment=dpo $(ARGS)

test: setup  ## Run the fast tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SHARED) -m "not slow and not gpu" $(ARGS)

test-all: setup  ## Run all tests, the slow ones too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SHARED) $(ARGS)

coverage: setup  ## Measure the branches that all tests cover; below COVERAGE_FLOOR (90 %) it fails
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(SHARED) -m "not gpu" --cov --cov-report=term --cov-report=xml --cov-fail-under=$(COVERAGE_FLOOR) $(ARGS)

docs: setup  ## Build the documentation into build/site, with warnings as errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: setup  ## Check format, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: lint test  ## Everything a commit must pass

format: setup  ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup  ## Measure attention against torch's, a step against nanoGPT's, training against a bare loop
	$(BIN)/python experiments/attention_speed/measure.py
	$(BIN)/python experiments/attention_speed/report.py
	$(BIN)/python experiments/step_speed/measure.py
	$(BIN)/python experiments/throughput/measure.py $(ARGS)

gpu-check: setup  ## Check and time everything that needs a GPU, in eight minutes of one
	$(BIN)/python experiments/gpu_check/check.py $(ARGS)

sweep: setup  ## Compare attentions over seeds, in a minute
	$(BIN)/python -m infinito.run -m +experiment=debug attention=dot,l1,sq_l2 seed=0,1 $(ARGS)

search: setup  ## Search attention and training settings by tree search
	$(BIN)/python -m infinito.run -m +search=mcts_attention $(ARGS)

dash: setup  ## Watch the runs in TensorBoard
	$(BIN)/tensorboard --logdir multirun

generate: setup  ## Write text with the newest run (PROMPT="The")
	$(BIN)/python -m infinito.run task=generate checkpoint=last 'generation.prompt="$(PROMPT)"' $(ARGS)

clean:  ## Delete caches and builds; runs and the virtual environment stay
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* coverage.xml
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
