# `make help` lists the targets. `make demo` and `make test` need nothing before them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
JAR := jni-bridge/plugin/target/davy-spark.jar
NATIVE := target/release/libdavy_jni.so
MVN := mvn -q -B -f jni-bridge/plugin/pom.xml
PYTHON = $$(scripts/venv spark-4.3.0)/bin/python
RUST_SOURCES := $(shell find runtime/src jni-bridge/src -name '*.rs') Cargo.toml Cargo.lock \
	runtime/Cargo.toml jni-bridge/Cargo.toml
SCALA_SOURCES := $(shell find jni-bridge/plugin/src/main -type f) jni-bridge/plugin/pom.xml
IMAGE := guest-python/images/python-3.11.davy

.PHONY: help setup build image demo demo-cluster test test-rust test-scala test-e2e check bench bench-guest bench-spark smoke-versions clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-16s %s\n", $$1, $$2}'

setup: ## install what is missing, make the Python environments
	@scripts/setup

build: $(JAR) ## the native library and the jar

$(NATIVE): $(RUST_SOURCES)
	@scripts/setup tools
	cargo build --release --locked -p davy-jni
	@touch $@

$(JAR): $(NATIVE) $(SCALA_SOURCES) $(IMAGE)
	@echo "packing the jar (Maven fetches its plugins the first time)"
	$(MVN) package -DskipTests
	@touch $@

image: ## build the guest's image from source (about 15 minutes the first time)
	guest-python/build

demo: setup build ## the flights job, stock and Davy side by side, and the tour of what is refused
	@$(PYTHON) udf-examples/demo.py

demo-cluster: setup build ## the same on a standalone cluster of two executors
	@$(PYTHON) udf-examples/demo.py --cluster

test: setup test-rust test-scala test-e2e ## all tests

test-rust: ## the runtime's tests
	@scripts/setup tools
	cargo test --release --locked -p davy-runtime -p davy-jni

test-scala: build ## the plugin's tests
	$(MVN) test

test-e2e: setup build ## PySpark programs on stock and on Davy, compared
	$(PYTHON) -m pytest -q -p no:cacheprovider tests/e2e

check: ## formats, lints, licences, conventions
	@scripts/check

smoke-versions: setup build ## a sample of the cases on Spark 4.1 and 4.2, which the tests leave out
	cd tests/e2e && $$(../../scripts/venv spark-4.3.0)/bin/python smoke_versions.py

bench: build ## benchmarks of the runtime (criterion)
	cargo bench --locked -p davy-benches
	@$(PYTHON) benches/runtime/keep.py

bench-guest: setup ## pure Python in the guest, next to native Python
	cargo build --release --locked --example guest -p davy-runtime
	@$(PYTHON) benches/guest/run.py

bench-spark: setup build ## benchmarks on Spark, side by side with stock
	@$(PYTHON) benches/spark/bench.py

clean: ## remove what was built here (caches outside the tree stay)
	rm -rf target jni-bridge/plugin/target
