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

.PHONY: help setup build warm image demo demo-cluster test test-rust fuzz-smoke fuzz test-scala test-e2e test-e2e-all record-stock check guest-tests bench bench-guest bench-spark smoke-versions test-3.13 clean

help: ## this list
	@grep -hE '^[a-z0-9.-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "make %-16s %s\n", $$1, $$2}'

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

warm: ## compile the image for this machine's processor, as the first executor would
	@scripts/setup tools
	cargo build --release --locked --example compile -p davy-runtime
	@. scripts/lib.sh && target/release/examples/compile $(IMAGE) "$$DAVY_CACHE/compiled"

image: ## build the guest's image from source (about an hour the first time)
	guest-python/build

demo: setup build warm ## the flights job, stock and Davy side by side, and the tour of what is refused
	@$(PYTHON) udf-examples/demo.py

demo-cluster: setup build warm ## the same on a standalone cluster of two executors
	@$(PYTHON) udf-examples/demo.py --cluster

test: setup test-rust fuzz-smoke test-scala test-e2e ## all tests

test-rust: warm ## the runtime's tests
	@scripts/setup tools
	cargo test --release --locked -p davy-runtime -p davy-jni
	cargo test --release --locked -p davy-runtime --features failpoints --test failures

fuzz-smoke: ## ten seconds of fuzzing for each parser of foreign data, from the inputs kept
	@scripts/setup tools
	@scripts/fuzz smoke

fuzz: ## hours of it: MINUTES=30 for each, TARGETS="batch gateway"; KEEP=1 keeps what reaches more
	@scripts/setup tools
	@scripts/fuzz long $(TARGETS)

test-scala: build ## the plugin's tests
	$(MVN) test

test-e2e: setup build warm ## PySpark programs on Davy, compared with what stock does
	$(PYTHON) -m pytest -q -p no:cacheprovider tests/e2e

test-e2e-all: setup build warm ## the same, with every case on the older Spark too, and all on stock again
	E2E_ALL=1 $(PYTHON) -m pytest -q -p no:cacheprovider tests/e2e

record-stock: setup ## record what stock does in the cases that changed (ALL=1: in every case)
	@$(PYTHON) tests/e2e/record_stock.py $(if $(ALL),--all)

check: ## formats, lints, licences, conventions
	@scripts/check

smoke-versions: setup build ## a sample of the cases on Spark 4.1 and 4.2, which the tests leave out
	@$(PYTHON) tests/e2e/smoke_versions.py

test-random: setup build warm ## random schemas and data with other seeds than the tests', beside stock (SEEDS=20, FIRST=…)
	@$(PYTHON) tests/e2e/random_seeds.py $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FIRST),--first $(FIRST))

test-3.13: setup build ## all cases with a driver of Python 3.13 and its image (built first if need be: about half an hour)
	guest-python/build --python 3.13 --check || guest-python/build --python 3.13
	$(PYTHON) tests/e2e/other_python.py 3.13

guest-tests: setup warm ## the own tests of Python, numpy, pandas, pyarrow in the guest (SUITE=numpy: one; ARGS=…)
	cargo build --release --locked --example lines -p davy-runtime
	@. scripts/lib.sh && $(PYTHON) tests/guest/run.py $(SUITE) $(ARGS)

bench: build warm ## benchmarks of the runtime: criterion's, 1,000 idle sandboxes, stops
	@. scripts/lib.sh && DAVY_PYSPARK=$$(echo $$(scripts/venv spark-4.3.0)/lib/python3.11/site-packages/pyspark/python/lib/*.zip | tr ' ' :) \
		cargo bench --locked -p davy-benches
	@$(PYTHON) benches/runtime/keep.py

bench-guest: setup warm ## Python, numpy, pandas and pyarrow in the guest, next to the same outside; what being stoppable costs
	cargo build --release --locked --example guest -p davy-runtime
	@. scripts/lib.sh && $(PYTHON) benches/guest/run.py speed && $(PYTHON) benches/guest/run.py kernels && $(PYTHON) benches/guest/stopping.py

bench-spark: setup build warm ## benchmarks on Spark, side by side with stock
	@$(PYTHON) benches/spark/bench.py pickled && $(PYTHON) benches/spark/bench.py columnar && $(PYTHON) benches/spark/bench.py shapes && $(PYTHON) benches/spark/bench.py model && $(PYTHON) benches/spark/soak.py

clean: ## remove what was built here (caches outside the tree stay)
	rm -rf target jni-bridge/plugin/target
