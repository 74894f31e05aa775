# Each target sets up what it needs: python3 (>= 3.11) and make are enough.
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS := embedded,docker,xdist,html,sign
ROWS ?= 200
WORKERS ?= 2
LOWEST ?= .venv-lowest
# Each worker gets a run of files, so that one starts what a file needs; at the end the idle one takes from the other.
DIST ?= --dist worksteal
CRASH ?= off
# The way over staged objects is certified beside the direct one.
ACTIONLINT ?= v1.7.12

# What is compiled is kept: a test run starts hundreds of Python processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: certify test unit lowest real nightly selfcheck cover lint types format batteries bench soak site clean help

help:                ## List the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 20

certify: $(VENV)/.run ## Certify the reference engine on services that start here, without Docker
	$(BIN)/pytest --dpone-profile=local_live --dpone-rows=$(ROWS) --dpone-crash=$(CRASH) -n $(WORKERS)

test: $(VENV)/.dev   ## Run all tests that this machine can run, and say what it could not
	$(BIN)/pytest -n $(WORKERS) $(DIST)

unit: $(VENV)/.dev   ## Run the tests that need no service and no process of their own
	$(BIN)/pytest -n $(WORKERS) $(DIST) -m "not real and not apart"

lowest:              ## Run the fast tests with the lowest versions of what the package needs
	python3 -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[xdist,html,sign]' --group lowest
	$(LOWEST)/bin/python -m pytest -n $(WORKERS) -p no:cacheprovider -m "not real and not apart" tests/core tests/plugin tests/report

real: $(VENV)/.dev   ## Run the tests that need services
	$(BIN)/pytest -n $(WORKERS) $(DIST) -m real

nightly: $(VENV)/.dev ## Run the property tests with many examples, and what `make test` leaves out
	$(BIN)/pytest -n $(WORKERS) $(DIST) -m "hypothesis or nightly" --hypothesis-profile=nightly

selfcheck: $(VENV)/.run ## Break the reference engine in many ways; each break must be seen
	$(BIN)/pytest --dpone-selfcheck -n $(WORKERS)

cover: $(VENV)/.dev  ## Every branch of core/ is tested
	$(BIN)/coverage run --branch --source=src/pytest_dpone/core -m pytest -q -p no:cacheprovider tests/core tests/run tests/cli tests/evidence -m "not apart"
	$(BIN)/coverage report --show-missing --fail-under=100

lint: $(VENV)/.dev   ## ruff, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.dev  ## mypy --strict
	$(BIN)/mypy

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

site: $(VENV)/.dev   ## Build the site of the documentation
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir site

batteries: $(VENV)/.dev ## Run the stand-ins' batteries, also on real servers, and print the scores
	$(BIN)/python benchmarks/batteries.py

bench: $(VENV)/.dev  ## Print the speeds as ratios measured in one run
	$(BIN)/python benchmarks/run.py

soak: $(VENV)/.dev   ## Run after run, and four at once; nothing may be left
	$(BIN)/python benchmarks/leaks.py

clean:               ## Remove the virtual environment and what runs left
	rm -rf $(VENV) $(LOWEST) site test_artifacts .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.run: pyproject.toml Makefile | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]'
	@touch $@

$(VENV)/.dev: pyproject.toml Makefile | $(VENV)/.run
	$(BIN)/python -m pip install --quiet --group dev
	rm -rf $(VENV)/beside
	$(BIN)/python -m pip install --quiet --no-deps --target $(VENV)/beside --group beside
	@# Not from PyPI: that package fetches a binary while it is installed, and fails where it can't.
	@GOBIN='$(abspath $(BIN))' go install github.com/rhysd/actionlint/cmd/actionlint@$(ACTIONLINT) 2>/dev/null \
		|| echo "actionlint needs Go; without it the test of the workflows that runs it is skipped"
	@touch $@
