PYTHON ?= python3
VENV ?= .venv
BENCH_VENV ?= .venv-bench
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check fmt bench chaos fuzz tables weights clean

demo: $(STAMP)  ## play the bundled recordings as live rooms, end to end
	$(BIN)/limelight demo

# Two at once. What starts real processes waits for most of its time; of those each file stays
# together, for its tests share a running system.
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 -m "not broker"
	$(BIN)/python -m pytest -n 2 --dist loadfile -m broker

check: $(STAMP) .typing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=.typing $(BIN)/mypy --namespace-packages --explicit-package-bases -p limelight

fmt: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(BENCH_VENV)/.installed  ## measure, beside the libraries that others use; minutes
	$(BENCH_VENV)/bin/python -m tests.bench
	$(BENCH_VENV)/bin/python -m tests.bench.scale.plot

chaos: $(STAMP)  ## kill, stall and pause everything in 55 seeded runs, into docs/reliability.md; an hour
	$(BIN)/python -m tests.chaos

fuzz: $(STAMP)  ## feed what reads untrusted bytes with atheris, a minute each
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[fuzz]'
	$(BIN)/python -m tests.fuzz

tables: $(STAMP)  ## the paper's tables on simulated platforms, into docs/results.md; an hour
	$(BIN)/limelight tables --training-rooms 600 --test-rooms 200 --epochs 6

weights: $(STAMP)  ## train the bundled weights anew and compare them; two hours
	$(BIN)/python -m limelight.replay.bundled_model
	$(BIN)/python -m limelight.replay.bundled_comparison
	$(BIN)/python -m limelight.replay.enrichment.bundled

# torch comes from the constraints file first: asked for through a range alone, pip may fetch the
# newest CUDA build with several gigabytes of libraries that a CPU machine cannot use.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo,train,dev]'
	touch $@

# Without the constraints file: one of the libraries measured against wants an older Numba.
$(BENCH_VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/pip install --quiet --upgrade pip
	$(BENCH_VENV)/bin/pip install --quiet --constraint constraints.txt torch
	$(BENCH_VENV)/bin/pip install --quiet --editable '.[bench]'
	touch $@

# mypy and pyright cannot follow the folder mapping of pyproject.toml; these links show it to them.
.typing:
	mkdir -p .typing/limelight
	for part in kernels models engine replay streams; do \
		ln -sfn ../../$$part .typing/limelight/$$part; done

clean:
	rm -rf $(VENV) $(BENCH_VENV) .typing demo-out build dist *.egg-info
