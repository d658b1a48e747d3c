# Every task of the project; `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
RUN := .venv/bin/python
PYTEST := $(RUN) -m pytest -q --durations=12 --durations-min=10
# Where two things run beside each other, each line of output says whose it is; a failed test's does so itself.
LANE := $(if $(LANE_NAME),2>&1 | sed --unbuffered -E '/^(FAILED|ERROR) /!s/^/$(LANE_NAME): /')
# Compiled code is kept, whatever the caller's environment says: each of our processes that a test starts is there in a third of the time.
export PYTHONDONTWRITEBYTECODE :=
export PYTHONPYCACHEPREFIX := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/goldcrest/pycache

.venv/.ready: pyproject.toml uv.lock dev/setup.sh
	@dev/setup.sh
	@touch $@

.PHONY: help
help: ## List the tasks
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## */\1\t/' | expand -t 20

.PHONY: setup
setup: .venv/.ready ## Install the locked dependencies into .venv

.PHONY: demo
demo: .venv/.ready ## Run one job through REST, pyfirecrest and kubectl on a real test bed
	@$(RUN) dev/demo.py

.PHONY: trace
trace: .venv/.ready ## Submit a job on the running bed and print its trace as a tree; TRACE=id for another one
	@$(RUN) dev/trace_view.py $(TRACE)

.PHONY: test
test: .venv/.ready ## Run all tests, on the real test bed (brings it up)
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint bed-up test-unit # none of them waits for another, or minds one
	@$(MAKE) --no-print-directory --jobs=2 .test-component-lane .test-bed-lane # most of both is waiting, and neither uses what is the other's

.PHONY: .test-component-lane .test-bed-lane
.test-component-lane:
	@$(MAKE) --no-print-directory LANE_NAME=parts test-component
.test-bed-lane:
	@$(MAKE) --no-print-directory LANE_NAME=bed test-integration
	@$(MAKE) --no-print-directory LANE_NAME=hard-site test-hard-site
	@$(MAKE) --no-print-directory LANE_NAME=fuzz test-fuzz

.PHONY: test-unit
test-unit: .venv/.ready ## Tests of single modules
	$(PYTEST) tests/unit tests/guards

.PHONY: test-component
test-component: .venv/.ready ## Tests of one part with real counterparts
	@$(RUN) dev/bed.py build etcd kube-apiserver kube-controller-manager kubectl opa promtool
	$(PYTEST) tests/component $(LANE)

.PHONY: test-integration
test-integration: .venv/.ready ## Tests on the whole bed (make bed-up first)
	$(PYTEST) tests/integration tests/faults $(LANE)

.PHONY: test-hard-site
test-hard-site: .venv/.ready ## Tests on the hard site, a second bed beside the first (brings it up, takes it down)
	@$(RUN) dev/bed.py up --profile hard
	$(PYTEST) tests/hard_site $(LANE)
	@$(RUN) dev/bed.py down --profile hard

.PHONY: test-newer-slurm
test-newer-slurm: .venv/.ready ## Tests of jobs with Slurm 24.11, on a bed in place of the ordinary one (brings it up, takes it down)
	@$(RUN) dev/bed.py up --profile newer
	GOLDCREST_BED_PROFILE=newer $(PYTEST) tests/integration/test_main_job.py tests/integration/test_slurm_questions.py
	@$(RUN) dev/bed.py down --profile newer

.PHONY: test-fuzz
test-fuzz: .venv/.ready ## Fuzz the parsers for some minutes
	FUZZ_SECONDS=$${FUZZ_SECONDS:-25} FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-3000} $(PYTEST) tests/fuzz $(LANE)

.PHONY: faults
faults: .venv/.ready bed-up ## The long run of the fault tests: hundreds of jobs (FAULT_JOBS at each point)
	FAULT_JOBS=$${FAULT_JOBS:-12} $(PYTEST) --timeout=1800 tests/faults tests/component/faults

.PHONY: fuzz
fuzz: .venv/.ready ## Fuzz the parsers for hours (FUZZ_SECONDS of each guided by coverage, FUZZ_EXAMPLES of each other)
	FUZZ_SECONDS=$${FUZZ_SECONDS:-1800} FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-100000} $(PYTEST) -rP --timeout=0 tests/fuzz

.PHONY: guards
guards: .venv/.ready ## Take each guard out of a copy of the code, and show that its test then fails
	@$(RUN) tests/guards/run.py

.PHONY: bench
bench: .venv/.ready bed-up ## Measure, as ratios to a floor of the same run
	@$(RUN) bench/run.py

.PHONY: bed-up
bed-up: .venv/.ready ## Start the test bed with Goldcrest on it, or repair it
	@$(RUN) dev/bed.py up

.PHONY: bed-down
bed-down: .venv/.ready ## Stop the test bed and leave nothing behind
	@$(RUN) dev/bed.py down

.PHONY: bed-status
bed-status: .venv/.ready ## Show what runs in the bed
	@$(RUN) dev/bed.py status || true

.PHONY: bed-logs
bed-logs: .venv/.ready ## Show the bed's logs; COMPONENT=name for one of them
	@$(RUN) dev/bed.py logs $(COMPONENT)

.PHONY: bed-shell
bed-shell: .venv/.ready ## A shell with KUBECONFIG and the bed's addresses set
	@$(RUN) dev/bed.py shell

.PHONY: lint
lint: .venv/.ready ## Check style, types, import order and generated files
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	@.venv/bin/lint-imports > .import-linter.log || { cat .import-linter.log; exit 1; }
	$(RUN) crds/generate.py --check

.PHONY: format
format: .venv/.ready ## Format the code
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

.PHONY: crds
crds: .venv/.ready ## Generate crds/ from the models
	$(RUN) crds/generate.py
