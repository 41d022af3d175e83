"""Makes networks of a few nodes that take their inputs in every form that exporters write.

    python Tests/Fixtures/network-forms/make_network_forms.py

Each predicts, for every element, timestep + 0 * sample + 0 * mean(features): a test sees which timestep arrived, and that
types and shapes fit. `guidance_embedding` predicts the sum of `timestep_cond`, `nan` divides zero by zero, `extra_input` wants
an input that no pipeline makes. Needs onnx, torch, diffusers.
"""

import json
import os

import onnx
import torch
from diffusers import LatentConsistencyModelPipeline
from onnx import TensorProto, helper

HERE = os.path.dirname(os.path.abspath(__file__))
FLOAT, HALF, DOUBLE, INT32, INT64 = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT32,
                                     TensorProto.INT64)
FEATURES = 32  # as the tiny pipeline


def network(name, timestep_type=FLOAT, timestep_shape=(), data_type=FLOAT, extra=None, divide=False, output="out_sample"):
    inputs = [helper.make_tensor_value_info("sample", data_type, ["batch", 4, "height", "width"]),
              helper.make_tensor_value_info("timestep", timestep_type, timestep_shape),
              helper.make_tensor_value_info("encoder_hidden_states", data_type, ["batch", "length", FEATURES])]
    nodes = [helper.make_node("Cast", ["timestep"], ["time"], to=data_type),
             helper.make_node("Reshape", ["time", "column"], ["spread"])]
    value = "spread"
    if extra == "timestep_cond":
        inputs.append(helper.make_tensor_value_info("timestep_cond", data_type, ["batch", 256]))
        nodes += [helper.make_node("ReduceSum", ["timestep_cond", "one"], ["sum"], keepdims=1),
                  helper.make_node("Reshape", ["sum", "column"], ["guidance"])]
        value = "guidance"
    elif extra:
        inputs.append(helper.make_tensor_value_info(extra, data_type, ["batch", 6]))
        nodes.append(helper.make_node("ReduceMax", [extra], ["unused"]))
    nodes += [helper.make_node("Mul", ["sample", "zero"], ["nothing"]),
              helper.make_node("ReduceMean", ["encoder_hidden_states"], ["mean"], keepdims=0),
              helper.make_node("Mul", ["mean", "zero"], ["neither"]),
              helper.make_node("Add", ["nothing", "neither"], ["sum_of_nothing"])]
    if divide:
        nodes.append(helper.make_node("Div", ["sum_of_nothing", "zero"], [output]))
    else:
        nodes.append(helper.make_node("Add", ["sum_of_nothing", value], [output]))
    constants = [helper.make_tensor("zero", data_type, [], [0.0]), helper.make_tensor("one", INT64, [1], [1]),
                 helper.make_tensor("column", INT64, [4], [-1, 1, 1, 1])]
    graph = helper.make_graph(
        nodes, name, inputs, [helper.make_tensor_value_info(output, data_type, ["batch", 4, "height", "width"])], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, f"{HERE}/{name}.onnx")


for name, element in [("float32", FLOAT), ("float16", HALF), ("float64", DOUBLE), ("int32", INT32), ("int64", INT64)]:
    network(f"timestep_{name}_scalar", element, [])
    network(f"timestep_{name}_one", element, [1])
    network(f"timestep_{name}_steps", element, ["steps"])
    network(f"timestep_{name}_batch", element, ["batch"])
network("half_network", HALF, [], data_type=HALF, output="noise_pred")
network("double_network", DOUBLE, [], data_type=DOUBLE)
network("nan", divide=True)
network("extra_input", extra="time_ids")
network("guidance_embedding", extra="timestep_cond")
embedding = LatentConsistencyModelPipeline.get_guidance_scale_embedding(None, torch.tensor([8.5 - 1]), embedding_dim=256)
with open(f"{HERE}/guidance_embedding.json", "w") as file:
    json.dump({"guidance_scale": 8.5, "sum": float(embedding.double().sum())}, file)
