# adadiff: the commands a person needs. `make help` lists them.

PREFIX  ?= /usr/local
PROMPT  ?= a cat face on blue
VERSION := 0.1.0
ABI     := 1

SWIFT_SOURCES := Package.swift Sources Tests Benchmarks

.PHONY: help build test lint bench install demo clean dependencies python

help:  ## Show these lines
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: dependencies  ## Build the library and the command, optimised, in .build/release
	swift build -c release --product adadiff
	swift build -c release --product adadiff-cli
	@ln -sf libadadiff.so .build/release/libadadiff.so.$(ABI)

demo: build  ## Make demo.png with the bundled model; PROMPT="…" takes your own
	.build/release/adadiff-cli generate "$(PROMPT)" --output demo.png

test: python  ## Run everything that CI runs
	@scripts/install-dependencies.sh qemu-user
	scripts/test.sh

lint:  ## Check the formatting of the Swift sources
	swift format lint --strict --recursive $(SWIFT_SOURCES)

bench: build  ## Time the bundled model; fail when a hot kernel has lost 15 % of its stored share of the machine's peak
	swift build -c release --product kernel-ladder
	.build/release/kernel-ladder --guard Benchmarks/peak-shares.txt
	.build/release/adadiff-cli bench --profile

install: build  ## Install library, header, command and model under PREFIX
	scripts/install.sh "$(DESTDIR)$(PREFIX)" "$(PREFIX)" "$(VERSION)" "$(ABI)"

clean:  ## Remove what was built
	rm -rf .build .venv demo.png bindings/python/build bindings/rust/target examples/rust/target

dependencies:
	@scripts/install-dependencies.sh

python:
	@scripts/install-python.sh
