#!/usr/bin/env bash
# The header (and the C++ one) compiled alone, as every language version that may include them, without a warning.
set -euo pipefail
cd "$(dirname "$0")/../.."

warnings=(-Wall -Wextra -pedantic -Werror -fsyntax-only -Iinclude -Ibindings/cpp)
for compiler in gcc clang; do
  command -v "$compiler" >/dev/null || continue
  for standard in c99 c11 c17; do
    "$compiler" -x c -std=$standard "${warnings[@]}" -Wstrict-prototypes Tests/header/header.c
  done
done
for compiler in g++ clang++; do
  command -v "$compiler" >/dev/null || continue
  for standard in c++17 c++20; do
    "$compiler" -x c++ -std=$standard "${warnings[@]}" Tests/header/header.c
    "$compiler" -x c++ -std=$standard "${warnings[@]}" Tests/header/header.cpp
  done
done
echo "header: no warnings"
