# Everything is set up by the targets themselves: Python 3.11 or later and make are all that is needed first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt

.PHONY: demo test unit lint pages rest bench bench-encoding clean

demo: $(VENV)/.runs
	$(BIN)/python -m demo

# Linting and the unit tests take one core each. The tests of the pages share one farm and one browser, so they are
# one process beside the others.
test: servers $(VENV)/.develops
	@failed=; $(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target lint unit || failed=yes; \
	$(MAKE) --no-print-directory --keep-going --jobs=2 pages rest || failed=yes; test -z "$$failed"

pages: $(VENV)/.develops
	$(BIN)/python -m pytest -q tests/web

rest: $(VENV)/.develops
	$(BIN)/python -m pytest -n 3 --dist worksteal tests/farm tests/acceptance tests/media tests/services tests/store tests/files tests/catalog tests/api

unit: $(VENV)/.develops
	$(BIN)/coverage run -m pytest -q tests/unit
	$(BIN)/coverage report --fail-under=100 --include='src/reelyard/domain/*,$(PURE)'

# The parts of the engine that decide and do nothing else; their tests reach every branch.
engine := src/reelyard/engine
PURE := $(engine)/picture.py,$(engine)/sound.py,$(engine)/text.py,$(engine)/commands.py,$(engine)/planner.py,$(engine)/cuda.py,$(engine)/nvenc.py,$(engine)/demuxers.py,$(engine)/loudness.py

lint: $(VENV)/.develops
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --no-warn-unreachable --cache-dir .mypy_cache/win32 src
	$(BIN)/lint-imports

bench: $(VENV)/.develops rivals
	$(BIN)/python -m bench

# Ten minutes of film by everybody: about an hour on two cores, most of it MoviePy's.
.PHONY: bench-rivals
bench-rivals: $(VENV)/.develops rivals
	$(BIN)/python -m bench --only rivals --minutes 10 --chart docs/images/rivals.svg

bench-encoding: $(VENV)/.develops
	$(BIN)/python -m bench.encoding

$(VENV)/.runs: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || $(MAKE) --no-print-directory venv-package
	@echo "Installing what Reelyard needs (FFmpeg and fonts included) ..."
	$(PIP) --editable .
	@touch $@

$(VENV)/.develops: $(VENV)/.runs
	$(PIP) --editable '.[dev]'
	@touch $@

# Debian keeps venv in a package of its own.
.PHONY: venv-package
venv-package:
	rm -rf $(VENV)
	$$(test "$$(id -u)" = 0 || echo sudo) apt-get update -q
	$$(test "$$(id -u)" = 0 || echo sudo) apt-get install -qy python3-venv
	$(PYTHON) -m venv $(VENV)

# The tests start these for themselves, so no service is wanted: redis-tools holds the Redis server (as redis-check-rdb)
# without one, and PostgreSQL is told before it comes to make no cluster.
.PHONY: servers redis-package postgres-package chromium-package neighbour-packages compiler-package
servers:
	@command -v redis-server >/dev/null || command -v redis-check-rdb >/dev/null || \
		{ $(HAS_APT) && $(MAKE) -s redis-package; } || $(call without,Redis)
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
		{ $(HAS_APT) && $(MAKE) -s postgres-package; } || $(call without,PostgreSQL)
	@command -v chromium >/dev/null || { $(HAS_APT) && $(MAKE) -s chromium-package; } || $(call without,Chromium)
	@PATH="$$PATH:/usr/sbin:/sbin"; { command -v smbd && command -v smbclient && command -v pgbouncer && command -v ip; } >/dev/null || \
		{ $(HAS_APT) && $(MAKE) -s neighbour-packages; } || $(call without,Samba with smbclient or PgBouncer or iproute2)
	@command -v cc >/dev/null || { $(HAS_APT) && $(MAKE) -s compiler-package; } || $(call without,C compiler)

HAS_APT = command -v apt-get >/dev/null
AS_ROOT = $$(test "$$(id -u)" = 0 || echo sudo)
INSTALL = $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends
without = { echo "No $(1) here: tests that need it are skipped; in CI they have to run." >&2; test "$$CI" != true; }

# For a graphics card in software, which the tests build.
compiler-package:
	echo "Installing a C compiler for the tests ..."
	$(AS_ROOT) apt-get update -qq
	said=$$($(INSTALL) gcc libc6-dev 2>&1) || { echo "$$said" >&2; exit 1; }

redis-package:
	echo "Installing Redis for the tests ..."
	$(AS_ROOT) apt-get update -qq
	said=$$($(INSTALL) redis-tools 2>&1) || { echo "$$said" >&2; exit 1; }

no_cluster := /etc/postgresql-common/createcluster.d/reelyard.conf
postgres-package:
	echo "Installing PostgreSQL for the tests ..."
	$(AS_ROOT) apt-get update -qq
	$(AS_ROOT) mkdir -p $(dir $(no_cluster))
	echo 'create_main_cluster = false' | $(AS_ROOT) tee $(no_cluster) >/dev/null
	said=$$($(INSTALL) postgresql 2>&1) || { echo "$$said" >&2; exit 1; }

# What films are made with otherwise, to compare with: MoviePy, in an environment of its own because it wants an older
# Pillow, and MLT's melt.
.PHONY: rivals melt-package
rivals: $(VENV)/rivals/.made
	@command -v melt >/dev/null || { $(HAS_APT) && $(MAKE) -s melt-package; } || \
		echo "No melt here: the comparison goes without it." >&2

$(VENV)/rivals/.made: bench/rivals.txt | $(VENV)/.runs
	$(PYTHON) -m venv $(VENV)/rivals
	$(VENV)/rivals/bin/python -m pip --disable-pip-version-check install --quiet --requirement bench/rivals.txt
	@touch $@

melt-package:
	echo "Installing melt for the benchmarks ..."
	$(AS_ROOT) apt-get update -qq
	said=$$($(INSTALL) melt 2>&1) || { echo "$$said" >&2; exit 1; }

chromium-package:
	echo "Installing Chromium for the tests of the pages ..."
	$(AS_ROOT) apt-get update -qq
	said=$$($(INSTALL) chromium 2>&1) || { echo "$$said" >&2; exit 1; }

# Debian starts what it installs; what starts here is only what a test starts.
neighbour-packages:
	echo "Installing Samba, PgBouncer and iproute2 for the tests ..."
	$(AS_ROOT) apt-get update -qq
	policy=/usr/sbin/policy-rc.d; test -e $$policy || { printf '#!/bin/sh\nexit 101\n' | $(AS_ROOT) tee $$policy >/dev/null; \
		$(AS_ROOT) chmod +x $$policy; ours=yes; }; \
	said=$$($(INSTALL) samba smbclient pgbouncer iproute2 2>&1); ended=$$?; \
	test "$$ours" != yes || $(AS_ROOT) rm -f $$policy; \
	test $$ended = 0 || { echo "$$said" >&2; exit 1; }

clean:
	rm -rf $(VENV) out build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
