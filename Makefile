# The commands of this project. Each sets up what it needs: `make demo` and `make run` on a fresh machine need Python 3.11+ and
# nothing else; `make test` needs Node 18+ too, for the tests with the stock Yjs provider and of the page, and Chromium.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check
WORKERS ?= 2
# tests at once: those of lines and links mostly wait
TESTERS ?= 4

# A machine that writes no bytecode would compile all of it again for each program that a test or the demo starts.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run demo test bench proof simulate style types docs node hosts browser postgres clean

help:
	@echo 'make run     a shop on this machine: one till, one relay; runs until Ctrl-C'
	@echo 'make demo    a real day of baskets over three tills and a relay, with cuts and kills; one to two minutes'
	@echo 'make test    set up everything, check style and types, run all tests'
	@echo 'make bench   run the benchmarks and write benchmarks/results.md'
	@echo 'make proof   the whole count of every rig that breaks something on purpose, 100,000 simulated runs among them; many hours'
	@echo 'make simulate HOURS=n   the whole shop in one thread, seed after seed, with whatever may go wrong'
	@echo 'make style   ruff; make types  mypy; make docs  write the pages made from the code; make clean  remove what was built'

run: $(VENV)/.base
	$(BIN)/python -m examples.shop_on_one_machine

demo: $(VENV)/.base
	$(BIN)/python -m examples.demo

test: style types node hosts browser postgres
	$(BIN)/python -m pytest -n $(TESTERS) --dist worksteal

# The whole count of every rig (docs/reliability.md), many hours of it. What is measured runs last, and one by one.
# The figures are collected in run/proof.json: workers print none.
PROOF_OUT := $(CURDIR)/run/proof.json
PROVE := POSLINE_PROOF=1 POSLINE_PROOF_OUT=$(PROOF_OUT) $(BIN)/python -m pytest
proof: $(VENV)/.dev $(VENV)/.proof node hosts browser postgres
	$(PROVE) -n $(WORKERS) --dist worksteal tests/simulation tests/faults tests/mutants tests/page/test_lost.py tests/page/test_reading.py tests/relay/test_web.py tests/till/fiscal/test_three_tills.py
	POSLINE_PROOF_OUT=$(PROOF_OUT) $(BIN)/python -m tests.simulation.simulate --runs 100000 --workers $(WORKERS)
	$(PROVE) -s tests/fuzz
	$(PROVE) -s tests/power
	$(PROVE) -s tests/network
	$(PROVE) -s tests/storage tests/sync tests/test_replica.py tests/test_clocks.py
	$(PROVE) -s tests/relay/test_processes.py
	$(PROVE) -s tests/life

HOURS ?= 1
simulate: $(VENV)/.dev
	$(BIN)/python -m tests.simulation.simulate --hours $(HOURS) --workers $(WORKERS)

bench: $(VENV)/.bench browser
	$(BIN)/python -m benchmarks.run

style: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check --diff examples benchmarks docs

types: $(VENV)/.dev
	$(BIN)/mypy

docs: $(VENV)/.dev
	$(BIN)/python -m docs.generate

clean:
	rm -rf $(VENV) run build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis benchmarks/__pycache__
	find . -name node_modules -prune -exec rm -rf {} +
	find . -name __pycache__ -prune -exec rm -rf {} +

# -- what the targets stand on; a stamp file says that it is done

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null || { echo 'Posline needs Python 3.11 or newer, and "$(PYTHON)" was not found: install it, or say make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Posline needs Python 3.11 or newer; "$(PYTHON)" is' "$$($(PYTHON) -V 2>&1)"': say make PYTHON=/path/to/a/newer/python3' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo 'Python could not make a virtual environment: on Debian and Ubuntu, apt-get install python3-venv' >&2; exit 1; }
	@touch $@

$(VENV)/.base: pyproject.toml $(VENV)/.python
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.base

$(VENV)/.bench: pyproject.toml $(VENV)/.python
	$(PIP) -e '.[bench]'
	@touch $@ $(VENV)/.base

# atheris has no wheel for every Python and machine: without it the plain driver tries the inputs of a proof
$(VENV)/.proof: pyproject.toml $(VENV)/.dev
	@$(PIP) --only-binary atheris -e '.[proof]' || echo 'no atheris for this Python: the plain driver fuzzes in its place' >&2
	@touch $@

# several hosts on this machine (ip, nsenter, ss), what checks the service's unit, what joins Urdu letters, and what power
# cuts are tried with (strace, ext4); without root those tests are skipped, and say so
hosts:
	@missing=""; command -v ip >/dev/null || missing="iproute2"; command -v nsenter >/dev/null || missing="$$missing util-linux"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	command -v strace >/dev/null || missing="$$missing strace"; \
	command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing="$$missing nginx-light"; \
	command -v mkfs.ext4 >/dev/null || [ -x /sbin/mkfs.ext4 ] || missing="$$missing e2fsprogs"; \
	[ ! -x /sbin/ldconfig ] || /sbin/ldconfig -p | grep -q libfribidi || missing="$$missing libfribidi0"; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
		else echo "some tests will be skipped: install $$missing" >&2; fi; fi

node:
	@command -v node >/dev/null && command -v npm >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm; \
		else echo 'the tests with the stock Yjs provider need Node 18 or newer and npm: install them' >&2; exit 1; fi; }

# the browser before which the page is tested; Debian's, since a browser of Playwright's own is another download
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; \
		else echo 'the tests of the page will be skipped: install Chromium' >&2; fi; }

# the programs alone: the tests start servers of their own, so none is set up to run by itself
postgres:
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			mkdir -p /etc/postgresql-common; \
			[ -e /etc/postgresql-common/createcluster.conf ] || echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql; \
		else echo 'the tests with PostgreSQL will be skipped: install PostgreSQL 14 or newer' >&2; fi; }
