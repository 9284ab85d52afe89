# `make demo` and `make test` are all that is needed; `make check` is what CI runs.
# Everything shares one profile, so the dependencies are built once.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.PHONY: help demo test test-dsl test-kafka test-connectors check bench bench-peers deps deps-java deps-python deps-postgres clean-demo

help:
	@echo "make demo    real flight departures become a view of delays, in under a minute once built"
	echo "make test    every test"
	echo "make test-kafka   the tests on a real Kafka, at full size (JDK 17, maven, kcat)"
	echo "make test-connectors   the tests on what connectors speak to, at full size (python3, JDK 17, maven, postgresql); TESTS=s3 picks"
	echo "make check   what CI runs: test, format, clippy, demo"
	echo "make bench   the five workloads beside DataFusion as a batch"
	echo "make bench-peers   the same beside Kafka Streams and Flink SQL (JDK 17, maven; half an hour); PEERS='--events N --workloads w1,w4'"
	echo "make deps    checks for, and where it may installs, what the build needs"

demo: deps
	@cargo run --bin millstream -- demo

test: deps deps-java deps-python deps-postgres
	@cargo test --workspace

# The same comparison with Kafka Streams is part of `make test` with fewer inputs a topology.
test-dsl: deps deps-java
	@cargo test --workspace --test library
	MILLSTREAM_ORACLE_SEEDS=$${MILLSTREAM_ORACLE_SEEDS:-200} cargo test --workspace --test kafka_streams -- --nocapture

# The tests on a real Kafka are part of `make test` with fewer faults. A word picks those whose name has it: make test-kafka TESTS=faults
test-kafka: deps deps-java
	@export MILLSTREAM_KAFKA_FAULTS=$${MILLSTREAM_KAFKA_FAULTS:-30}
	cargo test --workspace --test kafka -- --nocapture --test-threads 1 $(TESTS)

# The tests on what connectors speak to are part of `make test` with fewer faults. A word picks those whose name has it: make test-connectors TESTS=s3
test-connectors: deps deps-java deps-python deps-postgres
	@export MILLSTREAM_S3_FAULTS=$${MILLSTREAM_S3_FAULTS:-25} MILLSTREAM_CONNECTOR_FAULTS=$${MILLSTREAM_CONNECTOR_FAULTS:-25}
	export MILLSTREAM_SQS_ROWS=$${MILLSTREAM_SQS_ROWS:-4000} MILLSTREAM_WEBHOOK_ROWS=$${MILLSTREAM_WEBHOOK_ROWS:-400}
	cargo test --workspace --test connectors -- --nocapture --test-threads 2 $(TESTS)

check: test
	@cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo run --bin millstream -- demo

BENCH := --events 5000000 --threads 1 --baseline datafusion
bench: deps
	@cargo build --workspace --bin millstream
	for workload in w0 w1 w2 w3 w4; do cargo run --quiet --workspace --bin millstream -- bench $$workload $(BENCH); echo; done

bench-peers: deps
	@cargo build --workspace --bin millstream
	target=$$(cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
	MILLSTREAM="$$target/debug/millstream" tests/peers/run $(PEERS)

# install(WHAT FOR, PACKAGES): installs Debian packages where it may, says what to do where it may not.
define install
(
	sudo=()
	if [ "$$(id -u)" -ne 0 ]; then
	    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo=(sudo -n); else sudo=(false); fi
	fi
	if command -v apt-get >/dev/null && [ "$${sudo[*]}" != false ]; then
	    echo "installing what $(1) needs: $(2)" >&2
	    "$${sudo[@]}" apt-get update -qq && "$${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(2) >/dev/null \
	        || { echo "could not install them: run  apt-get install -y $(2)  yourself, then run this again" >&2; exit 1; }
	    exit 0
	fi
	echo "$(1) needs: $(2)" >&2
	echo "on Debian or Ubuntu: sudo apt-get install -y $(2)" >&2
	exit 1
)
endef

# LIBCLANG_PATH is left alone: bindgen finds /usr/lib/llvm-*/lib by itself, and setting it here but not in a shell would have RocksDB
# built again at each change between the two.
# Needed: cargo (the toolchain of rust-version in Cargo.toml), a C++ compiler and libclang, for RocksDB; a C compiler, make and perl, for the Kafka
# client and the TLS library in it. No cmake.
deps:
	@missing=()
	command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs, then run this again" >&2; exit 1; }
	command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || missing+=(g++)
	command -v cc >/dev/null || command -v gcc >/dev/null || missing+=(gcc)
	command -v make >/dev/null || missing+=(make)
	perl -MFindBin -MIPC::Cmd -MFile::Compare -MPod::Usage -e 1 2>/dev/null || missing+=(perl)
	found=
	for pattern in "$${LIBCLANG_PATH:-/nowhere}/libclang*.so*" '/usr/lib/llvm-*/lib/libclang*.so*' '/usr/lib/*-linux-gnu/libclang*.so*' \
	    '/usr/lib/libclang*.so*' '/usr/lib64/libclang*.so*' '/usr/local/lib/libclang*.so*'; do
	    if compgen -G "$$pattern" | grep -qv libclang-cpp; then found=yes; fi
	done
	[ -n "$$found" ] || command -v brew >/dev/null || missing+=(libclang-dev)
	if [ "$${#missing[@]}" -eq 0 ]; then exit 0; fi
	$(call install,the build,$${missing[*]}) || exit 1

# For the tests on Kafka and the comparison with Kafka Streams, which are left out where there is no Java, except in CI.
deps-java:
	@missing=()
	command -v kcat >/dev/null || missing+=(kcat)
	command -v javac >/dev/null && [ "$$(javac -version 2>&1 | sed -E 's/[^0-9]*([0-9]+).*/\1/')" -ge 17 ] || missing+=(default-jdk-headless)
	command -v mvn >/dev/null || missing+=(maven)
	if [ "$${#missing[@]}" -eq 0 ]; then exit 0; fi
	$(call install,what is tested on Kafka and beside Kafka Streams,$${missing[*]}) && exit 0
	[ -z "$${CI:-}" ] || exit 1
	echo "it is left out" >&2

# For the tests of S3 and SQS, which are left out where there is no Python, except in CI.
deps-python:
	@if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
	    $(call install,what is tested on S3 and SQS,python3-venv) || [ -z "$${CI:-}" ] || exit 1
	fi
	tests/moto/run server >/dev/null && exit 0
	[ -z "$${CI:-}" ] || exit 1
	echo "tests on S3 and SQS are left out" >&2

# For the tests of Postgres, which are left out where there is none, except in CI.
deps-postgres:
	@if compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null; then exit 0; fi
	$(call install,what is tested on Postgres,postgresql) && exit 0
	[ -z "$${CI:-}" ] || exit 1
	echo "tests on Postgres are left out" >&2

clean-demo:
	@rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/millstream/demo"
