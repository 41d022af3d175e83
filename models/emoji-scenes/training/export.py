"""Writes the trained networks in the layout of `optimum-cli export onnx`."""

import argparse
import json
import shutil
from pathlib import Path

import diffusers
import torch
from torch import nn

from autoencoder import LATENT_CHANNELS, Autoencoder
from backgrounds import SIZE
from networks import LATENT_SIZE, SCHEDULER, TEXT_WIDTH, Diffusion, load_diffusion
from onnx_files import export_onnx
from reward import load_reward
from tokenizer import MAX_LENGTH, load_tokenizer

PIXELS_PER_LATENT = SIZE // LATENT_SIZE


class TextEncoder(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids):
        output = self.model(input_ids=input_ids)
        return output.last_hidden_state, output.pooler_output


class Denoiser(nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class Decoder(nn.Module):
    """Latents to pixels; depth-to-space is written as reshape and transpose."""

    def __init__(self, autoencoder):
        super().__init__()
        self.decoder, self.post_quant_conv = autoencoder.kl.decoder, autoencoder.kl.post_quant_conv
        self.patch = autoencoder.patch

    def forward(self, latent_sample):
        x, patch = self.decoder(self.post_quant_conv(latent_sample)), self.patch
        batch, height, width = x.shape[0], x.shape[2], x.shape[3]
        x = x.reshape(batch, 3, patch, patch, height, width).permute(0, 1, 4, 2, 5, 3)
        return x.reshape(batch, 3, height * patch, width * patch)


def write_json(value, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def export_text_encoder(model, folder):
    ids = torch.zeros(2, MAX_LENGTH, dtype=torch.long)
    ids[:, 3:] = model.config.eos_token_id
    axes = {name: {0: "batch"} for name in ("input_ids", "last_hidden_state", "pooler_output")}
    axes["input_ids"][1] = axes["last_hidden_state"][1] = "sequence"
    export_onnx(TextEncoder(model), [ids], folder / "model.onnx", ["input_ids"],
                ["last_hidden_state", "pooler_output"], axes)
    write_json({"architectures": ["CLIPTextModel"], **model.config.to_diff_dict(),
                "max_position_embeddings": MAX_LENGTH, "hidden_size": TEXT_WIDTH}, folder / "config.json")


def export_unet(unet, folder):
    inputs = [
        torch.randn(2, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE),
        torch.tensor(1, dtype=torch.long),
        torch.randn(2, MAX_LENGTH, TEXT_WIDTH),
    ]
    axes = {
        "sample": {0: "batch", 2: "height", 3: "width"},
        "encoder_hidden_states": {0: "batch", 1: "sequence"},
        "out_sample": {0: "batch", 2: "height", 3: "width"},
    }
    export_onnx(Denoiser(unet), inputs, folder / "model.onnx",
                ["sample", "timestep", "encoder_hidden_states"], ["out_sample"], axes)
    write_json({"_class_name": "UNet2DConditionModel", **public(unet.config)}, folder / "config.json")


def public(configuration):
    return {key: value for key, value in configuration.items() if not key.startswith("_")}


def export_decoder(autoencoder, folder):
    axes = {
        "latent_sample": {0: "batch", 2: "height", 3: "width"},
        "sample": {0: "batch", 2: "height", 3: "width"},
    }
    latents = torch.randn(2, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE)
    export_onnx(Decoder(autoencoder), [latents], folder / "model.onnx", ["latent_sample"], ["sample"], axes)
    configuration = public(autoencoder.kl.config)
    # The scale of a pipeline is 2 ** (levels - 1): space-to-depth, with 12 channels, counts as the first level.
    widths = (3 * autoencoder.patch**2, *configuration["block_out_channels"])
    configuration.update(in_channels=3, out_channels=3, sample_size=SIZE, scaling_factor=1.0, block_out_channels=widths)
    write_json({"_class_name": "AutoencoderKL", **configuration}, folder / "config.json")


def export_reward(reward, folder):
    inputs = [torch.randn(2, 3, SIZE, SIZE), torch.zeros(2, MAX_LENGTH, dtype=torch.long)]
    axes = {"pixel_values": {0: "batch"}, "input_ids": {0: "batch", 1: "sequence"}, "reward": {0: "batch"}}
    export_onnx(reward, inputs, folder / "model.onnx", ["pixel_values", "input_ids"], ["reward"], axes)


def write_index(folder):
    version = diffusers.__version__
    write_json(
        {
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": version,
            "feature_extractor": [None, None],
            "requires_safety_checker": False,
            "safety_checker": [None, None],
            "scheduler": ["diffusers", "DDIMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
        folder / "model_index.json",
    )
    scheduler = {"_class_name": "DDIMScheduler", "_diffusers_version": version, **SCHEDULER}
    write_json(scheduler, folder / "scheduler" / "scheduler_config.json")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, help="file of encode_latents.py; random weights without it")
    parser.add_argument("--diffusion", type=Path, help="checkpoint of train_diffusion.py; random without it")
    parser.add_argument("--reward", type=Path, help="checkpoint of reward.py; left out without it")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    vocabulary_size = len(load_tokenizer(arguments.tokenizer))
    autoencoder = Autoencoder()
    if arguments.autoencoder:
        state = torch.load(arguments.autoencoder, map_location="cpu")
        autoencoder.load_state_dict(state.get("average", state))
    if arguments.diffusion:
        diffusion = load_diffusion(arguments.diffusion, vocabulary_size, fused=False)
    else:
        diffusion = Diffusion(vocabulary_size, fused=False)
    export_text_encoder(diffusion.text_encoder, arguments.out / "text_encoder")
    export_unet(diffusion.unet, arguments.out / "unet")
    export_decoder(autoencoder, arguments.out / "vae_decoder")
    if arguments.reward:
        export_reward(load_reward(arguments.reward, vocabulary_size, fused=False), arguments.out / "reward")
    write_index(arguments.out)
    if arguments.tokenizer.resolve() != (arguments.out / "tokenizer").resolve():
        shutil.copytree(arguments.tokenizer, arguments.out / "tokenizer", dirs_exist_ok=True)


if __name__ == "__main__":
    main()
