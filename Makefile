# make demo    run the example pipeline
# make test    run every check and the test suite
# make check   run the checks only: ruff, ruff format, mypy
# make docs    build the documentation into site/; needs no network
# make venv    create or refresh .venv
# make bench   measure dotflow beside its peers: PEERS=all, WORKLOADS=W2,W3, REPEAT=3 (benchmarks/README.md)
# make lock    pin the development dependencies again (needs uv)
# make clean   remove .venv, the peers' environments, caches and build output
#
# Any Python from 3.11 on will do; choose one with `make test PYTHON=python3.12`.

PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PINNED := $(VENV)/.pinned
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# The suite starts hundreds of programs: where nothing is to be kept of a compilation, each would compile all anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check docs bench venv lock clean

test: check
	$(BIN)/python -m pytest -m "not alone" -n 3 --dist loadgroup --cov --cov-report= --cov-fail-under=0
	$(BIN)/python -m pytest -m alone --cov --cov-append --cov-report=term

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src/dotflow

demo: $(STAMP)
	$(BIN)/python examples/flights/demo.py

docs: $(STAMP)
	$(BIN)/python docs/build_site.py
	@echo "read it: $(BIN)/python -m http.server --directory site"

bench: $(STAMP)
	$(BIN)/python -m benchmarks $(addprefix --peers ,$(PEERS)) $(addprefix --workloads ,$(WORKLOADS)) \
		$(addprefix --repeat ,$(REPEAT))

venv: $(STAMP)

$(STAMP): $(PINNED) pyproject.toml
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

$(PINNED): requirements-dev.txt
	@found=; \
	for python in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			found=$$python; break; \
		fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "dotflow needs Python 3.11 or later with venv and pip;" \
			"looked for: $(or $(PYTHON),python3.13 python3.12 python3.11 python3)." \
			"Install one, or name it: make PYTHON=/path/to/python3" >&2; \
		exit 1; \
	fi; \
	rm -rf $(VENV); \
	echo "creating $(VENV) with $$("$$found" --version)"; \
	"$$found" -m venv $(VENV)
	@echo "installing pinned versions into $(VENV), a minute or two"
	@$(PIP) install --require-hashes --requirement requirements-dev.txt
	@touch $@

lock:
	uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
		requirements-dev.in --output-file requirements-dev.txt

clean:
	rm -rf $(VENV) benchmarks/.environments build dist site .coverage .coverage.* htmlcov \
		.hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
