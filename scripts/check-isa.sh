#!/bin/sh
# Checks the objects of a build: AVX-512 registers occur only in KernelsAVX512 and KernelsAVX512Dot, AVX registers only
# there and in KernelsAVX2, dot products of bfloat16 pairs and of bytes only in KernelsAVX512Dot, and these modules define
# no weak symbol that another module could be linked to instead of its own.
#   scripts/check-isa.sh [BUILD_FOLDER]      (default: .build/release)
set -eu
build=${1:-.build/release}
status=0

dots() { objdump -d --no-show-raw-insn "$@" | grep -c -E "vdpbf16ps|vcvtne2?ps2bf16|vpdpbusds?|vpdpwssds?" || true; }
registers() { objdump -d --no-show-raw-insn "$@" | grep -c "%$register" || true; }

for folder in "$build"/*.build; do
  module=$(basename "$folder" .build)
  objects=$(find "$folder" -name '*.o')
  [ -n "$objects" ] || continue
  for register in zmm ymm; do
    # shellcheck disable=SC2086
    count=$(registers $objects)
    case "$register:$module" in
      zmm:KernelsAVX512 | ymm:KernelsAVX512 | zmm:KernelsAVX512Dot | ymm:KernelsAVX512Dot | ymm:KernelsAVX2)
        if [ "$count" -eq 0 ]; then echo "$module: no $register instruction: built without its flags?"; status=1; fi ;;
      *)
        if [ "$count" -ne 0 ]; then echo "$module: $count instructions with $register registers"; status=1; fi ;;
    esac
  done
  # shellcheck disable=SC2086
  count=$(dots $objects)
  case "$module:$count" in
    KernelsAVX512Dot:0) echo "$module: no dot product: built without its flags?"; status=1 ;;
    KernelsAVX512Dot:*) ;;
    *:0) ;;
    *) echo "$module: $count dot products of pairs or bytes"; status=1 ;;
  esac
  case "$module" in
    KernelsAVX512 | KernelsAVX512Dot | KernelsAVX2)
      # Symbols of the module's own name cannot collide; anything else weak could replace a baseline copy.
      # shellcheck disable=SC2086
      weak=$(nm --defined-only $objects | awk '$2 ~ /^[WVu]$/ { print $3 }' | sort -u |
        grep -v -e "${#module}$module" -e '^__swift_reflection_version$' || true)
      if [ -n "$weak" ]; then echo "$module: weak symbols:"; echo "$weak"; status=1; fi ;;
  esac
done
[ $status -eq 0 ] && echo "instruction sets: as they should be"
exit $status
