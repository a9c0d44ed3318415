# `make demo`: set up and do the main job. `make test`: set up and run the tests. Both start on a bare machine.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test android-test arm64-test clean

demo: $(VENV)/.installed
	$(BIN)/edgeretrain train --width 050 --res 160

test: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest

# The app, without a phone: needs a JDK 17 or newer, Maven and aapt2 (Debian: default-jdk-headless maven aapt)
android-test: $(VENV)/.installed-dev
	@for tool in java mvn aapt2; do command -v $$tool > /dev/null || { echo "make android-test needs $$tool"; exit 1; }; done
	$(BIN)/python android_demo/host/fixtures.py android_demo/host/target/fixtures
	mvn --batch-mode --no-transfer-progress -f android_demo/host/pom.xml test

# A phone's processor, without a phone: needs qemu-aarch64-static (Debian: qemu-user-static)
arm64-test: $(VENV)/.installed-dev
	EDGERETRAIN_ARM64=required $(BIN)/python -m pytest tests/test_arm64.py

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
