# make run                    start Countersign on this machine: http://127.0.0.1:8080, data in var/
# make run PORT=9000 DATA_DIR=/srv/countersign
# make run-production         the same from DATABASE_URL, REDIS_URL, STORAGE_URL, SECRET_KEY, BASE_URL
# make test                   every test this machine can run; ends with what was skipped and why
# make format check           what a change must pass, besides the tests
# make gate-audit             what each role can do to a guarded model, by each endpoint that writes, as a table
# make conformance            MLflow's own tests against a running Countersign (MLFLOW_SOURCE_TREE; SUITES to choose)
# make bench                 measure beside `mlflow server` on one PostgreSQL (VERSIONS=100000, QUICK=1; PAGES=1: the pages alone): docs/performance.md
# make demo                   fill a running server with a story (MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN set)
# make screenshots            a picture of every page, in screenshots/, told with the story (BASE_URL of a running server, FOLDER)

.DEFAULT_GOAL := run
.PHONY: run run-production test gate-audit conformance bench format check demo screenshots lock
PYTHON ?=
PY := .venv/bin/python
PYTEST := $(PY) -m pytest
XDIST ?= 2
VERSIONS ?= 100000

# While you work on them, scripts and styles are served from where they lie.
run: .venv/run.stamp $(if $(COUNTERSIGN_DEVELOPMENT),,staticfiles/.stamp)
	@$(if $(COUNTERSIGN_DEVELOPMENT),,STATIC_COLLECTED=1) exec $(PY) manage.py up

run-production: .venv/run.stamp staticfiles/.stamp
	@STATIC_COLLECTED=1 exec $(PY) manage.py up --production

test: .venv/test.stamp .venv-mlflow2/stamp .venv-reference/stamp
	$(PYTEST) -n $(XDIST) -m "not browser"
	$(PYTEST) -n $(XDIST) -m browser

gate-audit: .venv/test.stamp
	@$(PYTEST) -q --show-capture=no tests/web/test_gate_audit.py
	@cat test-results/gate-audit.txt

conformance: .venv/test.stamp .venv-mlflow36/stamp
	@$(PY) -m tests.conformance $(SUITES)

bench: .venv/test.stamp .venv-reference/stamp
	@$(PY) -m bench --versions $(VERSIONS) $(if $(QUICK),--quick) $(if $(PAGES),--pages)

format: .venv/test.stamp
	$(PY) -m ruff check -q --fix-only .
	$(PY) -m ruff format -q .

check: .venv/test.stamp
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy
	.venv/bin/lint-imports
	.venv/bin/djlint --lint --quiet templates
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) manage.py check

demo: .venv/test.stamp
	@$(PY) -m demo.story

screenshots: .venv/test.stamp
	@$(PY) scripts/screenshots.py

# Run again after a change of pyproject.toml. The output names no package index; tests/test_lock_files.py keeps it so.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q pyproject.toml -o requirements/run.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q pyproject.toml --group test -o requirements/test.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --group client-2 -o requirements/client-2.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --group conformance -o requirements/conformance.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate -q --group reference -o requirements/reference.txt

# What is installed where. The test environment is the run environment and more.
.venv/run.stamp: requirements/run.txt
	@test .venv/test.stamp -nt $@ -a .venv/test.stamp -nt $< || scripts/environment.sh .venv $< $(PYTHON)
	@touch $@

.venv/test.stamp: requirements/test.txt
	@scripts/environment.sh .venv $< $(PYTHON)
	@touch $@ .venv/run.stamp

# The older mlflow client, which needs older libraries. Without it the tests of that client are skipped, and say so.
.venv-mlflow2/stamp: requirements/client-2.txt
	@scripts/environment.sh .venv-mlflow2 $< $(PYTHON) && touch $@ || echo "The older mlflow client could not be installed: its tests will be skipped."

# `mlflow server`, which needs libraries that collide with ours. Without it the tests of the import are skipped, and say so.
.venv-reference/stamp: requirements/reference.txt
	@scripts/environment.sh .venv-reference $< $(PYTHON) && touch $@ || echo "mlflow server could not be installed: the tests that start it will be skipped."

# The released client of MLflow 3.6 whole, as its tests import the server too; they are run against ours.
.venv-mlflow36/stamp: requirements/conformance.txt
	@scripts/environment.sh .venv-mlflow36 $< $(PYTHON)
	@touch $@

staticfiles/.stamp: .venv/run.stamp $(shell find static -type f)
	@STATIC_COLLECTED=1 $(PY) manage.py collectstatic --noinput -v 0
	@touch $@
