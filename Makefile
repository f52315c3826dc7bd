# The commands of the README. Those that need libtorch fetch it first when it is not
# there.

CARGO ?= cargo
PROFILE_DIR := target/release

.PHONY: demo test chaos damage soak transfers lint bench bench-core bench-profile libtorch torch build tools

demo: build
	$(PROFILE_DIR)/reprise run configs/demo.yaml

# Neither needs libtorch.
build: tools
	$(CARGO) build --locked --release -p reprise-coordinator -p reprise-worker

# What workers start for graphics cards and real training.
torch: libtorch
	$(CARGO) build --locked --release -p reprise-torch

# With cargo-nextest where it is installed, else with Cargo's own runner. Tests that
# lack something are listed at the end; with CI=true they fail where it is a program
# that is missing, with REPRISE_REQUIRE=all also where it is data.
SKIPPED := target/skipped-tests
test: libtorch
	$(CARGO) build --locked -p reprise-coordinator -p reprise-worker -p reprise-torch
	@rm -f $(SKIPPED)
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --locked --workspace --no-fail-fast; \
	else \
		$(CARGO) test --locked --workspace --no-fail-fast; \
	fi; status=$$?; \
	if [ -s $(SKIPPED) ]; then \
		echo "$$(sort -u $(SKIPPED) | wc -l) tests did not run:"; \
		sort -u $(SKIPPED) | sed 's/^/    /'; \
	else \
		echo "every test ran"; \
	fi; exit $$status

# 2,000 faults against real processes; options in CHAOS="--seed 7 --faults 500". Full
# disks need root, clock jumps Debian's `faketime`: without, it says so.
chaos: tools
	$(CARGO) build --locked --release -p reprise-coordinator -p reprise-worker -p reprise-tests
	$(PROFILE_DIR)/chaos $(CHAOS)

# 10,000 damages at random to the state of a study, each followed by `reprise run`:
# the same tables, or an error that names the damage. DAMAGE takes arguments.
damage: tools
	$(CARGO) build --locked --release -p reprise-coordinator -p reprise-worker -p reprise-tests
	$(PROFILE_DIR)/damage $(DAMAGE)

# One coordinator with a million tasks, 10,000 workers, a million trials to export and
# 10,000 studies; SOAK takes arguments, as "--only workers --crowd 2000".
soak: tools
	$(CARGO) build --locked --release -p reprise-coordinator -p reprise-tests
	ulimit -n "$$(ulimit -H -n)" && $(PROFILE_DIR)/soak $(SOAK)

# Memory of one coordinator that a thousand peers fetch a file from together; TRANSFERS
# takes arguments.
transfers: tools
	$(CARGO) build --locked --release -p reprise-coordinator -p reprise-tests
	$(PROFILE_DIR)/transfers $(TRANSFERS)

lint: libtorch
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) test --locked -p reprise-tests --test tidy
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps

# Speed as ratios against PyTorch, Ray and Dask, which it fetches into a Python
# environment of its own (some 3 GB); writes tests/bench/RESULTS.md. Options in
# BENCH="--only search --repeats 3".
BENCH_ENV ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/reprise/bench-env
bench: libtorch
	$(CARGO) build --locked --release -p reprise-coordinator -p reprise-worker -p reprise-bench
	@test -x $(BENCH_ENV)/bin/python || python3 -m venv $(BENCH_ENV)
	@$(BENCH_ENV)/bin/pip install --quiet --disable-pip-version-check -r tests/bench/requirements.txt
	$(PROFILE_DIR)/bench --python $(BENCH_ENV)/bin/python $(BENCH)

# Where the time goes, by function, as `perf` samples it; writes
# tests/bench/PROFILES.md, or prints what PROFILE names, as in PROFILE=bo-large.
bench-profile: libtorch
	$(CARGO) build --locked --release -p reprise-coordinator -p reprise-worker -p reprise-bench
	$(PROFILE_DIR)/bench --profile $(PROFILE)

# Transitions of the pure core alone.
bench-core:
	$(CARGO) bench --locked -p reprise-core

tools:
	@command -v $(CARGO) >/dev/null || { echo "error: cargo is missing; install Rust from https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "error: a C compiler is missing; install it with: sudo apt-get install gcc libc6-dev" >&2; exit 1; }

libtorch: tools
	@command -v g++ >/dev/null || { echo "error: g++ is missing; install it with: sudo apt-get install g++" >&2; exit 1; }
	@deploy/libtorch.sh
