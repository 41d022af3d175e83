"""Write small networks with random weights as ONNX backend test cases: model.onnx and test_data_set_0/{input,output}_N.pb.

Every network is the family's own code (diffusers, transformers) in a tiny configuration, exported by torch's exporter; the
expected outputs are ONNX Runtime's. Test cases of the engine, in the repository because CI has no Python of this size.

    python make_models.py OUT [NAME ...] [--width 8]

`--width` scales all channels: 8 gives the stored cases (each below 200 KB), 64 gives networks worth timing.
"""
import argparse
import os
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import CLIPTextConfig, CLIPTextModel

warnings.filterwarnings("ignore")


class Wrapped(torch.nn.Module):
    """A network with a fixed list of inputs and one output."""

    def __init__(self, model, call):
        super().__init__()
        self.model, self.call = model, call

    def forward(self, *inputs):
        return self.call(self.model, *inputs)


def unet(width, processor=None, **changes):
    options = dict(
        sample_size=8, in_channels=4, out_channels=4, layers_per_block=1, norm_num_groups=4,
        block_out_channels=(width, 2 * width), cross_attention_dim=2 * width, attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"))
    model = UNet2DConditionModel(**{**options, **changes})
    if processor:
        model.set_attn_processor(processor)
    return model


def call_unet(model, sample, timestep, states):
    return model(sample, timestep, states, return_dict=False)[0]


def unet_inputs(width):
    return dict(sample=torch.randn(2, 4, 8, 8), timestep=torch.tensor([500.0]),
                encoder_hidden_states=torch.randn(2, 7, 2 * width))


UNET_AXES = {"sample": {0: "batch", 2: "height", 3: "width"}, "encoder_hidden_states": {0: "batch", 1: "sequence"}}


def sd15(width):
    return Wrapped(unet(width), call_unet), unet_inputs(width), UNET_AXES, 17


def sd15_opset14(width):
    return Wrapped(unet(width), call_unet), unet_inputs(width), UNET_AXES, 14


def sd21(width):
    """Linear projections and the attention that SD-2.1 exports with (batch·heads merged)."""
    model = unet(width, AttnProcessor(), use_linear_projection=True, attention_head_dim=(2, 4))
    return Wrapped(model, call_unet), unet_inputs(width), UNET_AXES, 17


def sdxl(width):
    """Two text encoders' pooled states and the picture's size as additional embeddings, deeper transformers."""
    model = unet(
        width, use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=4,
        projection_class_embeddings_input_dim=4 * 6 + width, transformer_layers_per_block=(1, 2),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))

    def call(model, sample, timestep, states, text_embeds, time_ids):
        return model(sample, timestep, states, added_cond_kwargs=dict(text_embeds=text_embeds, time_ids=time_ids),
                     return_dict=False)[0]

    inputs = unet_inputs(width) | dict(text_embeds=torch.randn(2, width), time_ids=torch.randn(2, 6) * 100)
    axes = UNET_AXES | {"text_embeds": {0: "batch"}, "time_ids": {0: "batch"}}
    return Wrapped(model, call), inputs, axes, 17


def vae(width):
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(width, width), layers_per_block=1, latent_channels=4, sample_size=16, norm_num_groups=4)


def vae_decoder(width):
    model = vae(width)
    model.set_attn_processor(AttnProcessor())
    axes = {"latent_sample": {0: "batch", 2: "height", 3: "width"}}
    return (Wrapped(model, lambda m, x: m.decode(x, return_dict=False)[0]),
            dict(latent_sample=torch.randn(1, 4, 8, 8)), axes, 17)


def vae_encoder(width):
    axes = {"sample": {0: "batch", 2: "height", 3: "width"}}
    return (Wrapped(vae(width), lambda m, x: m.encode(x).latent_dist.parameters),
            dict(sample=torch.randn(1, 3, 16, 16)), axes, 17)


def text(width, activation, attention):
    config = CLIPTextConfig(
        vocab_size=100, hidden_size=4 * width, intermediate_size=8 * width, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=16, hidden_act=activation, attn_implementation=attention, eos_token_id=99,
        bos_token_id=98, pad_token_id=0)
    ids = torch.randint(1, 98, (2, 12))
    ids[:, -1] = 99
    return (Wrapped(CLIPTextModel(config), lambda m, x: m(x, return_dict=False)[0]), dict(input_ids=ids),
            {"input_ids": {0: "batch", 1: "sequence"}}, 17)


def clip_text(width):
    return text(width, "quick_gelu", "eager")


def clip_text_gelu(width):
    return text(width, "gelu", "sdpa")


class Scripted(torch.nn.Module):
    """Control flow on data, which the exporter writes as If and Loop."""

    def forward(self, x: torch.Tensor, count: torch.Tensor):
        total = torch.zeros_like(x)
        for i in range(int(count)):
            total = total + x * i
            if bool(total.sum() > 10.0):
                total = total - x.relu()
        return total


def control_flow(width):
    return torch.jit.script(Scripted()), dict(x=torch.randn(2, width), count=torch.tensor(7)), {"x": {0: "batch"}}, 17


def vae_decoder_half(width):
    module, inputs, axes, opset = vae_decoder(width)
    return module.half(), {key: value.half() for key, value in inputs.items()}, axes, opset


def sd15_dynamo(width):
    """torch's newer exporter."""
    return Wrapped(unet(width), call_unet), unet_inputs(width), None, 18


CASES = dict(sd15=sd15, sd15_opset14=sd15_opset14, sd21=sd21, sdxl=sdxl, vae_decoder=vae_decoder,
             vae_encoder=vae_encoder, clip_text=clip_text, clip_text_gelu=clip_text_gelu,
             control_flow=control_flow, sd15_dynamo=sd15_dynamo, vae_decoder_half=vae_decoder_half)
# Made from another case by ONNX Runtime's own quantiser.
QUANTIZED = dict(clip_text_int8="clip_text")


def randomize(model):
    """Weights that make every part matter: norms and biases away from their neutral start."""
    for name, value in model.named_parameters():
        if value.ndim == 1:
            value.data = torch.randn_like(value) * 0.2 + (1 if "weight" in name else 0)


def write(folder, name, case, width):
    torch.manual_seed(0)
    module, inputs, axes, opset = case(width)
    module.eval()
    randomize(module)
    path = os.path.join(folder, name, "model.onnx")
    data = os.path.join(folder, name, "test_data_set_0")
    os.makedirs(data, exist_ok=True)
    with torch.no_grad():
        torch.onnx.export(module, tuple(inputs.values()), path, input_names=list(inputs), output_names=["output"],
                          opset_version=opset, dynamo=name.endswith("_dynamo"),
                          dynamic_axes=None if name.endswith("_dynamo") else axes)
    model = onnx.load(path)
    if not any(attribute.HasField("g") for node in model.graph.node for attribute in node.attribute):
        shorten(model.graph)
    onnx.save(model, path)
    store(data, path, {key: value.numpy() for key, value in inputs.items()})
    print(name, len(model.graph.node), "nodes", os.path.getsize(path) // 1024, "KiB")


def shorten(graph):
    """Numbers instead of the exporter's long names, which are most of a small file."""
    kept = {value.name for value in list(graph.input) + list(graph.output)} | {""}
    names = {}

    def short(name):
        return name if name in kept else names.setdefault(name, str(len(names)))

    for tensor in graph.initializer:
        tensor.name = short(tensor.name)
        tensor.ClearField("doc_string")
    for number, node in enumerate(graph.node):
        node.ClearField("doc_string")
        del node.metadata_props[:]
        node.name = f"n{number}"
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
    del graph.value_info[:]


def store(data, path, feed):
    """Inputs and ONNX Runtime's outputs."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for index, entry in enumerate(session.get_inputs()):
        save(os.path.join(data, f"input_{index}.pb"), feed[entry.name])
    for index, value in enumerate(session.run(None, feed)):
        save(os.path.join(data, f"output_{index}.pb"), value)


def save(path, array):
    with open(path, "wb") as file:
        file.write(numpy_helper.from_array(np.array(array, order="C")).SerializeToString())


def write_quantized(folder, name, source):
    path = os.path.join(folder, name, "model.onnx")
    data = os.path.join(folder, name, "test_data_set_0")
    os.makedirs(data, exist_ok=True)
    quantize_dynamic(os.path.join(folder, source, "model.onnx"), path, weight_type=QuantType.QUInt8)
    feed = {}
    for index, entry in enumerate(onnxruntime.InferenceSession(path).get_inputs()):
        tensor = onnx.TensorProto()
        with open(os.path.join(folder, source, "test_data_set_0", f"input_{index}.pb"), "rb") as file:
            tensor.ParseFromString(file.read())
        feed[entry.name] = numpy_helper.to_array(tensor)
    store(data, path, feed)
    print(name, os.path.getsize(path) // 1024, "KiB")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("out")
    arguments.add_argument("names", nargs="*")
    arguments.add_argument("--width", type=int, default=8)
    arguments = arguments.parse_args()
    for wanted in arguments.names or [*CASES, *QUANTIZED]:
        if wanted in QUANTIZED:
            write_quantized(arguments.out, wanted, QUANTIZED[wanted])
        else:
            write(arguments.out, wanted, CASES[wanted], arguments.width)
