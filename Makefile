# Everything that CI runs is a target here. Go is all that is needed; the race detector wants a C compiler, the Docker targets an engine.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
.PHONY: build demo test test-docker test-compose lint bench sim fuzz generate

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
TAGS := synctests
DOCKER_TAGS := synctests,docker
SEEDS ?= 1000
FUZZTIME ?= 30s
PKG ?= ./...

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/connector ./cmd/connector

demo:
	go run ./cmd/connector demo $(ARGS)

# The tag lets Kafka clients run on the fake clock of testing/synctest. Vet is among the linters of `make lint`: here it would compile everything once more.
test:
	CGO_ENABLED=1 go test -tags $(TAGS) -race -vet=off -timeout 4m $(PKG)
	go test -tags $(TAGS) -vet=off -run '^TestVolume' -timeout 2m ./internal/consume # more than the race detector stands

test-docker:
	@.ci/test-docker $(DOCKER_TAGS)

# The image and docker-compose.yml. Its ports must be free.
test-compose:
	@.ci/compose $(DOCKER_TAGS)

# Built from the module proxy into bin/, so that no tool enters go.mod.
LINT_VERSION := v2.15.0
LINT := bin/golangci-lint-$(LINT_VERSION)

$(LINT):
	GOBIN="$(CURDIR)/bin" CGO_ENABLED=0 go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv bin/golangci-lint $@

lint: $(LINT)
	go mod tidy -diff
	$(LINT) run $(PKG)

# The whole line as the built binary, then every other benchmark.
BENCH_RECORDS ?= 400000
bench:
	go test -run '^$$' -bench . -benchtime $(BENCH_RECORDS)x -count 3 ./internal/test/bench
	go test -tags $(TAGS) -run '^$$' -bench . -benchmem $$(go list $(PKG) | grep -v internal/test/bench)

# Every simulation (TestSim...) with so many seeds instead of the few that `make test` takes.
sim:
	SLUICE_SIM_SEEDS=$(SEEDS) go test -tags $(TAGS) -run '^TestSim' -count=1 -timeout 2h $(PKG)

# Every fuzz target for FUZZTIME, one after the other.
fuzz:
	@for pkg in $$(go list -tags $(TAGS) $(PKG)); do \
		for target in $$(go test -tags $(TAGS) -list '^Fuzz' "$$pkg" | grep '^Fuzz' || true); do \
			echo "$$pkg $$target"; \
			go test -tags $(TAGS) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$pkg"; \
		done; \
	done

generate:
	go generate $(PKG)
