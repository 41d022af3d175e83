"""Restores the shipped networks from their ONNX files, as checkpoints that the other scripts start from.

Writes `diffusion.pt`, `decoder.pt` and `reward.pt` into --out. Exporters rename and transpose weights, so each network is
exported once with distinct random weights: where a random weight ends up is where the shipped one is read.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from autoencoder import Autoencoder
from export import export_decoder, export_reward, export_text_encoder, export_unet
from networks import Diffusion
from reward import Reward
from tokenizer import load_tokenizer


def initializers(path):
    """Arrays of a file in its order, as float32; shapes and other integers left out."""
    arrays = [numpy_helper.to_array(tensor) for tensor in onnx.load(str(path)).graph.initializer]
    return [array.astype(np.float32) for array in arrays if array.dtype in (np.float16, np.float32)]


def fingerprint(array):
    """Equal for an array and its transpose; the values have passed through float16."""
    return array.size, float(np.sort(array.ravel())[array.size // 2]), float(array.max()), float(array.min())


def place(array, shape):
    """The exported array in the parameter's shape: as it is, with other dimensions of 1, or transposed."""
    return array.T.reshape(shape) if array.ndim == 2 and array.shape == tuple(shape)[::-1] else array.reshape(shape)


def restore(module, export, shipped, unexported=()):
    """Fills `module` from the file `shipped`, which `export(module, folder)` has written once.

    Parameters whose names begin with one of `unexported` are in no file and stay random.
    """
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape).half())
        export(module, Path(folder))
        marked = initializers(Path(folder) / "model.onnx")
    found = initializers(shipped)
    if [array.shape for array in marked] != [array.shape for array in found]:
        raise SystemExit(f"{shipped} holds another network: {len(found)} weights, not {len(marked)}")
    places = {fingerprint(array): index for index, array in enumerate(marked)}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.startswith(unexported):
                continue
            index = places.get(fingerprint(parameter.numpy()))
            if index is None:
                raise SystemExit(f"{shipped}: {name} is not found")
            # A square matrix looks the same transposed: the marked values tell.
            array = found[index]
            if not np.array_equal(place(marked[index], parameter.shape), parameter.numpy()):
                array = array.T
            parameter.copy_(torch.from_numpy(place(array, parameter.shape).copy()))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the shipped folder")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    vocabulary_size = len(load_tokenizer(arguments.model / "tokenizer"))
    diffusion = Diffusion(vocabulary_size, fused=False)
    restore(diffusion.text_encoder, export_text_encoder, arguments.model / "text_encoder" / "model.onnx")
    restore(diffusion.unet, export_unet, arguments.model / "unet" / "model.onnx")
    torch.save({"average": diffusion.state_dict()}, arguments.out / "diffusion.pt")
    autoencoder = Autoencoder()
    autoencoder.kl.encoder, autoencoder.kl.quant_conv = torch.nn.Identity(), torch.nn.Identity()
    restore(autoencoder, export_decoder, arguments.model / "vae_decoder" / "model.onnx")
    torch.save({"average": autoencoder.state_dict()}, arguments.out / "decoder.pt")
    reward = Reward(vocabulary_size)
    # The side task of its training is not part of the exported reward.
    restore(reward, export_reward, arguments.model / "reward" / "model.onnx", ("objects.",))
    torch.save({"average": reward.state_dict()}, arguments.out / "reward.pt")


if __name__ == "__main__":
    main()
