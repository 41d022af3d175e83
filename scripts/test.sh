#!/usr/bin/env bash
# Everything that CI runs, cheapest failures first where the order allows. `make test` prepares and calls it.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
# Tests see internals, so their modules are built apart; library and command are tested as they are shipped.
testing=(-c release --scratch-path .build/testing -Xswiftc -enable-testing)

step() { printf '\n==== %s\n' "$*"; }

step "header as C99 and C++17"
bash Tests/header/check.sh

step "library and command"
make --no-print-directory build

step "Swift tests"
swift build "${testing[@]}" --build-tests
swift test "${testing[@]}" --skip-build

if [ "$(uname -m)" = x86_64 ]; then
  # Those that this machine has; the one that it prefers was tested above.
  preferred=$(.build/release/adadiff-cli version | awk '$1 == "isa:" { print $2 }')
  for isa in avx512_bf16 avx512_vnni avx512 avx2; do
    if [ "$isa" != "$preferred" ] && grep -qw "${isa/%avx512/avx512f}" /proc/cpuinfo; then
      step "Swift tests with the kernels of $isa"
      ADADIFF_ISA=$isa swift test "${testing[@]}" --skip-build
    fi
  done
  step "instruction sets: kernels stay in their modules; tests on CPUs without AVX-512 and without AVX2"
  scripts/check-isa.sh .build/release
  if command -v qemu-x86_64 >/dev/null; then
    # OpenBLAS is to find out about the emulated processor by itself, whatever it was told about this one.
    for cpu in Haswell Nehalem; do
      env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE qemu-x86_64 -cpu "$cpu" .build/testing/release/adadiffPackageTests.xctest --testing-library swift-testing \
        --filter 'KernelsTests|Dense|Reduction'
    done
  else
    echo "qemu-user is not installed: not run"
  fi
fi

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
