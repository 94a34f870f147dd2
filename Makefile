# The study's commands. `make` alone lists them.

PYTHON ?= python3.11
VENV ?= .venv
STUDIES ?= studies
PROFILE ?= tiny
STAGES ?=
WEIGHTS ?=
ONLY ?=
DEMONSTRATIONS ?= demonstrations.jsonl
MODEL ?=

BIN := $(abspath $(VENV))/bin
READY := $(VENV)/.installed
STUDY = $(STUDIES)/$(PROFILE)

export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1
export HF_HUB_DISABLE_TELEMETRY := 1
export TOKENIZERS_PARALLELISM := false
# On Linux: large pages, and memory that is kept; on two cores half of a large model's time goes there
export GLIBC_TUNABLES := glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:glibc.malloc.trim_threshold=2147483648:glibc.malloc.top_pad=67108864

.DEFAULT_GOAL := help
.PHONY: help setup repro repro-all study keep tiny own test weights bench notebooks lint format hooks clean

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

$(READY): requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -r requirements.lock
	touch $@

setup: $(READY)  ## create .venv with every package of requirements.lock

repro: $(READY)  ## train what changed, make every table and figure, print the main table
	$(BIN)/dvc repro
	$(BIN)/python -m lib.report --summary

repro-all: $(READY)  ## the same from nothing: train everything again (fifteen hours on two cores)
	$(BIN)/dvc repro --force
	$(BIN)/python -m lib.report --summary

# The study in a directory of its own: its code and its parameters, and DVC without git.
define run_study
mkdir -p $(STUDY)
$(BIN)/python -m $(PARAMETERS) > $(STUDY)/params.tmp
mv $(STUDY)/params.tmp $(STUDY)/params.yaml
rm -rf $(STUDY)/lib $(STUDY)/notebooks $(STUDY)/launch
cp -R lib notebooks launch dvc.yaml .dvcignore $(STUDY)
if test -d weights; then ln -sfn $(abspath weights) $(STUDY)/weights; fi
cd $(STUDY) && { test -d .dvc || $(BIN)/dvc init --no-scm --quiet; }
cd $(STUDY) && $(BIN)/dvc repro $(STAGES)
$(if $(STAGES),,cd $(STUDY) && $(BIN)/python -m lib.report --summary)
endef

PARAMETERS = lib.study.params $(PROFILE)

study: $(READY)  ## run the study at a profile of params.yaml in studies/PROFILE: make study PROFILE=tiny
	$(run_study)

KEPT = $(notdir $(wildcard $(addprefix $(STUDY)/results/,tables runs localisation external metrics.json)))
KEPT_IN = results/$(PROFILE).tmp

keep:  ## put the records and tables of studies/PROFILE under results/PROFILE, where the report reads them
	@test -f $(STUDY)/dvc.lock || { echo "$(STUDY): no study that has run; see make study" >&2; exit 1; }
	rm -rf $(KEPT_IN)
	mkdir -p $(KEPT_IN)
	cp $(STUDY)/params.yaml $(STUDY)/dvc.lock $(KEPT_IN)
	tar -cf $(KEPT_IN)/records -C $(STUDY)/results --exclude unread --exclude adapter --exclude discriminator $(KEPT)
	tar -xf $(KEPT_IN)/records -C $(KEPT_IN)
	rm $(KEPT_IN)/records
	test ! -f $(STUDY)/results/viewer.html || sed 's|href="report.html"|href="../report.html"|' $(STUDY)/results/viewer.html > $(KEPT_IN)/viewer.html
	rm -rf results/$(PROFILE)
	mv $(KEPT_IN) results/$(PROFILE)

tiny: PROFILE = tiny
tiny: $(READY)  ## run the whole study from nothing at the profile tiny, in minutes
	rm -rf $(STUDY)
	$(run_study)

own: PROFILE = own
own: PARAMETERS = lib.study.own $(STUDY) $(MODEL)
own: $(READY)  ## train a reward on your own: make own DEMONSTRATIONS=my.jsonl MODEL=DIRECTORY (or a name on the hub)
	mkdir -p $(STUDY)/demonstrations
	cmp -s $(DEMONSTRATIONS) $(STUDY)/demonstrations/train.jsonl || \
		{ cp $(DEMONSTRATIONS) $(STUDY)/demonstrations/train.jsonl && rm -rf $(STUDY)/results/data; }
	$(run_study)
	rm -rf $(STUDY)/reward
	cd $(STUDY) && $(BIN)/python -m lib.study.export results/runs/own/airl/seed0 reward

test: $(READY)  ## run the tests, the tiny study included
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

weights: $(READY)  ## fetch SmolLM2 and Qwen2.5-Coder into weights/ (WEIGHTS=DIRECTORY has them; ONLY=smollm2 or qwen)
	$(BIN)/python -m lib.study.weights $(WEIGHTS) $(addprefix --only ,$(ONLY))

bench: $(READY)  ## measure speed and memory of training and sampling, print a table
	$(BIN)/python -m tests.bench
	$(BIN)/python -m tests.bench_scoring
	$(BIN)/python -m tests.bench_weights

notebooks: $(READY)  ## write the .ipynb of every notebook from its .py, without outputs
	$(BIN)/python -m lib.study.notebook_pairs

lint: $(READY)  ## check style, formatting, which package imports which, and the workflow of CI
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/ci.yml

format: $(READY)  ## format the code
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

hooks: $(READY)  ## check these, parameters and notebooks before every commit, with pre-commit
	$(BIN)/pre-commit install

clean:  ## remove .venv, the studies of other profiles, and caches
	rm -rf $(VENV) $(STUDIES) .scratch .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
	find results -name '*.failed.ipynb' -delete
