# `make help` lists the commands. Everything is installed into .venv, nowhere else.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help setup demo land build dashboard explore live airflow download rollback \
	upkeep forget start-over spark parity test bench lint docs metrics export features \
	lock

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/requirements.txt ## create .venv, install pinned packages, dbt packages, DuckDB extensions
	@$(BIN)/python scripts/setup.py

# pip installs uv, and uv installs the rest in a tenth of the time. uv uses the certificates of
# the system, as pip does: a network may inspect TLS. If uv fails, because only pip is
# configured for the package index, pip installs everything. uv compiles bytecode, as pip
# does, since Python may be configured not to write it: dbt then starts in 3 s, not 4 s.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes
.venv/requirements.txt: requirements.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("This needs \
	Python 3.11 to 3.13, and $(PYTHON) is %s. Name another: make setup \
	PYTHON=python3.13" % sys.version.split()[0])'
	@echo "Installing Python packages into .venv. This takes about a minute ..."
	@$(PYTHON) -m venv .venv
	@awk '/^[^ ]/ {wanted = /^uv==/} wanted' $< > .venv/uv.txt
	@$(PIP) -r .venv/uv.txt
	@$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes \
		--system-certs --python $(BIN)/python -r $< || { \
		echo "uv failed, see above. Falling back to pip, which takes some minutes ..."; \
		$(PIP) -r $<; }
	@cp $< $@

demo: setup ## run the whole pipeline on made-up data: land, build, test, publish
	@$(BIN)/python scripts/demo.py
	@$(BIN)/python scripts/dashboard.py || echo "Skipped the boards. Everything else is done."

land: setup ## land yesterday's data, or other days: make land ARGS="--start 2024-01-01 --end 2024-02-01"
	@$(BIN)/python scripts/land.py $(ARGS)

build: setup ## build, test and publish the landed data
	@$(BIN)/dbt build

dashboard: setup ## draw the boards: serving/dashboard.html, one file, works offline
	@$(BIN)/python scripts/dashboard.py

explore: setup ## the boards with filters in a browser, while this runs
	@$(BIN)/python scripts/explore.py $(ARGS)

download: setup ## on a reader's machine: bring serving/ up to date with DEFTUNES_STORE
	@$(BIN)/python scripts/download.py $(ARGS)

live: setup ## show purchases within seconds in serving/live/, and publish them within a minute
	@$(BIN)/python scripts/live.py $(ARGS)

airflow: setup .venv-airflow/requirements.txt ## try Airflow on made-up sources, while this runs
	@$(BIN)/python scripts/run_airflow.py $(ARGS)

# Airflow has an environment of its own: it only calls the commands of this project.
.venv-airflow/requirements.txt: scripts/airflow/requirements.txt
	@echo "Installing Airflow into .venv-airflow ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-airflow
	@$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes \
		--system-certs --python .venv-airflow/bin/python -r $<
	@cp $< $@

# DBT_TARGET sets the lake for every command.
OF_SPARK := DEFTUNES_HOME="$${DEFTUNES_HOME:-$(CURDIR)}" .venv-spark/bin/dbt
DBT = $(if $(filter spark,$(DBT_TARGET)),$(OF_SPARK),$(BIN)/dbt)
rollback: setup ## publish the previous publication again
	@$(DBT) run-operation rollback

upkeep: setup ## shrink the lake: merge files, expire snapshots that nobody needs
	@$(DBT) run-operation upkeep

# The shell sets USER too, so only a USER on make's command line counts.
forget: setup ## erase a person everywhere: make forget USER=<user_id>, ARGS=--dry-run
	@$(if $(and $(filter command,$(firstword $(origin USER))),$(USER)),,\
		echo "Name the person: make forget USER=<user_id>" >&2; exit 2;) \
	$(BIN)/python scripts/forget.py $(if $(YES),--yes) $(ARGS) -- "$$USER"

start-over: setup ## remove the demo's data, to begin with the real sources
	@$(BIN)/python scripts/start_over.py $(if $(YES),--yes)

# The environment of target spark is its own: dbt loads every adapter that it finds.
spark: setup .venv-spark/requirements.txt ## build and test the landed data with Spark, and publish it with DuckDB
	@.venv-spark/bin/python scripts/spark/set_up.py
	@DEFTUNES_HOME="$${DEFTUNES_HOME:-$(CURDIR)}" DBT_TARGET=spark \
		.venv-spark/bin/dbt build $(ARGS)
	@$(if $(ARGS),,DBT_TARGET=spark_serving $(BIN)/dbt build)

.venv-spark/requirements.txt: scripts/spark/requirements.txt
	@echo "Installing Spark into .venv-spark, 1 GB. This takes about a minute ..."
	@$(PYTHON) -m venv .venv-spark
	@$(BIN)/uv pip install --quiet --compile-bytecode --require-hashes \
		--system-certs --python .venv-spark/bin/python -r $< || \
		.venv-spark/bin/pip install --quiet --require-hashes -r $<
	@cp $< $@

parity: setup ## build the landed data with DuckDB and with Spark, and compare all rows
	@$(BIN)/python scripts/parity.py $(ARGS)

test: setup ## run all tests, of dbt and of Python
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile \
		--no-loadscope-reorder $(ARGS)

ITEMS ?= 1000000
REPEATS ?= 3
bench: setup ## compare with hand-written SQL, Spark and dlt: make bench ITEMS=10000000
	@$(BIN)/python scripts/bench.py --items $(ITEMS) --repeats $(REPEATS) $(ARGS)

# Models are compiled against an empty lakehouse, not against the real one.
lint: export DEFTUNES_HOME = $(CURDIR)/target/lint
lint: export DEFTUNES_STORE =
lint: export DBT_TARGET = local
lint: setup ## check SQL, YAML, Python, names, descriptions and keys
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/yamllint --strict .
	$(BIN)/dbt --quiet --warn-error compile
	$(BIN)/dbt-bouncer run --only manifest_checks
	$(BIN)/sqlfluff lint --disable-progress-bar models snapshots tests/*.sql analyses

docs: setup ## build the docs site: target/static_index.html, one file, works offline
	@$(BIN)/dbt --quiet parse
	@$(BIN)/python scripts/fill_overview.py
	@$(BIN)/dbt --quiet docs generate --static
	@$(BIN)/python scripts/style_docs.py
	@$(BIN)/dbt-bouncer run --only catalog_checks --allow-zero-checks
	@echo "Open target/static_index.html in a browser."

metrics: setup ## validate the metrics, also against the tables; to query them: mf query --help
	@$(BIN)/dbt --quiet parse
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mf validate-configs
	@echo "Warnings about both a measure and a metric are of dbt's own making: ignore them."

export: setup ## write a table or saved query to a file: make export NAME=... TO=sales.parquet
	@$(if $(and $(NAME),$(TO)),,\
		echo "Give NAME and TO: make export NAME=marts.dim_date TO=days.csv" >&2; \
		exit 2;) \
	$(BIN)/python scripts/export.py $(ARGS) -- "$(NAME)" "$(TO)"

features: setup ## write buyers' features with their answers: make features DATE=2023-06-05 TO=f.parquet
	@$(if $(and $(DATE),$(TO)),,\
		echo "Give DATE and TO: make features DATE=2023-06-05 TO=features.csv" >&2; \
		exit 2;) \
	$(BIN)/python scripts/features.py $(ARGS) -- "$(TO)" $(DATE)

lock: setup ## pin the versions of requirements.in in requirements.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras \
		--python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--no-header requirements.in --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras \
		--python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--no-header scripts/airflow/requirements.in \
		--output-file scripts/airflow/requirements.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-strip-extras \
		--python-version 3.11 --no-emit-index-url --no-emit-find-links \
		--no-header --constraint requirements.txt scripts/spark/requirements.in \
		--output-file scripts/spark/requirements.txt
