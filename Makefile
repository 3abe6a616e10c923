# Naked make builds; make help lists the targets.
GO      ?= go
VERSION := $(shell git describe --tags --always --dirty)
TOOL    := $(GO) tool -modfile=tools/go.mod
# Executions of each fuzz target. A count, not a duration: at the end of a
# duration Go's fuzzer may fail without a finding (golang/go#75804).
FUZZ    ?= 200000x

# The platforms that "make image" builds for.
ARCHS   ?= amd64 arm64

.PHONY: build run test race lint fuzz lab image bench help

build: ## build the static binary bin/pinhole
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/pinhole ./cmd/pinhole

run: ## the demo on loopback: no root, no network (ONCE=1 ends after the day)
	$(GO) run ./cmd/pinhole demo $(if $(ONCE),--once)

test: ## all tests that need neither root nor cgo
	CGO_ENABLED=0 $(GO) test ./...

race: ## the same tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race ./...

lint: ## gofumpt, go vet, staticcheck, module checksums
	@out="$$($(TOOL) gofumpt -l .)" && if [ -n "$$out" ]; then echo "not formatted by gofumpt:"; echo "$$out"; exit 1; fi
	$(GO) vet -tags lab ./...
	$(TOOL) staticcheck -tags lab ./...
	$(GO) mod verify

fuzz: ## every fuzz target for FUZZ executions (default 200000x)
	FUZZ=$(FUZZ) .ci/fuzz

lab: ## phones, NATs and providers in network namespaces (root)
	$(GO) test -tags lab -count=1 -timeout 20m ./testbed/lab/...

image: ## Pinhole's own image FROM scratch, pinhole:amd64 and pinhole:arm64; no registry needed (ARCHS=)
	@for arch in $(ARCHS); do \
		dir=bin/image/$$arch && mkdir -p $$dir/state && cp /etc/ssl/certs/ca-certificates.crt $$dir/ && \
		CGO_ENABLED=0 GOOS=linux GOARCH=$$arch $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $$dir/pinhole ./cmd/pinhole && \
		docker build -q --no-cache --force-rm --platform linux/$$arch -t pinhole:$$arch -f Dockerfile $$dir && \
		docker image inspect pinhole:$$arch --format 'pinhole:{{.Architecture}} {{.Size}} bytes' | grep ":$$arch " || exit 1; \
	done
	@docker tag pinhole:$$($(GO) env GOHOSTARCH) pinhole:latest

bench: build ## figures of docs/performance.md: messages, and Pinhole beside Kamailio (root; ARGS="-only register -up tcp -runs 1" prints only)
	$(GO) build -o bin/bench ./testbed/bench
	bin/bench $(if $(ARGS),$(ARGS),-o docs/performance.md)

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 8
