# `make help` lists the targets. Everything runs from one environment, .venv, with the exact pins of requirements.lock.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# the first Python that fits, unless PYTHON names one
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
ifeq ($(origin PYTHON), undefined)
PYTHON := $(shell for p in python3.11 python3.12 python3.13 python3 python; do \
	$$p -c '$(FITS)' >/dev/null 2>&1 && { command -v $$p; break; }; done)
endif
# what `make install` fetches the first time on Linux x86-64: the sum of the wheels that pip takes of requirements.lock, alike for
# Python 3.11, 3.12 and 3.13, with the sizes that `uv pip compile --format pylock.toml` writes; measured anew when the lock changes
FETCHED := 3.6 GB
# of the mutants; those chosen for a larger share include those of a smaller one
SHARE := 0.33
# trained on photographs; the network that comes with the repository is made of it
RUN := runs/ferplus/ran/0/whole_face
# the runtime of the page in the browser
NPM_PACKAGE = $(shell sed -n 's/^PACKAGE = "\(.*\)"$$/\1/p' fer_repro/inference/browser_page.py)
LOCKING := uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-emit-index-url --no-header --no-annotate

# stages are started by a shell: they must find this environment's programs
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export DVC_NO_ANALYTICS := 1
unexport PYTHONPATH
unexport PYTHONHOME

.PHONY: help install reproduce reproduce-full test test-slow mutants check-results verify lab docs bench audit lint lock data network clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

install: $(STAMP) ## make the environment: .venv with the exact pins (done by the others when missing or stale)

$(STAMP): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "error: needs Python 3.11, 3.12 or 3.13; none found (make PYTHON=/path/to/python3.12 ...)" >&2; exit 1; fi
	@"$(PYTHON)" -c '$(FITS)' || { echo "error: $(PYTHON) is not Python 3.11, 3.12 or 3.13" >&2; exit 1; }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { echo "error: $(PYTHON) has no venv (Debian: package python3-venv)" >&2; exit 1; }
	@$(BIN)/python -c '$(FITS)' 2>/dev/null || "$(PYTHON)" -m venv --clear $(VENV)
	@echo "installing the pinned packages into $(VENV) ($(FETCHED) to fetch the first time, minutes; 0.8 GB without a GPU: docs/install.md) ..."
	@$(BIN)/python -m pip install -qq --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --no-deps --no-build-isolation -e .
	@dvc pull --quiet networks.dvc 2>/dev/null || $(BIN)/python -c "from fer_repro.inference.catalogue import fetch_networks; fetch_networks()"
	@touch $@

reproduce: $(STAMP) ## train and evaluate everything from the raw data, write reports/index.html
	@python -m fer_repro.pipeline.sweep --pull data.dvc
	@python -m fer_repro.pipeline.check_results summary

reproduce-full: reproduce ## also all other arms, and all methods on the same people: up to three hours, continues where it was
	@python -m fer_repro.pipeline.full

test: $(STAMP) ## run the tests
	@dvc pull --quiet data.dvc networks.dvc
	@npm cache add $(NPM_PACKAGE) --prefer-offline --fetch-retries=0 --silent >/dev/null 2>&1 || echo "note: npm has no $(NPM_PACKAGE); tests of the page in the browser are skipped"
	@python -m pytest -q -n auto --dist loadfile -m "not slow and not gpu"

test-slow: $(STAMP) ## run the tests that take minutes: stages and sweeps that are killed and continued, then mutants
	@python -m pytest -q -s -m "slow and not gpu"
	@$(MAKE) --no-print-directory mutants

mutants: $(STAMP) ## change evaluation, protocols and losses line by line: do the tests notice? (an hour at most; SHARE=1 tries all)
	@python tests/mutants/try_mutants.py --share $(SHARE)
	@python tests/mutants/mutant_record.py mutants/record.json

check-results: $(STAMP) ## check the results in git against dvc.lock, and fresh ones against those in git
	@python -m fer_repro.pipeline.check_results

verify: # the earlier name of check-results, for one release
	@echo "note: 'make verify' is now 'make check-results'; the old name is for this release"
	@$(MAKE) --no-print-directory check-results

lab: $(STAMP) ## open JupyterLab on the notebooks, first start.ipynb (this machine only, with a token)
	@dvc pull --quiet data.dvc networks.dvc 2>/dev/null || true
	@jupyter lab --ServerApp.ip=127.0.0.1 $$([ "$$(id -u)" = 0 ] && echo --allow-root) --LabApp.default_url=/lab/tree/notebooks/start.ipynb --ContentsManager.pre_save_hook=fer_repro.pipeline.inputs.strip_at_save

docs: $(STAMP) ## build the documentation into site/
	@python -m fer_repro.report.results_page
	@NO_MKDOCS_2_WARNING=1 mkdocs build --strict

bench: $(STAMP) ## measure speeds on this machine (ten minutes, best while it is idle); writes docs/benchmarks.md
	@python -m benchmarks

audit: $(STAMP) ## check the pinned packages for known vulnerabilities (asks the package index)
	@pip-audit --strict --disable-pip --require-hashes -r requirements.lock --progress-spinner off

lint: $(STAMP) ## check format, style, layers and types
	@ruff format --check .
	@ruff check .
	@lint-imports
	@mypy fer_repro

lock: ## resolve pyproject.toml anew, keeping the pins that still fit (needs uv); writes requirements.lock and requirements.txt
	@$(LOCKING) --generate-hashes pyproject.toml -o requirements.lock
	@sed -e '/^    --hash/d' -e 's/ *\\$$//' requirements.lock > requirements.txt

data: $(STAMP) ## maintainers: after data/ has changed, track it and put it into the embedded store, in this order
	@dvc add data
	@dvc push data.dvc
	@git add data.dvc dvcstore .gitignore
	@echo "now: make reproduce, then commit data.dvc, dvcstore, dvc.lock and results together"

network: $(STAMP) ## maintainers: export RUN as the network that comes with the repository, track and store it
	@python -m fer_repro.cli export $(RUN) --to networks/ferplus-whole_face --half --force
	@dvc add networks
	@dvc push networks.dvc
	@git add networks.dvc dvcstore
	@echo "now: commit networks.dvc and dvcstore together"

docs/face.png: ## maintainers: render the synthetic face of the examples
	@python -c "from PIL import Image; from fer_repro.synthetic.render import render; from fer_repro.synthetic.stills import sample_stills; faces = render(sample_stills(3, {'train': 1}, 1).iloc[3:4], 224, colour=True); Image.fromarray(faces.images[0]).save('$@')"

docs/report.png: reports/index.html ## maintainers: photograph the opening of the report (needs Chromium)
	@python -c "import shutil; from pathlib import Path; from playwright.sync_api import sync_playwright as start; p = start().start(); browser = p.chromium.launch(executable_path=shutil.which('chromium') or shutil.which('google-chrome'), args=['--no-sandbox']); page = browser.new_page(viewport={'width': 1280, 'height': 1000}); page.goto(Path('$<').resolve().as_uri()); page.screenshot(path='$@'); browser.close(); p.stop(); from PIL import Image; Image.open('$@').convert('RGB').quantize(160).save('$@', optimize=True)"

clean: ## delete what stages made and caches; keeps .venv, stores/, ckpt/, data/ and what git knows
	@rm -rf inputs runs executed reports prepared dvc_plots .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find fer_repro tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
