"""Every failure is an exception with a status, and the library goes on."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from conftest import graph_bytes, unary
from onnx import TensorProto, helper

import adadiff


def test_statuses_are_those_of_the_header():
    from conftest import ROOT

    header = (ROOT / "include" / "adadiff.h").read_text()
    for status in adadiff.Status:
        assert f"ADADIFF_{status.name} = {status.value}" in header, status
    assert header.count("  ADADIFF_INTERNAL = 15") == 1


def test_missing_files_are_also_the_builtin_exception(tmp_path):
    for call in (adadiff.Model, adadiff.Pipeline):
        with pytest.raises(FileNotFoundError) as caught:
            call(tmp_path / "absent")
        assert isinstance(caught.value, adadiff.NotFound)
        assert caught.value.status == adadiff.Status.NOT_FOUND
        assert "absent" in str(caught.value)


def test_an_unknown_operator_names_node_and_operator():
    node = helper.make_node("Frobnicate", ["x"], ["y"], name="the_node")
    model = graph_bytes([node], [("x", TensorProto.FLOAT, (1,))], [("y", TensorProto.FLOAT, (1,))])
    with pytest.raises(adadiff.Unsupported) as caught:
        adadiff.Model(model)
    assert caught.value.node == "the_node"
    assert "Frobnicate" in (caught.value.operator or "")


@pytest.mark.parametrize("size", [0, 1, 10, 50])
def test_truncated_models_are_refused(size):
    with pytest.raises(adadiff.Corrupt if size else adadiff.InvalidArgument):
        adadiff.Model(unary("Neg")[:size])


@pytest.mark.parametrize(
    "inputs, kind",
    [
        ({}, adadiff.InvalidArgument),
        ({"z": np.zeros(3, np.float32)}, (adadiff.UnknownName, adadiff.InvalidArgument)),
        ({"x": np.zeros(3, np.float64)}, adadiff.TypeMismatch),
        ({"x": np.zeros((3, 1), np.float32)}, adadiff.ShapeMismatch),
        ({"x": np.zeros(4, np.float32)}, adadiff.ShapeMismatch),
        ({"x": np.zeros(3, "datetime64[s]")}, adadiff.TypeMismatch),
        ({"x": np.array([object()] * 3)}, adadiff.TypeMismatch),
        ({"x\0": np.zeros(3, np.float32)}, adadiff.InvalidArgument),
        ({3: np.zeros(3, np.float32)}, adadiff.InvalidArgument),
    ],
)
def test_wrong_inputs_are_refused_and_the_model_stays_usable(inputs, kind):
    model = adadiff.Model(unary("Neg", shape=(3,)))
    with pytest.raises(kind):
        model.run(inputs)
    assert model.run({"x": np.ones(3, np.float32)})["y"].tolist() == [-1, -1, -1]


def test_unknown_outputs_are_refused():
    with pytest.raises(adadiff.UnknownName, match="nope"):
        adadiff.Model(unary("Neg")).run({"x": np.ones(3, np.float32)}, ["nope"])


@pytest.mark.parametrize(
    "options, kind",
    [
        ({"steps": 0}, adadiff.OutOfRange),
        ({"steps": -1}, adadiff.OutOfRange),
        ({"steps": 2**70}, adadiff.TypeMismatch),
        ({"steps": "many"}, (adadiff.TypeMismatch, adadiff.InvalidArgument)),
        ({"steps": object()}, adadiff.TypeMismatch),
        ({"count": 0}, adadiff.OutOfRange),
        ({"guidance_scale": float("nan")}, (adadiff.NotFinite, adadiff.OutOfRange, adadiff.InvalidArgument)),
        ({"scheduler": "NoSuchScheduler"}, adadiff.UnknownName),
        ({"no_such_option": 1}, adadiff.UnknownName),
        ({"latents": np.zeros((1, 1, 1, 1), np.float32)}, adadiff.ShapeMismatch),
        ({"latents": np.zeros((2,) * 9, np.float32)}, adadiff.Error),
        ({"negative_prompt": "a\0b"}, adadiff.InvalidArgument),
    ],
)
def test_wrong_options_are_refused_and_the_pipeline_stays_usable(pipeline, options, kind):
    with pytest.raises(kind):
        pipeline("a cat", **{"steps": 2, **options})
    assert len(pipeline("a cat", steps=1).images) == 1


@pytest.mark.parametrize("prompt", ["a\0b", "\ud800"])
def test_prompts_that_are_no_text_are_refused(pipeline, prompt):
    with pytest.raises(adadiff.InvalidArgument):
        pipeline(prompt, steps=1)


@pytest.mark.filterwarnings("ignore:.*the model sees the first")
@pytest.mark.parametrize("prompt", ["", "word " * 20_000, "猫" * 200, "\u0007\u200d🐈‍⬛"])
def test_any_text_is_a_prompt(pipeline, prompt):
    assert len(pipeline(prompt, steps=1, seed=1).images) == 1


def test_a_result_that_cannot_be_written_says_where(pipeline, tmp_path):
    result = pipeline("a cat", steps=1)
    with pytest.raises(adadiff.Error, match="missing"):
        result.save(tmp_path / "missing" / "picture.png")
    with pytest.raises(adadiff.OutOfRange):
        result.save(tmp_path / "picture.png", index=1)


def test_a_library_that_cannot_be_loaded_is_an_import_error(tmp_path):
    program = "import adadiff"
    run = subprocess.run(
        [sys.executable, "-c", program], env={"ADADIFF_LIBRARY": str(tmp_path / "absent.so")}, capture_output=True, text=True
    )
    assert run.returncode == 1 and "ADADIFF_LIBRARY" in run.stderr and "ImportError" in run.stderr
