"""The command line, as a shell sees it."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import zlib
from xml.etree import ElementTree

import numpy as np
import pytest
from conftest import ROOT, unary
from onnx import TensorProto, helper

import adadiff

COMMAND = os.environ.get("ADADIFF_COMMAND", str(ROOT / ".build" / "release" / "adadiff-cli"))


@pytest.fixture
def run(tmp_path, pipeline_folder):
    """Runs the command in an empty folder with the test pipeline as the bundled model."""

    def call(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *map(str, arguments)], cwd=tmp_path, capture_output=True, text=True, timeout=120,
            env={**os.environ, "ADADIFF_MODEL": str(pipeline_folder), **(environment or {})},
        )  # fmt: skip

    return call


def png(path: pathlib.Path) -> tuple[np.ndarray, dict[str, str]]:
    """Pixels and text of an 8-bit RGB PNG; checks every checksum."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    position, body, text, size = 8, b"", {}, (0, 0)
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind, chunk = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        assert zlib.crc32(kind + chunk) == int.from_bytes(data[position + 8 + length : position + 12 + length], "big")
        if kind == b"IHDR":
            size = int.from_bytes(chunk[4:8], "big"), int.from_bytes(chunk[:4], "big")
            assert chunk[8:10] == b"\x08\x02"
        elif kind == b"IDAT":
            body += chunk
        elif kind == b"tEXt":
            key, value = chunk.split(b"\0", 1)
            text[key.decode()] = value.decode("latin-1")
        elif kind == b"iTXt":
            key, value = chunk.split(b"\0\0\0\0\0", 1)
            text[key.decode()] = value.decode()
        position += 12 + length
    height, width = size
    rows = np.frombuffer(zlib.decompress(body), np.uint8).reshape(height, 1 + 3 * width)
    pixels = np.zeros((height, width * 3), np.uint8)
    for y in range(height):
        up = pixels[y - 1] if y else np.zeros(3 * width, np.uint8)
        for x in range(3 * width):
            left = int(pixels[y, x - 3]) if x >= 3 else 0
            corner = int(up[x - 3]) if x >= 3 else 0
            above = int(up[x])
            guess = left + above - corner
            paeth = min((abs(guess - left), 0, left), (abs(guess - above), 1, above), (abs(guess - corner), 2, corner))[2]
            filtered = (0, left, above, (left + above) // 2, paeth)[rows[y, 0]]
            pixels[y, x] = (int(rows[y, 1 + x]) + filtered) & 255
    return pixels.reshape(height, width, 3), text


def test_help_teaches(run):
    text = run("--help").stdout
    for word in ("EXAMPLES", "EXIT CODES", "generate", "run", "inspect", "tokenize", "bench", "version"):
        assert word in text
    for command in ("generate", "run", "inspect", "tokenize", "bench"):
        assert "EXAMPLE" in run(command, "--help").stdout


def test_generate_writes_the_picture_that_the_binding_makes(run, tmp_path, pipeline):
    result = run("generate", "ein Bär 🐻", "--steps", "3", "--seed", "5", "--output", "bear.png", "--negative", "dog")
    assert result.returncode == 0, result.stderr
    assert "bear.png" in result.stdout and "Steps   3" in result.stdout and "Try next" in result.stdout
    pixels, text = png(tmp_path / "bear.png")
    expected = pipeline("ein Bär 🐻", steps=3, seed=5, negative_prompt="dog").images[0]
    np.testing.assert_array_equal(pixels, expected)
    assert text["parameters"].startswith("ein Bär 🐻\nNegative prompt: dog\nSteps: 3, Sampler: ")
    assert "Seed: 5" in text["parameters"] and text["prompt"] == "ein Bär 🐻"


def test_generate_json_is_one_object(run, tmp_path):
    result = run(
        "generate", "a cat", "--steps", "2", "--seed", "5", "--count", "2", "--json", "--output", "cat.png",
        "--save-latents", "latents.npy", "--save-trajectory", "trajectory.npy", "--report", "report.json",
    )  # fmt: skip
    assert result.returncode == 0 and result.stderr == ""
    answer = json.loads(result.stdout)
    assert answer["status"] == "OK" and answer["images"] == ["cat-1.png", "cat-2.png"] and answer["seed"] == 5
    assert answer["report"] == json.loads((tmp_path / "report.json").read_text())
    latents, trajectory = np.load(tmp_path / "latents.npy"), np.load(tmp_path / "trajectory.npy")
    assert trajectory.shape == (2, *latents.shape) and latents.shape[0] == 2 and latents.dtype == np.float32
    np.testing.assert_array_equal(trajectory[-1], latents)
    assert all((tmp_path / name).exists() for name in answer["images"])


@pytest.mark.parametrize("dtype, order", [("<f4", "C"), ("<f8", "F"), ("<f2", "C")])
def test_generate_takes_latents_as_numpy_saves_them(run, tmp_path, pipeline, dtype, order):
    shape = pipeline("a cat", steps=1).latents.shape
    noise = np.asarray(np.random.default_rng(0).standard_normal(shape), dtype, order=order)
    np.save(tmp_path / "noise.npy", noise)
    result = run(
        "generate", "a cat", "--steps", "2", "--latents", "noise.npy", "--save-latents", "out.npy", "--scheduler", "euler")
    assert result.returncode == 0, result.stderr
    expected = pipeline("a cat", steps=2, latents=noise.astype(np.float32), scheduler="EulerDiscreteScheduler")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected.latents)


def test_generate_without_arguments_uses_the_bundled_model(run, tmp_path):
    result = run("generate")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "adadiff.png").exists() and "Denoising" in result.stderr


def test_quiet_is_quiet(run):
    assert run("generate", "a cat", "--steps", "1", "--quiet").stderr == ""


def truncated_npy(folder: pathlib.Path) -> None:
    np.save(folder / "broken.npy", np.zeros(100, np.float32))
    (folder / "broken.npy").write_bytes((folder / "broken.npy").read_bytes()[:-1])


@pytest.mark.parametrize(
    "arguments, code, status, word",
    [
        (["generate", "a", "--steps", "0"], 64, "OUT_OF_RANGE", "steps"),
        (["generate", "a", "--steps", "lots"], 64, None, "steps"),
        (["generate", "a", "--scheduler", "nope"], 64, "UNKNOWN_NAME", "DDIMScheduler"),
        (["generate", "a", "--option", "nope=1"], 64, "UNKNOWN_NAME", "nope"),
        (["generate", "a", "--option", "nope"], 64, "INVALID_ARGUMENT", "name=value"),
        (["generate", "a", "--count", "0"], 64, "OUT_OF_RANGE", "count"),
        (["generate", "a", "--no-such-flag"], 64, "INVALID_ARGUMENT", "no-such-flag"),
        (["generate", "--model", "absent"], 64, "INVALID_ARGUMENT", "prompt"),
        (["generate", "a", "--model", "absent"], 66, "NOT_FOUND", "absent"),
        (["generate", "a", "--latents", "absent.npy"], 66, "NOT_FOUND", "absent.npy"),
        (["generate", "a", "--latents", "broken.npy"], 65, "CORRUPT", "broken.npy"),
        (["generate", "a", "--output", "absent/a.png"], 66, "NOT_FOUND", "absent"),
        (["generate", "a", "--output", "."], 74, "IO", "folder"),
        (["generate", "a", "--report", "/proc/report.json"], 74, None, "report.json"),
        (["run", "absent.onnx", "--output-dir", "out"], 66, "NOT_FOUND", "absent.onnx"),
        (["run", "broken.npy", "--output-dir", "out"], 65, "CORRUPT", "broken.npy"),
        (["run", "broken.npy", "--output-dir", "out/deeper"], 66, "NOT_FOUND", "out/deeper"),
        (["inspect", "absent"], 66, "NOT_FOUND", "absent"),
        (["inspect", "."], 66, "NOT_FOUND", "ONNX"),
        (["tokenize", "a", "--model", "absent"], 66, "NOT_FOUND", "absent"),
        (["bench", "absent"], 66, "NOT_FOUND", "absent"),
        (["bench", "--runs", "0"], 64, "OUT_OF_RANGE", "runs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_failures_have_exit_codes_and_name_the_thing(run, tmp_path, arguments, code, status, word):
    truncated_npy(tmp_path)
    plain = run(*arguments)
    assert plain.returncode in ([code, 66] if status is None else [code]), plain.stderr
    assert word in plain.stderr and plain.stdout == ""
    answer = json.loads(run(*arguments, "--json").stdout)
    assert answer["exit_code"] == plain.returncode and word in answer["message"]
    assert status in (None, answer["status"])
    assert not (tmp_path / "adadiff.png").exists()


def test_ctrl_c_exits_with_130_and_leaves_no_picture(tmp_path, pipeline_folder):
    process = subprocess.Popen(
        [COMMAND, "generate", "a", "--steps", "900", "--count", "16", "--model", str(pipeline_folder)],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    # Lines appear once sampling runs.
    for line in process.stderr:
        if "Denoising" in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Cancelled" in errors
    assert not (tmp_path / "adadiff.png").exists()


def test_run_reads_and_writes_arrays(run, tmp_path):
    (tmp_path / "model.onnx").write_bytes(unary("Neg", shape=("a", "b")))
    x = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    np.save(tmp_path / "x.npy", x)
    result = run("run", "model.onnx", "--input", "x=x.npy", "--output-dir", "out", "--profile")
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "y.npy"), -x)
    assert "Neg" in result.stdout
    answer = json.loads(run("run", "model.onnx", "--input", "x=x.npy", "--output-dir", "out", "--json").stdout)
    assert answer["outputs"] == [{"name": "y", "type": "float32", "file": "out/y.npy", "shape": [2, 3]}]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"])
def test_run_takes_every_number_type_of_numpy(run, tmp_path, dtype):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    (tmp_path / "model.onnx").write_bytes(unary("Identity", kind))
    x = np.array([1, 0, 1]).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    assert run("run", "model.onnx", "--input", "x=x.npy", "--output-dir", "out").returncode == 0
    y = np.load(tmp_path / "out" / "y.npy")
    assert y.dtype == x.dtype and y.tolist() == x.tolist()


def test_inspect_shows_a_pipeline(run, pipeline_folder):
    result = run("inspect")
    assert result.returncode == 0, result.stdout + result.stderr
    for word in ("StableDiffusionPipeline", "unet", "Conv", "parameters", "memory", "supported"):
        assert word in result.stdout
    answer = json.loads(run("inspect", pipeline_folder, "--json").stdout)
    assert answer["supported"] is True and "unet" in answer["components"]
    assert all(model["nodes"] > 0 and model["parameters"] > 0 for model in answer["models"] if "policy" not in model["file"])


def test_inspect_estimates_memory_by_precision(run, pipeline_folder):
    answer = json.loads(run("inspect", pipeline_folder, "--precision", "bfloat16", "--json").stdout)
    sizes = answer["memory_bytes_by_precision"]
    assert sizes["int8"] <= sizes["bfloat16"] < sizes["float32"]
    assert answer["memory_bytes"] == sizes["bfloat16"]
    refused = run("inspect", pipeline_folder, "--precision", "fp8")
    assert refused.returncode != 0 and "bfloat16" in refused.stderr


def test_inspect_names_what_is_not_supported(run, tmp_path):
    (tmp_path / "model.onnx").write_bytes(unary("Frobnicate"))
    result = run("inspect", "model.onnx")
    assert result.returncode == 69 and "Frobnicate" in result.stdout and "'only'" in result.stdout
    answer = json.loads(run("inspect", "model.onnx", "--json").stdout)
    assert answer["status"] == "UNSUPPORTED" and answer["models"][0]["problems"][0]["operator"] == "Frobnicate"


def test_tokenize_equals_the_binding(run, pipeline):
    tokens = pipeline.tokenize("two cats")
    answer = json.loads(run("tokenize", "two cats", "--json").stdout)
    assert answer["token_ids"] == tokens["token_ids"].tolist()
    assert answer["input_ids"] == tokens["input_ids"][0].tolist()
    assert run("tokenize", "two cats").stdout.split() == [str(token) for token in answer["token_ids"]]


def test_bench_measures_pipelines_and_models(run, tmp_path):
    answer = json.loads(run("bench", "--steps", "2", "--runs", "2", "--json").stdout)
    assert len(answer["runs_ms"]) == 2 and answer["median_ms"] > 0
    (tmp_path / "model.onnx").write_bytes(unary("Neg", TensorProto.FLOAT16, ("batch", 3)))
    result = run("bench", "model.onnx", "--dim", "batch=5", "--runs", "3", "--profile")
    assert result.returncode == 0, result.stderr
    assert "[5, 3]" in result.stdout and "Median of 3" in result.stdout and "Neg" in result.stdout


UNET_SIZES = [f"--dim={size}" for size in ("batch_size=2", "height=16", "width=16", "steps=1", "sequence_length=8")]


def test_bench_compares_with_the_peak_and_draws(run, pipeline_folder, tmp_path):
    unet = f"{pipeline_folder}/unet/model.onnx"
    answer = json.loads(run("bench", unet, *UNET_SIZES, "--runs", "1", "--json", "--svg", "times.svg").stdout)
    assert 0 < answer["gflops"] < 2 * answer["peak_gflops"]
    operators = {entry["operator"] for entry in answer["report"]["operators"]}
    assert operators == {entry["operator"] for entry in answer["report"]["nodes"]}
    convolutions = [entry for entry in answer["report"]["nodes"] if "Conv" in entry["operator"]]
    assert convolutions and all(entry["kernel"] and entry["gflop"] > 0 for entry in convolutions)
    bars = ElementTree.parse(tmp_path / "times.svg").getroot().iter("{http://www.w3.org/2000/svg}rect")
    assert len(list(bars)) > len(operators)
    assert "of peak" in run("bench", unet, *UNET_SIZES, "--runs", "1", "--profile").stdout
    assert run("bench", "--svg", "times.svg").returncode == 64


def test_bench_tune_times_the_alternatives(run, pipeline_folder):
    unet = f"{pipeline_folder}/unet/model.onnx"
    layers = json.loads(run("bench", unet, *UNET_SIZES, "--tune", "--runs", "2", "--json").stdout)["layers"]
    assert layers
    for layer in layers:
        assert layer["chosen"] in {alternative["name"] for alternative in layer["alternatives"]}
        assert all(alternative["ms"] > 0 for alternative in layer["alternatives"])
    assert "verdict" in run("bench", unet, *UNET_SIZES, "--tune", "--runs", "1").stdout


def test_version_lists_what_is_known(run):
    assert adadiff.library_version() in run("version").stdout
    assert run("version", "--schedulers").stdout.split() == adadiff.schedulers()
    answer = json.loads(run("version", "--json", "--operators", "--options").stdout)
    assert answer["operators"] == adadiff.operators() and set(answer["options"]) == set(adadiff.options())
