# make check is what CI runs. Every tool is pinned here and fetched by `go run`; nothing needs to be installed but Go and,
# for interop, python3 with venv.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 2500x
SEEDS       ?= 20

# The packages that hold a function of such a kind, since to link the tests of the others takes longer than to run nothing of them.
holding = grep -rl --include='*_test.go' '^func $(1)' . | xargs -n 1 dirname | sort -u

.PHONY: check format vet race bench fuzz simulate interop compare compare-clients demo

check: format vet race bench fuzz demo interop
	git diff --exit-code

format:
	@out=$$(gofmt -l .); if [ -n "$$out" ]; then echo "gofmt these files:"; echo "$$out"; exit 1; fi

vet:
	go vet ./...
	go vet -tags interop ./internal/interop/...
	go run $(STATICCHECK) ./...

# The race detector makes everything ten times as slow: tests that try many seeds try a few of them here, all in `go test ./...`, and
# internal/house, which reads the source in one goroutine, is left out. One
# processor for each test, since Go 1.26 crashes when two goroutines of a synctest bubble run a timer that is due at the same moment;
# what the detector finds does not depend on it.
#
# SQLite, which is C made Go, is not instrumented, nor what it allocates by: its memory is not of Go's heap, and the detector passes over
# any other, while most of the time went there. All that calls it is instrumented, its driver too.
UNWATCHED := modernc.org/sqlite/lib modernc.org/libc/... modernc.org/memory
race:
	go test -race -short -cpu 1 $(UNWATCHED:%=-gcflags=%=-race=false) $$(go list ./... | grep -v /internal/house)

# The simulated network on SEEDS fresh seeds; a failing one is printed with the command that replays it, and becomes a fixed seed
# with its mending. No part of check, which runs the fixed seeds: a change is to be judged by what it does, not by the draw.
simulate:
	go test -count 1 ./internal/simnet -run TestScenarios -seeds $(SEEDS)

# Every benchmark once, to prove that it runs; figures worth quoting need the default benchtime and a quiet machine.
bench:
	go test -run '^$$' -bench . -benchtime 1x $$($(call holding,Benchmark))

# Every fuzz target for FUZZTIME: a number of inputs in the gate, since a run that is ended by its clock can be reported as
# failed for that alone (golang/go#75804); `make fuzz FUZZTIME=1m` for a search worth the name. Each package is built once for all
# of its targets, and run as `go test -fuzz` would.
fuzz:
	@bin=$$(mktemp -d) && trap 'rm -rf "$$bin"' EXIT && cache=$$(go env GOCACHE)/fuzz || exit 1; \
	for pkg in $$($(call holding,Fuzz)); do \
	  go test -c -fuzz . -o "$$bin/test" $$pkg || exit 1; \
	  for target in $$("$$bin/test" -test.list '^Fuzz'); do \
	    echo "fuzz $$pkg $$target"; \
	    (cd $$pkg && "$$bin/test" -test.run '^$$' -test.fuzz "^$$target$$" -test.fuzztime $(FUZZTIME) \
	      -test.fuzzcachedir "$$cache/$$(go list)") || exit 1; \
	  done; \
	done

demo:
	go run ./cmd/strata demo

# Real peers: Synapse from PyPI, and Dendrite where DENDRITE_BIN names a binary. Says what it did not run.
interop:
	go test -tags interop -count 1 -v -timeout 15m ./internal/interop/...

# Side by side on this machine: Strata, Synapse from PyPI, and Dendrite where DENDRITE_BIN names a binary, each put under the same
# load by strata load, in turns. Writes docs/benchmarks.md. Takes five minutes; a quiet machine is needed for figures worth quoting.
compare:
	go test -tags interop -count 1 -v -timeout 15m -run '^TestCompare$$' ./internal/interop -compare $(CURDIR)/docs/benchmarks.md

# The same for clients: what /sync and sending cost a user in 300 rooms, at Strata, Synapse and Dendrite. Takes four minutes, most of
# them to make Synapse's rooms; writes docs/benchmarks.md too.
compare-clients:
	go test -tags interop -count 1 -v -timeout 25m -run '^TestCompareClients$$' ./internal/interop -compare-clients $(CURDIR)/docs/benchmarks.md
