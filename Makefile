# `make help` lists the verbs. Everything happens in .venv; nothing else is touched.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo land build dashboard rollback upkeep forget test bench lint \
	docs metrics export lock

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/requirements.txt ## make .venv, install what is pinned, set up dbt and DuckDB
	@$(BIN)/python scripts/setup.py

# pip brings uv, which brings the rest in a tenth of the time; where only pip knows the way
# to the packages, pip brings all. Compiled like pip's, for Python may be told not to keep
# what it compiles: dbt starts in 3 seconds then instead of 4.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes
.venv/requirements.txt: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("This needs \
	Python 3.11 to 3.13, and $(PYTHON) is %s. Name another: make setup \
	PYTHON=python3.13" % sys.version.split()[0])'
	$(PYTHON) -m venv .venv
	@awk '/^[^ ]/ {wanted = /^uv==/} wanted' $< > .venv/uv.txt
	$(PIP) -r .venv/uv.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes \
		--python $(BIN)/python -r $< || $(PIP) -r $<
	@cp $< $@

demo: setup ## see the whole way on made-up sources: land, build, test, publish
	@$(BIN)/python scripts/demo.py
	@$(BIN)/python scripts/dashboard.py || echo "Skipped: the boards. All else is done."

land: setup ## land yesterday, or as ARGS say: make land ARGS="--start 2024-01-01"
	@$(BIN)/python scripts/land.py $(ARGS)

build: setup ## build, test and publish what has been landed
	@$(BIN)/dbt build

dashboard: setup ## draw the boards: serving/dashboard.html, one file, works offline
	@$(BIN)/python scripts/dashboard.py

# dbt reads DBT_TARGET: it names the lake for every verb.
rollback: setup ## publish again what was published before the last time
	@$(BIN)/dbt run-operation rollback

upkeep: setup ## make the lake smaller: merge files, forget what is older than retention_days
	@$(BIN)/dbt run-operation upkeep

# The shell has a USER too, so only the one on make's command line counts.
forget: setup ## erase a person everywhere: make forget USER=<user_id>, ARGS=--dry-run
	@$(if $(and $(filter command,$(firstword $(origin USER))),$(USER)),,\
		echo "Name the person: make forget USER=<user_id>" >&2; exit 2;) \
	$(BIN)/python scripts/forget.py $(if $(YES),--yes) $(ARGS) -- "$$USER"

test: setup ## run all tests: dbt's and pytest's
	@$(BIN)/python -m pytest --numprocesses 4 --dist loadfile \
		--no-loadscope-reorder $(ARGS)

ITEMS ?= 1000000
REPEATS ?= 3
bench: setup ## measure it beside its limit, Spark and dlt: make bench ITEMS=10000000
	@$(BIN)/python scripts/bench.py --items $(ITEMS) --repeats $(REPEATS) $(ARGS)

# Models are rendered against an empty lakehouse, wherever the real one is.
lint: export DEFTUNES_HOME = $(CURDIR)/target/lint
lint: setup ## check SQL, YAML, Python, names, descriptions and keys
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/dbt --quiet --warn-error compile
	$(BIN)/dbt-bouncer run --only manifest_checks
	$(BIN)/sqlfluff lint --disable-progress-bar models snapshots tests/*.sql analyses

docs: setup ## write the docs site: target/static_index.html, one file, works offline
	@$(BIN)/python scripts/fill_overview.py
	@$(BIN)/dbt --quiet docs generate --static
	@$(BIN)/dbt-bouncer run --only catalog_checks --allow-zero-checks
	@echo "Open target/static_index.html in a browser."

metrics: setup ## check the metrics, against the tables too; then ask: mf query --help
	@$(BIN)/dbt --quiet parse
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mf validate-configs

export: setup ## a table or saved query as a file: make export NAME=... TO=sales.parquet
	@$(if $(and $(NAME),$(TO)),,\
		echo "Say what, and where: make export NAME=marts.dim_date TO=days.csv" >&2; \
		exit 2;) \
	$(BIN)/python scripts/export.py $(ARGS) -- "$(NAME)" "$(TO)"

lock: setup ## pin requirements.in anew
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras \
		--python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--no-header requirements.in --output-file requirements.txt
