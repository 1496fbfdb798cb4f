# Each target does its own set-up on a fresh machine: a virtual environment with pinned packages.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2
ONE_THREAD := OMP_NUM_THREADS=1

# Empty without npm, or with a Node that is too old: what needs them is left out then.
NODE_IS_NEW := const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)
NPM ?= $(shell node -e '$(NODE_IS_NEW)' 2>/dev/null && command -v npm)
WEB := src/pocketpress/web/static/assets/pocketpress.js
WEB_STAMP := web/node_modules/.installed
WEB_SOURCES := $(shell find web -type f -not -path 'web/node_modules/*' -not -path 'web/dist/*' -not -path 'web/test/*' 2>/dev/null)

.PHONY: demo test test-slow lint docs clean web web-test web-lint

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 10) else "Python 3.10 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $(STAMP)

$(WEB_STAMP): web/package-lock.json
	cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $(WEB_STAMP)

$(WEB): $(WEB_STAMP) $(WEB_SOURCES)
	cd web && npm run --silent build -- --out ../src/pocketpress/web/static --packed

web: $(WEB)  ## build the browser client into the Python package (needs Node 20 or newer)

web-test: $(WEB_STAMP)  ## the browser client's own tests and types
	cd web && npm run --silent check && npm test --silent

web-lint: $(WEB_STAMP)
	cd web && npm run --silent lint

demo: $(STAMP)  ## press the photo network to every runtime and enhance four photos
	$(BIN)/python -m apps.photo.demo --out demo

test: $(STAMP) $(if $(NPM),web web-test)  ## the fast tests; those of the browser client where there is npm
	$(ONE_THREAD) $(BIN)/python -m pytest -m "not slow" -n $(WORKERS)

test-slow: $(STAMP) $(if $(NPM),web)  ## the others
	$(ONE_THREAD) $(BIN)/python -m pytest -m slow -n $(WORKERS)

lint: $(STAMP) $(if $(NPM),web-lint)
	$(BIN)/ruff check src apps examples benchmarks tests scripts
	$(BIN)/ruff format --check src apps examples benchmarks tests scripts
	$(BIN)/mypy

docs: $(STAMP)  ## regenerate what is generated
	$(BIN)/python scripts/help_pages.py
	$(BIN)/python -m scripts.web_vectors
	$(BIN)/python scripts/record_doc.py
	$(BIN)/python scripts/support_table.py
	$(BIN)/python scripts/precision_table.py

clean:
	rm -rf $(VENV) demo web/node_modules web/dist src/pocketpress/web/static
