# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
export SLATEWISE_DATA ?= $(abspath ../shared/data)

.PHONY: demo tradeoff test check servers bench bench-house bench-rules bench-diversity bench-blend bench-learn \
	bench-serve chaos table serve clean wheel dev

demo: $(VENV)/.demo  ## Replay real visits to a news site and leave a report in out/.
	$(BIN)/slatewise demo --out out

tradeoff: dev  ## What variety costs on MovieLens-1M, for every variant: a picture in out/, if SLATEWISE_DATA has the data.
	$(BIN)/python examples/movielens.py out

test: dev check servers  ## Everything: the installed wheel, its doctests, the documentation, the style, real servers.
	cd tests && ../$(BIN)/python -m pytest -c ../pyproject.toml --rootdir=.. -n 2 .
	cd tests && ../$(BIN)/python -m pytest -c ../pyproject.toml --rootdir=.. -p no:cacheprovider --doctest-modules --pyargs slatewise

check: dev  ## Style, types, layering.
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-cache

servers:  ## The servers that tests talk to, from the distribution; what cannot be had is skipped, and said so.
	@command -v redis-server > /dev/null || { $(SUDO) apt-get update -qq && \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server > /dev/null; } || \
		echo "redis-server is not there and cannot be installed here: tests that need it are skipped" >&2

bench: bench-house bench-rules bench-diversity bench-blend bench-learn bench-serve  ## Every benchmark family.

bench-house: dev  ## The pipeline, the greedy page, the wire.
	$(BIN)/python benchmarks/house.py
	$(BIN)/python benchmarks/tables.py

bench-rules: dev  ## The page under rules: how good, how surely, how fast.
	$(PIP) install "$$(ls dist/slatewise-*.whl)[bench]"
	$(BIN)/python benchmarks/rules.py
	$(BIN)/python benchmarks/tables.py

bench-diversity: export OPENBLAS_NUM_THREADS = 1
bench-diversity: dev  ## The page that is spread: how fast beside pyversity and memory, and whether it is the right one.
	$(PIP) install "$$(ls dist/slatewise-*.whl)[bench]"
	$(BIN)/python benchmarks/diversity.py
	$(BIN)/python benchmarks/tables.py

bench-blend: export OPENBLAS_NUM_THREADS = 1
bench-blend: dev  ## Which line gets a slot: calibration, landscapes, shading, pacing, governance.
	$(BIN)/python benchmarks/blend.py
	$(BIN)/python benchmarks/tables.py

bench-learn: export OPENBLAS_NUM_THREADS = 1
bench-learn: dev  ## Learned pages: losses, listwise scorers, evaluators, the decoder and its search.
	$(PIP) install "$$(ls dist/slatewise-*.whl)[bench]" setuptools wheel
	$(PIP) install --no-deps allrank==1.4.3 rax==0.4.0  # allrank asks for a torch of 2021, and does without
	-$(PIP) install --no-deps --no-build-isolation torchsort==0.1.10  # compiled here; its rows say so where it is not
	$(BIN)/python benchmarks/learn.py
	$(BIN)/python benchmarks/tables.py

bench-serve: export OPENBLAS_NUM_THREADS = 1
bench-serve: dev servers  ## The service under load: latency, overload, stores that fail, swaps, drains, a soak of ten minutes.
	$(PIP) install "$$(ls dist/slatewise-*.whl)[bench]"
	$(BIN)/python benchmarks/serve.py
	$(BIN)/python benchmarks/tables.py

chaos: export OPENBLAS_NUM_THREADS = 1
chaos: dev servers  ## Kill, hang, fill, swap and drain a service under load; fails if a request does, or a rule.
	$(BIN)/python benchmarks/chaos.py

table: export OPENBLAS_NUM_THREADS = 1
table: dev  ## Every learned method on every set, five seeds, into docs/results.md; it goes on where it was interrupted.
	$(BIN)/python benchmarks/table.py

POLICY ?= examples/feed.yaml
serve: dev  ## Serve POLICY on http://127.0.0.1:8000.
	$(BIN)/slatewise serve $(POLICY)

dev: wheel $(VENV)/.torch
	$(PIP) install --upgrade "$$(ls dist/slatewise-*.whl)[dev]"
	$(PIP) install --force-reinstall --no-deps dist/slatewise-*.whl

wheel: $(VENV)/.build
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist . > /dev/null

$(VENV)/.torch: | $(VENV)  # first: what depends on it would fetch another build
	$(PIP) install torch==2.13.0
	touch $@

$(VENV)/.build: | $(VENV)
	$(PIP) install "build>=1.2"
	touch $@

$(VENV)/.demo: pyproject.toml $(shell find src -name '*.py' -o -name '*.yaml' -o -name '*.gz' -o -name '*.html') | $(VENV)
	$(PIP) install ".[report]"
	touch $@

$(VENV):
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) dist build out
