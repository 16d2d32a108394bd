# What a newcomer needs. Each target does its own set-up.
#
#   make demo          the main job on real servers, to look at and to join in; Ctrl-C ends it
#   make demo ONCE=1   one call, proven from outside; exit status 0 only if every step was seen
#   make test          all tests, on real servers
#   make lint          format, clippy, documentation, dependencies
#   make sim           the floor against random shifts: SHIFTS=1000000
#   make kills         the service killed at random moments under load, and outages: ROUNDS=200, SEED=1
#   make bench         latencies and rates, beside their peers; see docs/benchmarks.md

CARGO ?= cargo
# Rigs run side by side, each with five servers that mostly wait: more at once than this makes all of them slow.
TEST_THREADS ?= 9

# How many shifts `make sim` runs.
SHIFTS ?= 1000000

# How often `make kills` kills the service; a fifth as often it takes away what the service needs, for up to a minute.
ROUNDS ?= 200
SEED ?= 1

.PHONY: demo test sim kills lint bench setup setup-demo build

# Everything, for the tests as well; the demo needs less.
setup:
	@scripts/setup --tests

setup-demo:
	@scripts/setup

build: setup-demo
	$(CARGO) build --locked --workspace

demo: build
	@target/debug/demo $(if $(ONCE),--once)

test: setup
	$(CARGO) test --locked --workspace --no-fail-fast -- --test-threads=$(TEST_THREADS)

sim:
	USHER_SHIFTS=$(SHIFTS) $(CARGO) test --locked --release --lib -- --nocapture whatever_a_shift_brings

kills: setup-demo
	USHER_SEED=$(SEED) USHER_KILLS=$(ROUNDS) USHER_OUTAGES=$$(($(ROUNDS) / 5 + 1)) USHER_OUTAGE_SECONDS=60 USHER_DEATHS=$$(($(ROUNDS) / 10 + 1)) \
	$(CARGO) test --locked --test house -- --nocapture --test-threads=1 kills:: outages::

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --locked --workspace --no-deps --quiet
	@if command -v cargo-deny >/dev/null; then $(CARGO) deny --offline check bans licenses sources; \
	else echo 'cargo-deny is not installed: licences and sources were not checked (cargo install cargo-deny)'; fi

# With what the tests need: slixmpp stands beside the desk.
bench: setup
	$(CARGO) build --locked --release --workspace --bins --examples
	$(CARGO) run --locked --release --quiet --example floor
	@target/release/bench
