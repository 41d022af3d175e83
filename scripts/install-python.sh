#!/usr/bin/env bash
# Makes .venv with what the Python tests need, and installs the compilers that the examples need. Does nothing where it
# has been done.
set -euo pipefail
cd "$(dirname "$0")/.."

# onnx 1.20.1 is the last version whose wheel carries the backend node tests.
requirements=(onnx==1.20.1 "numpy>=2" "pytest>=8" "ml_dtypes>=0.5" "setuptools>=77" onnxruntime pyarrow matplotlib pillow jinja2 ray)
stamp=.venv/requirements.txt

[ "$(cat "$stamp" 2>/dev/null)" != "${requirements[*]}" ] || exit 0
scripts/install-dependencies.sh python3-venv gcc g++ binutils
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check "${requirements[@]}"
echo "${requirements[*]}" >"$stamp"
