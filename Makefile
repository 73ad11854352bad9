PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check fmt bench clean

demo: $(STAMP)  ## play the bundled recordings as live rooms, end to end
	$(BIN)/limelight demo

test: $(STAMP)
	$(BIN)/python -m pytest

check: $(STAMP) .typing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	MYPYPATH=.typing $(BIN)/mypy --namespace-packages --explicit-package-bases -p limelight

fmt: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m tests.bench

# torch comes from the constraints file first: asked for through a range alone, pip may fetch the
# newest CUDA build with several gigabytes of libraries that a CPU machine cannot use.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo,train,dev]'
	touch $@

# mypy and pyright cannot follow the folder mapping of pyproject.toml; these links show it to them.
.typing:
	mkdir -p .typing/limelight
	for part in kernels models engine replay streams; do \
		ln -sfn ../../$$part .typing/limelight/$$part; done

clean:
	rm -rf $(VENV) .typing demo-out build dist *.egg-info
