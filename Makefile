# CI runs the targets of this file. They need Go; the race detector also needs a C compiler, and the
# Docker targets a Docker engine.

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

# The tag synctests lets Kafka clients run on the fake clock of testing/synctest. Vet is off because
# `make lint` includes it, and because it would compile everything once more. The TestVolume tests
# synchronize more often than the race detector supports, so they run again without it.
test:
	CGO_ENABLED=1 go test -tags $(TAGS) -race -vet=off -timeout 4m $(PKG)
	go test -tags $(TAGS) -vet=off -run '^TestVolume' -timeout 2m ./internal/consume

# Tests against real brokers and a real registry, in containers.
test-docker:
	@.ci/test-docker $(DOCKER_TAGS)

# Tests of the image and docker-compose.yml. The ports that it publishes must be free.
test-compose:
	@.ci/compose $(DOCKER_TAGS)

# The linter is built into bin/, so that go.mod lists no tools.
LINT_VERSION := v2.15.0
LINT := bin/golangci-lint-$(LINT_VERSION)

$(LINT):
	GOBIN="$(CURDIR)/bin" CGO_ENABLED=0 go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv bin/golangci-lint $@

lint: $(LINT)
	go mod tidy -diff
	$(LINT) run $(PKG)

# First the benchmarks of whole pipelines, over BENCH_RECORDS records each, then those of packages.
BENCH_RECORDS ?= 400000
bench:
	go test -run '^$$' -bench . -benchtime $(BENCH_RECORDS)x -count 3 ./internal/test/bench
	go test -tags $(TAGS) -run '^$$' -bench . -benchmem $$(go list $(PKG) | grep -v internal/test/bench)

# Every simulation (TestSim...) with SEEDS seeds instead of the few that `make test` runs.
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
