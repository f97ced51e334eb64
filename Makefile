# Everything that people and CI run. "make help" lists it.

.DEFAULT_GOAL := help
SHELL := /bin/sh
export GOWORK := off

TOOL := go tool -modfile=$(CURDIR)/tools/go.mod
ROOT := ./...
PART := .ci/part

.PHONY: help run test test-root test-dev test-stories test-crash test-cluster test-long check check-format check-vet check-static check-workflows check-lint fuzz golden ci install

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

run: ## Run everything on this machine
	GOWORK= go run ./dev

test: test-root test-dev ## Run every test; those whose program is missing (see install) say that they are skipped

test-root: ## Run the tests of the root module, with the race detector
	go test -race -timeout 20m $$(go list $(ROOT) | grep -v -e /athmovilsim -e /workflows)
	go test -race -short -timeout 20m ./workflows ./athmovil/athmovilsim
	go test -timeout 20m ./workflows ./athmovil/athmovilsim # whole: under the race detector their thousands take minutes

test-dev: test-stories test-crash test-cluster ## Run the tests on the embedded Temporal server

test-stories: ## Stories, pages, the example outside the repository
	cd dev && go test -count=1 -timeout 20m $$(go list ./... | grep -v -e /crash -e /seeds -e /deliveries -e /cluster)
	cd dev && COBRO_E2E_WITHOUT_CACHE=1 go test -count=1 -timeout 20m ./e2e # each workflow replayed at every task

test-crash: ## Kill every process at every named moment, live through a few storms, tell bad receivers
	cd dev && go test -count=1 -p 1 -timeout 20m ./crash ./seeds ./deliveries

test-cluster: ## Two APIs and two workers on PostgreSQL: stories, one of two dies at every named moment, everything dies, a rolling upgrade
	cd dev && COBRO_E2E_CLUSTER=1 go test -count=1 -timeout 10m -skip TypeScript ./e2e # which has a dev of its own
	cd dev && go test -count=1 -parallel 5 -timeout 20m ./cluster

test-long: ## The long forms: ten thousand stories of each model, every crash four times, 150 storms (about two hours)
	go test -timeout 2h ./workflows -run TestAny -rapid.checks 5000
	cd dev && go test -timeout 2h ./crash -long
	cd dev && go test -timeout 3h ./seeds -seeds 150
	cd dev && go test -timeout 2h -parallel 5 ./cluster -long
	cd dev && go test -timeout 1h ./deliveries -payments 1000 -dead 1m

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
	go test ./worker ./api ./examples/typescript -update

install: ## Install what some tests need and Go cannot bring: Chromium, Node.js, Python, PostgreSQL (Debian, as root)
	.ci/install

ci: ## Run what CI runs, and print how long each part took
	@rm -f .ci/times
	@$(PART) "builds" sh -c 'go build ./... && cd dev && go build ./... && cd .. && $(TOOL) golangci-lint version >/dev/null'
	@$(PART) "checks" $(MAKE) --no-print-directory check
	@$(PART) "root tests" $(MAKE) --no-print-directory test-root
	@$(PART) "stories" $(MAKE) --no-print-directory test-stories
	@$(PART) "crash, seeds" $(MAKE) --no-print-directory test-crash
	@$(PART) "cluster" $(MAKE) --no-print-directory test-cluster
	@$(PART) "fuzzing" .ci/fuzz 5s
	@cat .ci/times && rm -f .ci/times
