# Everything that people and CI run. "make help" lists it.

.DEFAULT_GOAL := help
SHELL := /bin/sh
export GOWORK := off

TOOL := go tool -modfile=$(CURDIR)/tools/go.mod
ROOT := ./...
GOTEST := go run $(CURDIR)/.ci/gotest.go
PART := .ci/part
MAKE_PART := $(MAKE) --no-print-directory

# The programs with failpoints, which the tests of several packages in dev share.
PROGRAMS := $(CURDIR)/bin/test
test-crash test-cluster test-long: export COBRO_TEST_PROGRAMS := $(PROGRAMS)

.PHONY: help run test test-root test-dev test-e2e test-crash test-cluster test-long test-programs check check-format check-vet check-static check-workflows check-lint fuzz golden ci install

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

run: ## Run everything on this machine
	GOWORK= go run ./dev

test: ## Run every test, and show how far it is; those whose program is missing (see install) are skipped, and say so
	@rm -f .ci/times
	@$(PART) "1 of 4" "root tests" $(MAKE_PART) test-root
	@$(PART) "2 of 4" "end to end" $(MAKE_PART) test-e2e
	@$(PART) "3 of 4" "crash, seeds" $(MAKE_PART) test-crash
	@$(PART) "4 of 4" "cluster" $(MAKE_PART) test-cluster
	@cat .ci/times && rm -f .ci/times

test-root: ## Run the tests of the root module, with the race detector
	$(GOTEST) -race -timeout=20m $$(go list $(ROOT) | grep -v -e /athmovilsim -e /workflows)
	$(GOTEST) -race -short -timeout=20m ./workflows ./athmovil/athmovilsim
	$(GOTEST) -timeout=20m ./workflows ./athmovil/athmovilsim # in full: with the race detector they would take minutes

test-dev: test-e2e test-crash test-cluster ## Run the tests on the embedded Temporal server

test-e2e: ## End to end: payments, pages, programs outside the repository, deployment
	cd dev && $(GOTEST) -count=1 -parallel=3 -timeout=20m $$(go list ./... | grep -v -e /crash -e /seeds -e /deliveries -e /overload -e /cluster)
	cd dev && COBRO_E2E_WITHOUT_CACHE=1 $(GOTEST) -count=1 -parallel=3 -timeout=20m ./e2e # replays each workflow at every task

test-crash: test-programs ## Kill every process at every failpoint, run a few random schedules of outages, notify failing receivers
	cd dev && $(GOTEST) -count=1 -p=1 -parallel=3 -timeout=20m ./crash ./seeds ./deliveries

test-cluster: test-programs ## Two APIs and two workers on PostgreSQL: end to end, one of two dies at every failpoint, outages under load, a rolling upgrade
	cd dev && COBRO_E2E_CLUSTER=1 $(GOTEST) -count=1 -parallel=3 -timeout=10m ./e2e
	cd dev && $(GOTEST) -count=1 -parallel=5 -timeout=20m ./cluster

test-long: test-programs ## The long forms: ten thousand cases of each model, every crash four times, 150 random schedules (about two hours)
	go test -timeout 2h ./workflows -run TestAny -rapid.checks 5000
	cd dev && go test -timeout 2h ./crash -long
	cd dev && go test -timeout 3h ./seeds -seeds 150
	cd dev && go test -timeout 2h -parallel 5 ./cluster -long
	cd dev && go test -timeout 1h ./deliveries -payments 1000 -down 1m
	cd dev && go test -timeout 30m ./overload -long

test-programs:
	go build -tags failpoint -ldflags=-s -o $(PROGRAMS)/ ./cmd/cobro ./cmd/athmovil-sim
	cd dev && go build -tags failpoint -ldflags=-s -o $(PROGRAMS)/dev .

check: check-format check-vet check-static check-workflows check-lint ## Run every check that is no test

check-format:
	@out=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$out" || { echo "gofmt would change:"; echo "$$out"; exit 1; }

check-vet:
	go vet ./...
	cd dev && go vet ./...

check-static:
	$(TOOL) staticcheck ./...
	cd dev && $(TOOL) staticcheck ./...

check-workflows:
	$(TOOL) workflowcheck ./workflows/...

check-lint:
	$(TOOL) golangci-lint run ./...
	cd dev && $(TOOL) golangci-lint run --config ../.golangci.yml ./...

fuzz: ## Fuzz each target for FUZZTIME (default 60s)
	.ci/fuzz $${FUZZTIME:-60s}

golden: ## Write the golden files again; look at the difference before you commit it
	go test ./internal/runner ./api ./examples/typescript -update

install: ## Install what some tests need and Go cannot bring: Chromium, Node.js, Python, PostgreSQL (Debian, as root)
	.ci/install

ci: ## Run what CI runs, and print how long each part took
	@rm -f .ci/times
	@$(PART) "1 of 7" "builds" sh -c 'go build ./... && cd dev && go build ./... && $(TOOL) golangci-lint version >/dev/null'
	@$(PART) "2 of 7" "checks" $(MAKE_PART) check
	@$(PART) "3 of 7" "root tests" $(MAKE_PART) test-root
	@$(PART) "4 of 7" "end to end" $(MAKE_PART) test-e2e
	@$(PART) "5 of 7" "crash, seeds" $(MAKE_PART) test-crash
	@$(PART) "6 of 7" "cluster" $(MAKE_PART) test-cluster
	@$(PART) "7 of 7" "fuzzing" .ci/fuzz 5s
	@cat .ci/times && rm -f .ci/times
