# Every target works by itself on a fresh machine: needs g++, make, perl and python3 (>= 3.11).
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# of the demo: its folder, and more options of `vla-train demo`, for example DEMO='--config goto_red_ball'
OUT := runs/demo
DEMO :=

.PHONY: help setup demo demo-short demo-driving demo-driving-short test test-fast lint generate mutants coverage clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(STAMP)  ## create .venv with vlac, vlarun and everything they need

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "python >= 3.11 is needed, found " + sys.version'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[train,envs,driving,pusht,aloha,import,waymo,serve,rtl-test,transformers,lora,dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps openpi-client==0.1.2  # for tests; alone, as it asks for numpy 1
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps gym-pusht==0.1.8  # as its extra `pusht` says
	touch $@

demo: setup  ## demonstrations -> policy -> ONNX -> program -> sim and RTL -> success rate and report
	$(BIN)/python -m vla_training demo --out $(OUT) $(DEMO)

# the same stages with two training steps, two episodes and the small machine: minutes are saved, no stage is left out
demo-short: OUT := runs/demo-short
demo-short: DEMO := --config debug --hardware tiny --episodes 2 --rtl-frames 2
demo-short: demo  ## the demo's stages in their shortest form, as CI runs them

demo-driving: OUT := runs/demo-driving
demo-driving: setup  ## shipped drivers, dense and gated -> programs -> routes through a town, on sim and RTL
	$(BIN)/python -m vla_training demo-driving --out $(OUT) $(DEMO)

demo-driving-short: OUT := runs/demo-driving-short
demo-driving-short: DEMO := --hardware tiny --episodes 1 --rtl-frames 1 --demonstrations 2
demo-driving-short: demo-driving  ## the same in its shortest form, as CI runs it

test: setup  ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-fast: setup  ## the tests that take seconds
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m 'not slow'

lint: setup  ## ruff, the type checker, and generated files up to date
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy isa/vla_isa compiler/vlac runtime/vlarun compiler/vla_toolchain models/vla_models datasets/vla_datasets training/vla_training
	$(BIN)/python -m vla_isa.generate --check
	$(BIN)/python tests/architecture.py --check

generate: setup  ## write the files generated from the instruction table
	$(BIN)/python -m vla_isa.generate

mutants: setup  ## break one line at a time, by list and by chance; tests must catch it (more than an hour)
	$(BIN)/python tests/mutants/run.py
	$(BIN)/python tests/mutants/run.py --automatic 60

coverage: setup  ## count which RTL lines and instruction fields conformance reaches; writes docs/reference/coverage.md
	$(BIN)/python tests/coverage/write_page.py

clean:  ## remove the environment and run folders
	rm -rf .venv runs build dist
