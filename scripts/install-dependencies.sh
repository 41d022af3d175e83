#!/usr/bin/env bash
# Installs the system packages that the build needs and that are missing. Debian and Ubuntu only; elsewhere it names them.
# Usage: scripts/install-dependencies.sh [MORE_PACKAGES…]
set -euo pipefail

packages=(libopenblas-dev libonnx-dev libprotobuf-dev libpng-dev "$@")

if ! command -v swift >/dev/null; then
  echo "Swift 6.3 or later is required: https://www.swift.org/install/linux" >&2
  exit 69
fi
if ! command -v dpkg-query >/dev/null; then
  echo "Not a Debian system; these packages (or their equivalents) are needed: ${packages[*]}" >&2
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "Installing ${missing[*]}"
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo)
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}"
