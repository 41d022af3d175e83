"""Writes PyTorch modules as self-contained ONNX files with float16 weights and float32 arithmetic."""

import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
# Smaller tensors stay float32: they are shapes, scales and constants of the arithmetic.
HALF_ELEMENTS_MIN = 64


def store_weights_as_half(model):
    """Replaces each large float32 initializer by a float16 one and a Cast to float32."""
    graph, casts = model.graph, []
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < HALF_ELEMENTS_MIN:
            continue
        name, half_name = tensor.name, tensor.name + "_float16"
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), half_name))
        casts.append(helper.make_node("Cast", [half_name], [name], name=f"Cast_{name}", to=TensorProto.FLOAT))
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def export_onnx(module, inputs, path, input_names, output_names, dynamic_axes):
    """`inputs` are example tensors; every axis not in `dynamic_axes` is fixed to theirs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs),
            str(path),
            input_names=input_names,
            output_names=output_names,
            dynamic_axes=dynamic_axes,
            opset_version=OPSET,
            do_constant_folding=True,
            dynamo=False,
        )
    model = store_weights_as_half(onnx.load(str(path)))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
