# `make run` and `make test` need Python 3.11 or newer and nothing else: they make .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test trust lint lock clean

run: .venv/installed
	PATH="$(CURDIR)/$(BIN):$$PATH" mlflow run . --env-manager local -P lr=0.001 -P batch_size=128

test: .venv/installed-dev lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

trust: .venv/installed-dev
	TRUST=long $(BIN)/python -m pytest tests/trust

lint: .venv/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict

lock: .venv/installed-dev
	$(BIN)/uv pip compile pyproject.toml $(LOCK) -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev $(LOCK) -c requirements.txt -o requirements-dev.txt
LOCK := --quiet --universal --python-version 3.11 --no-annotate --no-emit-index-url \
	--custom-compile-command "make lock"

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/installed-dev: requirements-dev.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch .venv/installed $@

clean:
	rm -rf .venv .cache
