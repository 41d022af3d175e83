#!/usr/bin/env bash
# Everything that CI runs, cheapest failures first where the order allows. `make test` prepares and calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
testing=(-c release -Xswiftc -enable-testing)

step() { printf '\n==== %s\n' "$*"; }

step "header as C99 and C++17"
bash Tests/header/check.sh

step "build"
swift build "${testing[@]}" --product adadiff
swift build "${testing[@]}" --product adadiff-cli
swift build "${testing[@]}" --build-tests

step "Swift tests"
swift test "${testing[@]}" --skip-build

step "library: exported symbols, dependencies, behaviour when loaded"
bash Tests/exports/check.sh .build/release/libadadiff.so

step "Python binding"
"$python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --force-reinstall --no-deps \
  ./bindings/python
"$python" -m pytest -q Tests/python

if [ -d Tests/onnx_suite ]; then
  step "ONNX's own backend tests"
  "$python" -m pytest -q Tests/onnx_suite
fi

step "examples"
bash scripts/run-examples.sh
