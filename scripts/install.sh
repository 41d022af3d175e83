#!/usr/bin/env bash
# Installs the built files. Usage: scripts/install.sh DESTINATION PREFIX VERSION ABI
# DESTINATION is where files are put; PREFIX is where they will be used (they differ when packages are made).
set -euo pipefail
cd "$(dirname "$0")/.."

destination=$1 prefix=$2 version=$3 abi=$4

install -d "$destination"/{bin,include,lib/pkgconfig,share/adadiff/models}
install -m 755 .build/release/libadadiff.so "$destination/lib/libadadiff.so.$version"
ln -sf "libadadiff.so.$version" "$destination/lib/libadadiff.so.$abi"
ln -sf "libadadiff.so.$abi" "$destination/lib/libadadiff.so"
install -m 755 .build/release/adadiff-cli "$destination/bin/adadiff"
install -m 644 include/adadiff.h bindings/cpp/adadiff.hpp "$destination/include/"
cat >"$destination/lib/pkgconfig/adadiff.pc" <<PC
prefix=$prefix
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: adadiff
Description: ONNX diffusion pipelines on the CPU
Version: $version
Libs: -L\${libdir} -ladadiff
Cflags: -I\${includedir}
PC
for model in models/*/; do
  [ -e "$model/model_index.json" ] || continue
  # The pipeline itself, not what trained it.
  (cd models && find "$(basename "$model")" -type f \
    \( -name '*.json' -o -name merges.txt -o -name '*.onnx' -o -name '*.onnx_data' -o -name '*.data' -o -name 'LICENSE*' \) \
    -not -path '*/training/*' -not -path '*/reward/*' -exec install -D -m 644 {} "$destination/share/adadiff/models/{}" \;)
done
# A linker that runs later must find the library; without root this is the user's own prefix.
if [ "$(id -u)" = 0 ] && [ "$destination" = "$prefix" ]; then ldconfig; fi
echo "Installed $prefix/bin/adadiff, $prefix/lib/libadadiff.so.$version, $prefix/include/adadiff.h"
