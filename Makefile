# The first Python that is 3.11 or newer; `make PYTHON=python3.13 run` names another.
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11 python,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
PORT ?= 8000
BIN = .venv/bin
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
FIRST = --dist loadfile --no-loadscope-reorder -m "not browser and not soak and not neighbours" --ignore tests/reliability
TIMED = tests/reliability/test_timing.py tests/passkeys
.DEFAULT_GOAL := help
# Some images switch it off. Each of the tests' processes would then make the bytecode of every test module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run audit test test-all test-quick test-neighbours soak bench lint format promises screenshots lighthouse translations translation pins clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Options: make run PORT=8001, make PYTHON=python3.13 run"

run: .venv/run ## serve the site on this machine: http://localhost:8000
	@$(BIN)/python -m webapp dev --port $(PORT)

test: .venv/test ## every check, and tests of everything; five minutes, and one more the first time
	# What waits runs beside what computes: style and types, and then the browser, beside the tests of everything else.
	# The first time those are listed by themselves: so they are compiled once, and not by each of their processes.
	@{ make --no-print-directory lint; lint=$$?; $(BIN)/python -m pytest -q -m browser tests/browser; exit $$((lint + $$?)); } \
	    >.beside.log 2>&1 & beside=$$!; \
	  [ -e tests/__pycache__ ] || $(BIN)/python -m pytest -qq --collect-only $(FIRST) >/dev/null; \
	  $(BIN)/python -m pytest -q -n 3 $(FIRST); tests=$$?; \
	  wait $$beside; beside=$$?; cat .beside.log; exit $$((tests + beside))
	# The real processes wait most of the time, and have the machine to themselves: how soon they answer is measured.
	@$(BIN)/python -m pytest -q -n 4 -m "not soak and not neighbours" tests/reliability

test-all: .venv/test ## every case of every test; CI runs this after `make test`
	$(BIN)/python -m pytest -q -n 3 --everything $(FIRST)
	$(BIN)/python -m pytest -q -n 2 --everything -m browser tests/browser
	$(BIN)/python -m pytest -q -n 2 --everything -m "not soak and not neighbours" tests/reliability

test-quick: .venv/test ## the tests that need no browser
	$(BIN)/python -m pytest -q -n 4 --dist loadfile --no-loadscope-reorder -m "not browser and not soak and not neighbours"

lint: .venv/test ## style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/test ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test-neighbours: .venv/test ## the tests with real proxies, poolers and mail servers; what is not installed is named
	$(BIN)/python -m pytest -q -m "neighbours and not soak" tests/neighbours tests/reliability

soak: .venv/test ## the reliability figures at full size; about half an hour
	# tests/reliability is named, since what it measured is printed at the end.
	$(BIN)/python -m pytest -v -n 2 -m soak tests/reliability tests $(TIMED:%=--ignore %)
	# Where milliseconds are compared, nothing runs beside.
	$(BIN)/python -m pytest -v -m soak $(TIMED)
	$(BIN)/python -m pytest -v -n 2 --dist loadfile --hypothesis-profile=thorough tests/security/test_fuzz.py tests/web/test_pages.py

bench: .venv/test ## measure: ratios side by side, in one run; fourteen minutes at most
	$(BIN)/python -m tests.benchmarks

promises: .venv/test ## write into docs/promises.md which tests prove what
	$(BIN)/python -m tests.promises

screenshots: .venv/test ## make README's pictures (wants chromium)
	$(BIN)/python -m tests.looks.screenshots

lighthouse: .venv/test ## ask Lighthouse about the pages and write docs/lighthouse.md (wants chromium and npm)
	$(BIN)/python -m tests.looks.lighthouse

translations: .venv/test ## gather the texts, bring every catalogue up to date and say what is missing
	@$(BIN)/pybabel -q extract -F pyproject.toml --no-wrap --sort-by-file --add-location=file --project=Microblog -o webapp/translations/messages.pot .
	@$(BIN)/pybabel -q update -i webapp/translations/messages.pot -d webapp/translations --no-wrap --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date
	@$(BIN)/pybabel -q compile -d webapp/translations
	@$(BIN)/python -m tests.catalogues

# Desktops set LANGUAGE, too, so it only counts if it was typed. Browsers name a language by two or three letters.
translation: ## begin another language: make translation LANGUAGE=de
	@[ "$(origin LANGUAGE)" = "command line" ] && echo "$(LANGUAGE)" | grep -Eqx '[a-z]{2,3}' || \
	  { echo "Name a language by its two or three letters: make translation LANGUAGE=de"; exit 1; }
	@[ ! -e webapp/translations/$(LANGUAGE) ] || \
	  { echo "webapp/translations/$(LANGUAGE) is there already. After a change: make translations"; exit 1; }
	@$(MAKE) --no-print-directory translations
	@$(BIN)/pybabel -q init -i webapp/translations/messages.pot -d webapp/translations -l $(LANGUAGE) --no-wrap
	@echo "Now translate webapp/translations/$(LANGUAGE)/LC_MESSAGES/messages.po, then: make translations"

audit: ## ask about known weaknesses of the pinned packages (wants pip-audit, and the network)
	@command -v pip-audit >/dev/null || { echo "make audit wants pip-audit: install it outside of .venv, such as with pipx."; exit 1; }
	pip-audit --strict --disable-pip --no-deps --requirement requirements.txt --requirement requirements-dev.txt

pins: ## remake the pinned requirements from pyproject.toml (wants uv); make pins NEWER=--upgrade takes the newest
	uv pip compile pyproject.toml --python 3.11 --generate-hashes --universal --no-emit-index-url --no-header $(NEWER) -o requirements.txt
	uv pip compile pyproject.toml --python 3.11 --group dev --generate-hashes --universal --no-emit-index-url --no-header $(NEWER) -o requirements-dev.txt

.venv/run: requirements.txt
	$(if $(PYTHON),,$(error Microblog needs Python 3.11 or newer. Install it, or name it: make PYTHON=/path/to/python3 run))
	@[ -x $(BIN)/python ] || echo "Making .venv with $$($(PYTHON) --version) ..."
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@echo "Installing what the site needs into .venv; once, and half a minute or so ..."
	@$(PIP) -r requirements.txt || { echo "That didn't work; pip says why, above. Is this machine online? Then try again."; exit 1; }
	@touch $@

.venv/test: requirements-dev.txt .venv/run
	@echo "Installing the test tools into .venv; once, and a minute or so ..."
	@$(PIP) -r requirements-dev.txt || { echo "That didn't work; pip says why, above. Is this machine online? Then try again."; exit 1; }
	@touch $@

clean: ## remove .venv; instance/, with the development site's database, stays
	rm -rf .venv
