"""Model: any ONNX graph on numpy arrays."""

from __future__ import annotations

import threading

import ml_dtypes
import numpy as np
import pytest
from conftest import graph_bytes, unary
from onnx import TensorProto, helper, numpy_helper

import adadiff

# ONNX type, numpy type, opset that allows it in Identity
TYPES = [
    (TensorProto.FLOAT, np.float32, 17), (TensorProto.UINT8, np.uint8, 17), (TensorProto.INT8, np.int8, 17),
    (TensorProto.UINT16, np.uint16, 17), (TensorProto.INT16, np.int16, 17), (TensorProto.INT32, np.int32, 17),
    (TensorProto.INT64, np.int64, 17), (TensorProto.BOOL, np.bool_, 17), (TensorProto.FLOAT16, np.float16, 17),
    (TensorProto.DOUBLE, np.float64, 17), (TensorProto.UINT32, np.uint32, 17), (TensorProto.UINT64, np.uint64, 17),
    (TensorProto.BFLOAT16, ml_dtypes.bfloat16, 17), (TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn, 21),
    (TensorProto.FLOAT8E4M3FNUZ, ml_dtypes.float8_e4m3fnuz, 21), (TensorProto.FLOAT8E5M2, ml_dtypes.float8_e5m2, 21),
    (TensorProto.FLOAT8E5M2FNUZ, ml_dtypes.float8_e5m2fnuz, 21), (TensorProto.UINT4, ml_dtypes.uint4, 21),
    (TensorProto.INT4, ml_dtypes.int4, 21), (TensorProto.FLOAT4E2M1, ml_dtypes.float4_e2m1fn, 23),
]  # fmt: skip


@pytest.mark.parametrize("kind, dtype, opset", TYPES, ids=lambda value: getattr(value, "__name__", None))
@pytest.mark.parametrize("count", [0, 1, 7])
def test_every_type_goes_in_and_comes_out(kind, dtype, opset, count):
    # 0, 1, −2 (or its like), … are exact in every type; 7 is odd, so packed types end within a byte.
    values = (np.arange(count) % 3 - (0 if np.dtype(dtype).name.startswith(("uint", "bool")) else 1)).astype(dtype)
    result = adadiff.Model(unary("Identity", kind, opset=opset)).run({"x": values})["y"]
    assert result.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(result.astype(np.float64), values.astype(np.float64))


def test_strings_go_in_and_come_out():
    values = np.array([["cat", "Bär"], ["", "猫"]], dtype=object)
    model = adadiff.Model(unary("Identity", TensorProto.STRING, ("a", "b")))
    assert model.run({"x": values})["y"].tolist() == values.tolist()
    assert model.run({"x": values.astype(str)})["y"].tolist() == values.tolist()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(12, dtype=np.float32)[::2].reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        np.arange(6, dtype=">f4").reshape(2, 3),
        np.zeros((0, 5), np.float32),
    ],
    ids=["transposed", "strided", "column-major", "big-endian", "empty"],
)
def test_every_layout_is_read_as_numpy_means_it(array):
    result = adadiff.Model(unary("Neg", shape=("a", "b"))).run({"x": array})["y"]
    assert result.shape == array.shape
    np.testing.assert_array_equal(result, -array)


def test_scalars_have_rank_zero():
    result = adadiff.Model(unary("Neg", shape=())).run({"x": np.float32(3)})["y"]
    assert result.shape == () and result == -3


def test_ports_tell_names_types_and_shapes():
    model = adadiff.Model(unary("Neg", TensorProto.FLOAT16, ("batch", 3, None)))
    assert model.inputs == [adadiff.Port("x", "float16", ("batch", 3, None))]
    assert [port.name for port in model.outputs] == ["y"]
    assert model.info["operators"] == {"Neg": 1}


def test_what_constant_inputs_give_is_computed_once():
    nodes = [
        helper.make_node("Relu", ["w"], ["v"]), helper.make_node("Neg", ["v"], ["n"]), helper.make_node("Add", ["x", "n"], ["y"]),
    ]  # fmt: skip
    graph = graph_bytes(nodes, [(name, TensorProto.FLOAT, ("n",)) for name in "xw"], [("y", TensorProto.FLOAT, ("n",))])
    model, plain = adadiff.Model(graph, constant_inputs=["w"]), adadiff.Model(graph)
    for x, w, ran in [(1, 5, 3), (2, 5, 1), (2, 7, 3), (3, 7, 1), (3, 5, 3)]:
        feed = {"x": np.array([x, -x], np.float32), "w": np.array([w, -w], np.float32)}
        result, report = model.profile(feed)
        np.testing.assert_array_equal(result["y"], plain.run(feed)["y"])
        assert sum(node["runs"] for node in report["operators"]) == ran, (x, w)


def test_what_repeated_inputs_give_is_computed_for_one_half():
    weights = helper.make_tensor("w", TensorProto.FLOAT, (2, 2), [1, 2, 3, 4])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "u"], ["y"])]
    ports = [(name, TensorProto.FLOAT, ("n", 2)) for name in "xuy"]
    graph = graph_bytes(nodes, ports[:2], ports[2:], initializers=[weights])
    model, plain = adadiff.Model(graph, repeated_inputs="x"), adadiff.Model(graph)
    for x, gflop in [([[1, 2], [1, 2]], 8e-9), ([[1, 2], [1, 3]], 16e-9)]:
        feed = {"x": np.array(x, np.float32), "u": np.arange(4, dtype=np.float32).reshape(2, 2)}
        result, report = model.profile(feed)
        np.testing.assert_array_equal(result["y"], plain.run(feed)["y"])
        assert sum(node["gflop"] for node in report["operators"]) == pytest.approx(gflop)
    with pytest.raises(adadiff.UnknownName, match="repeated_inputs.*'z'.*x, u"):
        adadiff.Model(graph, repeated_inputs=["z"])


def test_constant_inputs_are_inputs():
    with pytest.raises(adadiff.UnknownName, match="constant_inputs.*'w'.*x"):
        adadiff.Model(unary("Neg"), constant_inputs=["x", "w"])
    # One name is a name, not letters.
    with pytest.raises(adadiff.UnknownName, match="no input 'weights'"):
        adadiff.Model(unary("Neg"), constant_inputs="weights")


def test_outputs_can_be_selected_and_ordered():
    nodes = [helper.make_node("Neg", ["x"], ["a"]), helper.make_node("Abs", ["x"], ["b"])]
    ports = [(name, TensorProto.FLOAT, (2,)) for name in "xab"]
    model = adadiff.Model(graph_bytes(nodes, ports[:1], ports[1:]))
    x = np.array([-1, 2], np.float32)
    assert list(model.run({"x": x})) == ["a", "b"]
    assert list(model.run({"x": x}, ["b"])) == ["b"]
    assert list(model.run({"x": x}, ["b", "a"])) == ["b", "a"]


def test_files_with_external_data_are_read_from_their_folder(tmp_path):
    import onnx

    weight = numpy_helper.from_array(np.arange(4, dtype=np.float32), "w")
    data = graph_bytes(
        [helper.make_node("Add", ["x", "w"], ["y"])], [("x", TensorProto.FLOAT, (4,))], [("y", TensorProto.FLOAT, (4,))],
        initializers=[weight],
    )  # fmt: skip
    path = tmp_path / "model.onnx"
    onnx.save_model(
        onnx.load_from_string(data), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    x = np.ones(4, np.float32)
    np.testing.assert_array_equal(adadiff.Model(path).run({"x": x})["y"], [1, 2, 3, 4])
    in_memory = adadiff.Model(path.read_bytes(), folder=tmp_path)
    np.testing.assert_array_equal(in_memory.run({"x": x})["y"], [1, 2, 3, 4])
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(adadiff.NotFound, match="weights.bin"):
        adadiff.Model(path)


def test_profile_names_the_operators():
    _, report = adadiff.Model(unary("Neg")).profile({"x": np.zeros(3, np.float32)})
    assert report["milliseconds"] >= 0
    assert "Neg" in str(report["operators"])


def test_threads_may_share_a_model():
    model = adadiff.Model(unary("Neg"))
    failures = []

    def work(value: int) -> None:
        for _ in range(50):
            if not (model.run({"x": np.full(1000, value, np.float32)})["y"] == -value).all():
                failures.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_what_a_run_returns_is_independent_of_the_model():
    model = adadiff.Model(unary("Neg"))
    result = model.run({"x": np.ones(3, np.float32)})["y"]
    del model
    result += 1
    assert result.tolist() == [0, 0, 0]


@pytest.mark.parametrize("precision, error", [("float32", 0), ("bfloat16", 1e-2), ("int8", 3e-2)])
def test_precision_of_a_model(precision, error):
    # Roundings of 2^-9, of 1/254 of the largest number of a row in the middle one, over three products.
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.standard_normal((128, 128)).astype(np.float32), f"w{i}") for i in range(3)]
    nodes = [helper.make_node("MatMul", ["x" if i == 0 else f"p{i - 1}", f"w{i}"], ["y" if i == 2 else f"p{i}"]) for i in range(3)]
    data = graph_bytes(nodes, [("x", TensorProto.FLOAT, ("n", 128))], [("y", TensorProto.FLOAT, ("n", 128))], initializers=weights)
    x = rng.standard_normal((5, 128)).astype(np.float32)
    model = adadiff.Model(data, precision=precision)
    y, full = model.run({"x": x})["y"], adadiff.Model(data).run({"x": x})["y"]
    assert model.info["precision"] == precision
    assert np.linalg.norm(y - full) <= error * np.linalg.norm(full)
    assert precision == "float32" or (y != full).any()
