# Every target builds what it needs from a bare `python3`; nothing is done twice.
#   make venv        the environment in .venv (GPU=1: the CUDA build of TensorFlow)
#   make notebooks   run every notebook in order on built-in data, print the leaderboard
#   make outputs     the same, and keep the executed notebooks in notebooks/ (for committing)
#   make test        lint, lock, links, unit tests, every notebook
#   make lab         JupyterLab with the kernel `microseg`
#   make sweep STUDY=voidseg_small [PROFILE=slurm] [DRY=1]   many trainings (docs/scale.md)
#   make e2e         "Run All" of each notebook in JupyterLab in a real browser
#   make docs        the documentation as a site in site/, with the executed notebooks
#   make colab-check, make conda-check   Colab's versions and environment.yml, in empty environments
#   make cluster-check   a study through a real SLURM on this machine (INSTALL=1: get it first)
PYTHON ?= python3
VENV   ?= .venv
UV     := uv==0.13.8
# An environment made with GPU=1 stays one.
LOCK   := requirements$(if $(filter-out 0,$(GPU))$(wildcard $(VENV)/.installed-requirements-gpu.lock),-gpu).lock
BIN    := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
STAMP  := $(VENV)/.installed-$(LOCK)
# What --clear and clean may delete: an environment, or an empty folder; never files of yours.
CHECK_VENV = @test -e $(VENV)/pyvenv.cfg || test -z "$$(ls -A $(VENV) 2>/dev/null)" || { \
	  echo "$(VENV) holds files but is no Python environment: give VENV another name" >&2; exit 1; }
export PATH := $(abspath $(BIN)):$(PATH)
# Settings of the user's own Jupyter must not change which kernel the notebooks get.
export JUPYTER_PREFER_ENV_PATH := 1

.PHONY: venv notebooks outputs test lint lab bench lock links colab-check conda-check e2e docs sweep cluster-check clean
.DEFAULT_GOAL := venv

venv: $(STAMP)

$(STAMP): $(LOCK) pyproject.toml tools/kernel/kernel.json
	@$(PYTHON) -c "import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	  f'Python 3.11 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}: make venv PYTHON=python3.12')"
	$(CHECK_VENV)
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r $(LOCK)
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

notebooks: venv
	$(BIN)/python tools/run_notebooks.py

outputs: venv
	$(BIN)/python tools/run_notebooks.py --in-place

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/lock.py --check
	$(BIN)/python tools/links.py --check

test: lint
	$(BIN)/python -m pytest
	rm -rf .cache/test-runs
	MICROSEG_PRESET=test MICROSEG_RUNS="$(CURDIR)/.cache/test-runs" \
	  $(BIN)/python -m pytest -o addopts= -v --nbval-lax notebooks

lab: venv
	$(BIN)/jupyter lab --notebook-dir=.

bench: venv
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

lock: venv
	$(BIN)/python tools/lock.py $(if $(UPGRADE),--upgrade)

links: venv
	$(BIN)/python tools/links.py

colab-check: venv
	$(BIN)/python tests/colab/check.py $(NOTEBOOKS)

conda-check: venv
	$(BIN)/python tests/conda/check.py

# Adds the browser driver's library to the environment; nothing else in it moves.
e2e: venv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r pyproject.toml --extra e2e
	$(BIN)/python tests/e2e/run_all.py $(NOTEBOOKS)

# An environment of its own: the locked one does not move.
docs: venv
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python build/docs
	$(BIN)/uv pip install --quiet --python build/docs --group docs
	NO_MKDOCS_2_WARNING=1 build/docs/$(notdir $(BIN))/mkdocs build --quiet
	@echo "the site begins at site/index.html"

# The engine's packages ask for other versions than the lock: an environment of its own, too.
ENGINE := build/workflow
$(ENGINE)/.installed: $(STAMP)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(ENGINE)
	$(BIN)/uv pip install --quiet --python $(ENGINE) --group workflow
	@touch $@

sweep: venv $(ENGINE)/.installed
	MICROSEG_PYTHON="$(abspath $(BIN))/python" $(ENGINE)/$(notdir $(BIN))/python workflow/sweep.py \
	  "$(STUDY)" $(if $(PROFILE),--profile "$(PROFILE)") $(if $(filter-out 0,$(DRY)),--dry) \
	  $(if $(CORES),--cores $(CORES)) $(if $(TO),--to "$(TO)") $(if $(ARGS),--args="$(ARGS)")

cluster-check: venv $(ENGINE)/.installed
	MICROSEG_PYTHON="$(abspath $(BIN))/python" $(ENGINE)/$(notdir $(BIN))/python \
	  tests/cluster/check.py $(if $(filter-out 0,$(INSTALL)),--install)

clean:
	$(CHECK_VENV)
	rm -rf $(VENV) .cache build site .pytest_cache .ruff_cache *.egg-info
