"""Fixtures of the binding's tests: a small pipeline and small ONNX graphs made on the spot."""

from __future__ import annotations

import os
import pathlib

import onnx
import pytest
from onnx import TensorProto, helper

import adadiff

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def pipeline_folder() -> pathlib.Path:
    """A pipeline with random weights that runs in milliseconds; ADADIFF_TEST_PIPELINE names another."""
    return pathlib.Path(os.environ.get("ADADIFF_TEST_PIPELINE", ROOT / "Tests" / "Fixtures" / "tiny-sd"))


@pytest.fixture(scope="session")
def pipeline(pipeline_folder: pathlib.Path) -> adadiff.Pipeline:
    return adadiff.Pipeline(pipeline_folder)


def graph_bytes(nodes, inputs, outputs, *, opset: int = 17, initializers=()) -> bytes:
    """The bytes of a model; inputs and outputs are (name, ONNX type, shape)."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info(*value) for value in inputs],
        [helper.make_tensor_value_info(*value) for value in outputs],
        list(initializers),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9).SerializeToString()


def unary(operator: str, kind: int = TensorProto.FLOAT, shape=("n",), *, opset: int = 17) -> bytes:
    """A model of one node 'only': y = operator(x)."""
    node = helper.make_node(operator, ["x"], ["y"], name="only")
    return graph_bytes([node], [("x", kind, shape)], [("y", kind, shape)], opset=opset)


def slow_model(size: int = 256, repeats: int = 2000) -> bytes:
    """Runs for seconds: a chain of matrix products."""
    nodes = [helper.make_node("MatMul", [f"v{index}", "x"], [f"v{index + 1}"]) for index in range(repeats)]
    nodes.insert(0, helper.make_node("Identity", ["x"], ["v0"]))
    shape = [size, size]
    return graph_bytes(nodes, [("x", TensorProto.FLOAT, shape)], [(f"v{repeats}", TensorProto.FLOAT, shape)])


__all__ = ["ROOT", "graph_bytes", "onnx", "slow_model", "unary"]
