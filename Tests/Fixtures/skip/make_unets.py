"""The UNets of SD-1.5 and of LDM-4-G (ImageNet 256) as graphs without weights, for counting operations.

Every weight is a ConstantOfShape of its shape, so that the files hold structure only. Needs torch, diffusers and onnx.
Usage: python make_unets.py (writes sd15.onnx and ldm4.onnx beside itself)
"""

import io
from pathlib import Path

import onnx
import torch
from diffusers import UNet2DConditionModel
from onnx import TensorProto, helper

configurations = {
    "sd15": dict(cross_attention_dim=768, attention_head_dim=8),
    # CompVis latent-diffusion configs/latent-diffusion/cin-ldm-vq-f8 family: model_channels 192, mult 1 2 3 5.
    "ldm4": dict(
        in_channels=3, out_channels=3, block_out_channels=(192, 384, 576, 960), cross_attention_dim=512,
        attention_head_dim=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    ),
}


class Network(torch.nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, states):
        return self.unet(sample, timestep, states, return_dict=False)[0]


for name, configuration in configurations.items():
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, **configuration)
    unet = unet.to_empty(device="cpu").eval()
    unet.set_attn_processor(__import__("diffusers").models.attention_processor.AttnProcessor())
    channels = unet.config.in_channels
    inputs = (torch.zeros(1, channels, 8, 8), torch.tensor(1), torch.zeros(1, 4, configuration["cross_attention_dim"]))
    file = io.BytesIO()
    torch.onnx.export(
        Network(unet), inputs, file, export_params=False, do_constant_folding=False, dynamo=False, opset_version=17,
        input_names=["sample", "timestep", "encoder_hidden_states"], output_names=["out_sample"],
        dynamic_axes={
            "sample": {0: "batch", 2: "height", 3: "width"}, "encoder_hidden_states": {0: "batch", 1: "length"},
            "out_sample": {0: "batch", 2: "height", 3: "width"},
        },
    )
    model = onnx.load_from_string(file.getvalue())
    graph = model.graph
    data = {"sample", "timestep", "encoder_hidden_states"}
    weights = [value for value in graph.input if value.name not in data]
    nodes = []
    for value in weights:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        graph.initializer.append(helper.make_tensor(value.name + ".s", TensorProto.INT64, [len(shape)], shape))
        nodes.append(helper.make_node("ConstantOfShape", [value.name + ".s"], [value.name]))
    kept = [value for value in graph.input if value.name in data]
    del graph.input[:]
    graph.input.extend(kept)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes + rest)
    del graph.value_info[:]
    short = {}
    for node in graph.node:
        node.ClearField("doc_string")
        node.ClearField("name")
        for names in (node.input, node.output):
            for index, value in enumerate(names):
                if value and value not in data and value != "out_sample":
                    names[index] = short.setdefault(value, format(len(short), "x"))
    for tensor in graph.initializer:
        tensor.name = short.setdefault(tensor.name, format(len(short), "x"))
    onnx.save(model, Path(__file__).with_name(name + ".onnx"))
    print(name, len(graph.node), "nodes")
