#!/usr/bin/env bash
# Builds every example against the built library and runs it on a pipeline.
# Usage: scripts/run-examples.sh [PIPELINE_FOLDER]     (default: the bundled model, else the test pipeline)
#   LIBRARY_DIR  folder of libadadiff.so (default: .build/release)
#   PYTHON       interpreter that has the binding installed (default: .venv/bin/python)
set -euo pipefail
cd "$(dirname "$0")/.."

library_dir=$(realpath "${LIBRARY_DIR:-.build/release}")
python=${PYTHON:-.venv/bin/python}
pipeline=${1:-models/emoji-scenes}
[ -e "$pipeline/model_index.json" ] || pipeline=Tests/Fixtures/tiny-sd
# Programs ask for the library by its SONAME; the build makes only the name that the linker reads.
ln -sf libadadiff.so "$library_dir/libadadiff.so.1"
prompt="two cats and a tree on a green background"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

run() {
  echo "== $1"
  shift
  "$@"
}

is_png() {
  [ "$(head -c 8 "$1" | od -An -tx1 | tr -d ' \n')" = 89504e470d0a1a0a ] || { echo "$1 is no PNG" >&2; exit 1; }
}

warnings=(-Wall -Wextra -pedantic -Werror)
link=(-L"$library_dir" -ladadiff -Wl,-rpath,"$library_dir")
cc -std=c99 "${warnings[@]}" -D_POSIX_C_SOURCE=200809L -Iinclude examples/c/generate.c -o "$folder/c" "${link[@]}"
cc -std=c99 "${warnings[@]}" -D_POSIX_C_SOURCE=200809L -Iinclude examples/cancel/cancel.c -o "$folder/cancel" "${link[@]}"
c++ -std=c++17 "${warnings[@]}" -Iinclude -Ibindings/cpp examples/cpp/generate.cpp -o "$folder/cpp" "${link[@]}"
c++ -std=c++17 "${warnings[@]}" -Iinclude -Ibindings/cpp examples/progress/progress.cpp -o "$folder/progress" "${link[@]}"
c++ -std=c++17 "${warnings[@]}" -Iinclude -Ibindings/cpp examples/policy/policy.cpp -o "$folder/policy" "${link[@]}"

run "C: generate" "$folder/c" "$pipeline" "$prompt" "$folder/c.png"
run "C++: generate" "$folder/cpp" "$pipeline" "$prompt" "$folder/cpp.png"
run "Python: generate" "$python" examples/python/generate.py "$pipeline" "$prompt" "$folder/python.png"
pictures=(c cpp python)
if command -v cargo >/dev/null; then
  ADADIFF_LIB_DIR="$library_dir" CARGO_TARGET_DIR="$folder/target" \
    cargo build --quiet --offline --release --manifest-path examples/rust/Cargo.toml
  run "Rust: generate" "$folder/target/release/generate" "$pipeline" "$prompt" "$folder/rust.png"
  pictures+=(rust)
  mkdir "$folder/policy-rust"
  run "Rust: policy" "$folder/target/release/policy" "$pipeline" "$prompt" "$folder/policy-rust" | tee "$folder/rust.txt"
else
  echo "== Rust: skipped, there is no cargo"
fi
run "progress" "$folder/progress" "$pipeline" "$prompt"
run "cancel" "$folder/cancel" "$pipeline" "$prompt"
run "preview" "$python" examples/preview/preview.py "$pipeline" "$prompt"
run "skip" "$python" examples/skip/skip.py "$pipeline" "$prompt"
run "Python: policy" "$python" examples/policy/policy.py "$pipeline" "$prompt"
mkdir "$folder/policy-cpp"
run "C++: policy" "$folder/policy" "$pipeline" "$prompt" "$folder/policy-cpp" | tee "$folder/cpp.txt"
run "run-model" "$python" examples/run-model/run_model.py "$pipeline/vae_decoder/model.onnx"

# One seed, one picture, whatever the language.
for name in "${pictures[@]}"; do
  is_png "$folder/$name.png"
  cmp "$folder/c.png" "$folder/$name.png"
done
# One table, one policy, one decision.
if [ -e "$folder/rust.txt" ]; then
  cmp "$folder/policy-cpp/policy/policy.onnx" "$folder/policy-rust/policy/policy.onnx"
  diff <(tail -1 "$folder/cpp.txt") <(tail -1 "$folder/rust.txt")
fi
echo "All examples ran; ${#pictures[@]} languages made the same picture."
