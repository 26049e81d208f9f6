# Each target sets up .venv by itself. PYTHON chooses the interpreter (3.11 to 3.13).
PYTHON ?= python3
RUN = .venv/bin/python
# Outputs of the papers' official code, for tests/parity; without them these tests are skipped.
export PARITY_DATA ?= $(abspath $(wildcard ../shared/parity))
# Two processes, each with its own compiled programs: neighbours share them.
PYTEST = $(RUN) -m pytest -q -n 2 --dist worksteal

.PHONY: run test test-slow test-figures test-all test-processors lint figures reference clean

run: .venv/run
	$(RUN) -m replications.snapp_shamir --shuffle_log2=20

test: lint
	$(PYTEST) -m "not slow"

# One to two hours on two cores; each night, and before a release.
test-slow: test-figures
	$(RUN) -m pytest -q -m slow --ignore=$(FIGURES)

# Each figure as a program. The other slow tests have processes of their own, with times, and run one by one.
FIGURES = tests/replications/test_smoke.py
test-figures: .venv/test
	$(PYTEST) -m slow $(FIGURES)

test-all: lint
	$(PYTEST)

# The fast suite as other processors would round: with narrower vectors, without oneDNN, on one core.
test-processors: .venv/test
	ONEDNN_MAX_CPU_ISA=AVX2 XLA_FLAGS=--xla_cpu_max_isa=AVX2 $(PYTEST) -m "not slow"
	TF_ENABLE_ONEDNN_OPTS=0 XLA_FLAGS=--xla_cpu_max_isa=AVX $(PYTEST) -m "not slow"
	taskset -c 0 $(PYTEST) -m "not slow"

lint: .venv/test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

# The verdicts and pictures of README.md and docs/.
figures: .venv/run
	$(RUN) -m figures.report --write_docs

# DATA_DIR is the folder of TensorFlow datasets; MINUTES stops it after so many.
reference: .venv/run
	$(RUN) -m launch.reference $(if $(DATA_DIR),--data_dir='$(DATA_DIR)') $(if $(MINUTES),--minutes=$(MINUTES))

clean:
	rm -rf .venv

.venv/python:
	$(PYTHON) -m venv .venv
	$(RUN) -m pip install -q --upgrade pip
	touch $@

.venv/run: .venv/python requirements.txt
	$(RUN) -m pip install -q -r requirements.txt
	touch $@

.venv/test: .venv/python requirements.txt requirements-test.txt
	$(RUN) -m pip install -q -r requirements-test.txt
	touch $@
