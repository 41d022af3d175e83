#!/usr/bin/env bash
# What the library shows to the outside. Usage: Tests/exports/check.sh libadadiff.so
#   - exports exactly the functions of symbols.txt, which are exactly those of the header
#   - has its SONAME and needs no Swift or Foundation library
#   - when loaded: no signal handler, no thread, no environment variable, nothing on stdout or stderr
set -euo pipefail
library=$(realpath "$1")
cd "$(dirname "$0")"

fail() { echo "exports: $*" >&2; exit 1; }

exported=$(nm --dynamic --extern-only --defined-only --format=posix "$library" | cut -d' ' -f1 | LC_ALL=C sort)
diff <(LC_ALL=C sort symbols.txt) <(echo "$exported") >&2 || fail "exported symbols differ from symbols.txt (< missing, > unexpected)"
declared=$(cc -E -P -x c ../../include/adadiff.h | grep -oE '\badadiff_[a-z0-9_]+ *\(' | tr -d ' (' | LC_ALL=C sort -u)
diff <(echo "$declared") <(LC_ALL=C sort symbols.txt) >&2 || fail "symbols.txt differs from the header (< header only, > list only)"

dynamic=$(readelf --dynamic --wide "$library")
grep -q 'SONAME.*\[libadadiff\.so\.1\]' <<<"$dynamic" || fail "SONAME is not libadadiff.so.1"
if grep -E 'NEEDED.*(libswift|libFoundation|lib_Foundation|libdispatch|libBlocksRuntime)' <<<"$dynamic" >&2; then
  fail "needs a Swift library"
fi
# $ORIGIN, the folder of the library itself, is what SwiftPM adds.
if grep -E '(RPATH|RUNPATH)' <<<"$dynamic" | grep -vF '[$ORIGIN]' >&2; then fail "carries a search path of the build machine"; fi

program=$(mktemp)
trap 'rm -f "$program"' EXIT
cc -std=c99 -Wall -Wextra -Werror -D_GNU_SOURCE load.c -o "$program" -ldl
output=$("$program" "$library" 2>&1) || fail "$output"
[ "$output" = "loaded" ] || fail "loading wrote: $output"
echo "exports: $(wc -l <symbols.txt) functions, as listed"
