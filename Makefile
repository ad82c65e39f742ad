# make install       .venv with rollcheck in it
# make demo          the product at work on a cluster of its own, in about a minute: a rollout that loses requests, and its fix
# make lint          ruff, mypy --strict, the import contracts
# make test          everything that needs no root, no cluster and no network
# make sandbox-test  a part of it: the suite of the real cluster, on sandboxes
# make cluster-test  the truth: on the cluster that KUBECONFIG names (see tests/cluster/README.md)
# make bench         the load generator beside its peers, ~15 minutes; QUICK=1: two; BENCH='--only closed,tls': a part
# make bench-peers   fortio and locust into .peers (wrk, hey and nginx come from the system's packages)
# make gallery       render the documents of reports/ anew: golden files, and what the docs show
# make requirements  pin what pyproject.toml asks for, by hash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: install demo lint test sandbox-test cluster-test gallery bench bench-peers requirements clean

install: $(STAMP)

$(STAMP): requirements-install.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	# uv takes the same pinned files as pip, in a fifth of the time. Where Python may not write byte code later on, it is
	# made here: every start would otherwise compile all that it imports.
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-install.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet $(if $(PYTHONDONTWRITEBYTECODE),--compile-bytecode) --require-hashes -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(if $(PYTHONDONTWRITEBYTECODE),$(BIN)/python -m compileall -q rollcheck)
	touch $(STAMP)

demo: install
	$(BIN)/rollcheck demo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -q -n 2 -m "not cluster" $(PYTEST)
	$(if $(PYTEST),,$(MAKE) sandbox-test)

# Three at a time, a sandbox each: these tests mostly wait, but what waits for a processor does not measure.
sandbox-test: install
	ROLLCHECK_TEST_SANDBOX=1 $(BIN)/pytest -q -n 3 --dist loadscope -m cluster tests/cluster $(PYTEST)

cluster-test: install
	@test -n "$$KUBECONFIG" || { echo "make cluster-test: set KUBECONFIG to the cluster to test on" >&2; exit 2; }
	$(BIN)/pytest -q -m cluster tests/cluster tests/sandbox/conformance $(PYTEST)

gallery: install
	$(BIN)/python -m tests.gallery

bench: install
	$(BIN)/python -m bench $(if $(QUICK),--quick) $(BENCH)

bench-peers:
	mkdir -p .peers/bin
	GOBIN=$(CURDIR)/.peers/bin go install fortio.org/fortio@v1.68.0
	$(PYTHON) -m venv .peers/locust
	.peers/locust/bin/pip install --quiet --disable-pip-version-check locust
	ln -sf ../locust/bin/locust .peers/bin/locust

requirements: install
	echo uv | $(BIN)/uv pip compile - --generate-hashes --universal --python-version 3.11 --no-header --no-annotate -q -o requirements-install.txt
	$(BIN)/uv pip compile pyproject.toml --generate-hashes --universal --python-version 3.11 --no-header -q -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --extra dev --generate-hashes --universal --python-version 3.11 --no-header -q -o requirements-dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
