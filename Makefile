# Every target makes its own .venv first. Nothing is needed before but python3, 3.10 to 3.13, and a C++ compiler.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# In the environment, so that the tools that build the engine are pinned too: pip up to 25.2 hands the first on to the
# build, later ones the second.
export PIP_CONSTRAINT := constraints.txt
export PIP_BUILD_CONSTRAINT := constraints.txt

# Torch's threads wait asleep: on cores that others use too, one that spins holds up the one that it waits for.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test test-all fuzz libfuzzer docs lint format wheels check-wheels check-arm clean

demo: $(VENV)/installed
	$(BIN)/sluicegate demo

# What a change is tried with, in minutes; test-all has every case of the long tests, and draws more random ones.
test: lint
	SLUICEGATE_EXAMPLES=0.4 SLUICEGATE_PROGRAMS=200 $(BIN)/python -m pytest -n 2 -m "not slow and not broad"

test-all: lint
	$(BIN)/python -m pytest -n 2 -m "not slow"

# Damaged files through an engine that checks every access: GCC's sanitizers, loaded before Python, which lacks them.
# Python without `site` (-S) does not see the editable install; leaks are not looked for, as Python leaves much at exit.
MUTATIONS ?= 200000
SANITIZED := build/sanitized
fuzz: $(VENV)/installed-dev
	$(INSTALL) --no-deps --upgrade --target $(SANITIZED)/site . \
		--config-settings=cmake.define.SLUICEGATE_SANITIZE=ON --config-settings=build-dir=$(SANITIZED)
	packages=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	export PYTHONPATH=$(SANITIZED)/site:tests:$$packages && \
	export LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so.6)" && \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 SLUICEGATE_MUTATIONS=$(MUTATIONS) \
		$(BIN)/python -S -m pytest -s --noconftest tests/runtime/test_fuzz.py

# The site, from the Markdown files. Its tutorials are run; a warning is an error. Needs Python 3.11 or later.
docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build -W --keep-going -q -c docs -d build/docs/doctrees . build/docs/html
	@echo build/docs/html/index.html

# Programs that libFuzzer makes, led by what of the engine they reach; needs clang. New cases, and what went wrong, are
# kept in build/. What would take more than 64 MB at once is refused, as the engine does where there is no memory.
EXECUTIONS ?= 1000000
FUZZER := build/libfuzzer
libfuzzer:
	cmake -S . -B $(FUZZER) -DCMAKE_CXX_COMPILER=clang++ -DSLUICEGATE_FUZZ=ON
	cmake --build $(FUZZER) --target fuzz_cases
	mkdir -p $(FUZZER)/cases
	ASAN_OPTIONS=allocator_may_return_null=1:max_allocation_size_mb=64:malloc_context_size=0:quarantine_size_mb=16 \
	UBSAN_OPTIONS=print_stacktrace=1 \
		$(FUZZER)/fuzz_cases -runs=$(EXECUTIONS) -entropic=0 -max_len=1024 -timeout=60 -rss_limit_mb=2048 \
		-malloc_limit_mb=2048 -print_final_stats=1 -artifact_prefix=$(FUZZER)/ $(FUZZER)/cases tests/runtime/corpus

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell *.md benchmarks csrc docs src tests wheels
	$(BIN)/pyright

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The sdist and manylinux wheels, into dist/, of the Pythons that are here; PYTHONS names others.
wheels: $(VENV)/installed-dev
	$(BIN)/python wheels/build.py

# Each Python that is here, with the wheel, NumPy and pytest, and nothing else.
check-wheels: $(VENV)/installed-dev
	$(BIN)/python wheels/check.py

# The engine for 64-bit ARM and its tests, under qemu; the script says which Debian packages it needs.
check-arm: $(VENV)/installed-dev
	wheels/check_arm.sh

clean:
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 10) <= v < (3, 14) and f"PYTHON: {sys.executable} is {v[0]}.{v[1]}, but 3.10 to 3.13 is needed")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt CMakeLists.txt $(shell find csrc -type f) | $(BIN)/python
	$(INSTALL) --editable '.[train]'
	touch $@

# Only tests need torchvision and timm. Without --no-deps they would ask for a torch build with CUDA, and they lie apart,
# where tests/with_torch.py finds them: beside a CPU build torchvision does not import by itself, and torchmetrics would try.
$(VENV)/installed-dev: $(VENV)/installed
	$(INSTALL) --editable '.[dev]'
	$(INSTALL) --no-deps --upgrade --target $(VENV)/vision torchvision timm
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(INSTALL) --editable '.[docs]'
	touch $@
