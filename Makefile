# The commands of the project. All of them need only Go, but for "check", which
# also takes the vulnerability database from $(SHARED) if it is there.
SHARED ?= ../shared
export TELLTALE_SHARED ?= $(abspath $(SHARED))
STATICCHECK = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK = golang.org/x/vuln/cmd/govulncheck@v1.9.0

.PHONY: build demo test check fuzz bench cover

build:
	CGO_ENABLED=0 go build -trimpath -o telltale ./cmd/telltale

demo:
	go run ./cmd/telltale demo

# Runs all tests and lists at the end what was skipped, and why. With
# TELLTALE_NO_SKIP=1 a skipped test is a failure.
test:
	go run ./scripts/test ./...

check:
	@test -z "$$(gofmt -l . | tee /dev/stderr)" || (echo "gofmt would change these" >&2; exit 1)
	go vet ./...
	go mod verify
	go run $(STATICCHECK) ./...
	go run ./scripts/requirements -check
	scripts/vulncheck $(GOVULNCHECK)
	go run ./scripts/test -race ./...

# A minute for each fuzz target; FUZZTIME=10s for less.
FUZZTIME ?= 60s
fuzz:
	for t in relay:FuzzDotWriter relay:FuzzReply relay:FuzzPath tracker/token:FuzzToken cmd/telltale:FuzzConfig \
	  rewrite:FuzzPlan rewrite:FuzzTokens rewrite:FuzzQuotedPrintable rewrite:FuzzBase64 rewrite:FuzzAttr rewrite:FuzzParams \
	  rewrite:FuzzHeader rewrite:FuzzText rewrite:FuzzUnwrap; do \
	  go test -run xxx -fuzz "^$${t#*:}$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./$${t%:*} || exit 1; done

bench:
	go test -run xxx -bench . -benchmem ./...

cover:
	go test -coverprofile=cover.out ./... && go tool cover -func=cover.out | tail -1
