#!/bin/sh
# Checks the objects of a build: AVX-512 registers occur only in the KernelsAVX512 modules, AVX registers only there and in
# KernelsAVX2, dot products of bytes only in KernelsAVX512VNNI, of bfloat16 pairs only in KernelsAVX512BF16, either also in
# KernelsAMX, products of tiles only there, and these modules define no weak symbol that another module could be linked to instead of its own.
#   scripts/check-isa.sh [BUILD_FOLDER]      (default: .build/release)
set -eu
build=${1:-.build/release}
status=0

instructions() { objdump -d --no-show-raw-insn "$@" | grep -c -E "$pattern" || true; }
registers() { objdump -d --no-show-raw-insn "$@" | grep -c "%$register" || true; }

for folder in "$build"/*.build; do
  module=$(basename "$folder" .build)
  objects=$(find "$folder" -name '*.o')
  [ -n "$objects" ] || continue
  for register in zmm ymm; do
    # shellcheck disable=SC2086
    count=$(registers $objects)
    case "$register:$module" in
      *:KernelsAVX512* | *:KernelsAMX | ymm:KernelsAVX2)
        if [ "$count" -eq 0 ]; then echo "$module: no $register instruction: built without its flags?"; status=1; fi ;;
      *)
        if [ "$count" -ne 0 ]; then echo "$module: $count instructions with $register registers"; status=1; fi ;;
    esac
  done
  for owner in KernelsAVX512VNNI KernelsAVX512BF16 KernelsAMX; do
    case $owner in
      KernelsAVX512VNNI) pattern="vpdpbusds?|vpdpwssds?" ;;
      KernelsAVX512BF16) pattern="vdpbf16ps|vcvtne2?ps2bf16" ;;
      KernelsAMX) pattern="tdp[a-z0-9]+" ;;
    esac
    # shellcheck disable=SC2086
    count=$(instructions $objects)
    # Processors with tiles have both.
    if [ "$module" = KernelsAMX ] && [ $owner != KernelsAMX ]; then continue; fi
    if [ "$module" = $owner ] && [ "$count" -eq 0 ]; then
      echo "$module: no dot product: built without its flags?"; status=1
    elif [ "$module" != $owner ] && [ "$count" -ne 0 ]; then
      echo "$module: $count dot products of $owner"; status=1
    fi
  done
  case "$module" in
    KernelsAVX512* | KernelsAMX | KernelsAVX2)
      # Symbols of the module's own name cannot collide; anything else weak could replace a baseline copy.
      # shellcheck disable=SC2086
      weak=$(nm --defined-only $objects | awk '$2 ~ /^[WVu]$/ { print $3 }' | sort -u |
        grep -v -e "${#module}$module" -e '^__swift_reflection_version$' || true)
      if [ -n "$weak" ]; then echo "$module: weak symbols:"; echo "$weak"; status=1; fi ;;
  esac
done
[ $status -eq 0 ] && echo "instruction sets: as they should be"
exit $status
