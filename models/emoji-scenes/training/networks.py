"""The text encoder and the UNet, and the noise schedule that both training and sampling use."""

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from autoencoder import LATENT_CHANNELS
from fused_group_norm import fuse
from tokenizer import MAX_LENGTH

LATENT_SIZE = 12
TEXT_WIDTH = 128
HEAD_WIDTH = 32

# Stable Diffusion's own noise schedule, with trailing timesteps (Lin et al. 2024, arXiv 2305.08891). The leading ones that
# diffusers takes by default begin at 901 of 1000 with ten steps, where a picture already shows through the noise.
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "steps_offset": 0,
    "set_alpha_to_one": False,
    "clip_sample": False,
}


def make_scheduler():
    return DDIMScheduler(**SCHEDULER)


def make_text_encoder(vocabulary_size):
    """Start and end tokens are the last two of the vocabulary."""
    configuration = CLIPTextConfig(
        vocab_size=vocabulary_size,
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=TEXT_WIDTH // HEAD_WIDTH,
        max_position_embeddings=MAX_LENGTH,
        bos_token_id=vocabulary_size - 2,
        eos_token_id=vocabulary_size - 1,
        pad_token_id=vocabulary_size - 1,
        projection_dim=TEXT_WIDTH,
    )
    configuration._attn_implementation = "eager"
    return CLIPTextModel(configuration)


def make_unet(widths=(128, 160), attention=(True, True)):
    """`attention` says which resolutions have cross-attention; the middle always has."""
    unet = UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=widths,
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        down_block_types=tuple("CrossAttnDownBlock2D" if a else "DownBlock2D" for a in attention),
        up_block_types=tuple("CrossAttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
        attention_head_dim=tuple(width // HEAD_WIDTH for width in widths),
        norm_num_groups=16,
        use_linear_projection=True,
    )
    unet.set_attn_processor(AttnProcessor())
    return unet


class Diffusion(nn.Module):
    """Text encoder and UNet, trained together."""

    def __init__(self, vocabulary_size, fused=True):
        super().__init__()
        self.text_encoder = make_text_encoder(vocabulary_size)
        self.unet = fuse(make_unet()) if fused else make_unet()

    def encode_text(self, ids):
        return self.text_encoder(input_ids=ids).last_hidden_state

    def forward(self, latents, timesteps, ids):
        return self.unet(latents, timesteps, self.encode_text(ids)).sample


def start_from(model, state):
    """Loads weights of a model that had fewer attention blocks; new ones begin by adding nothing to what passes them."""
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or not all(".attentions." in name for name in missing):
        raise SystemExit(f"not weights of such a model: {unexpected or missing}")
    with torch.no_grad():
        for name in missing:
            if ".proj_out." in name:
                model.get_parameter(name).zero_()


def load_diffusion(path, vocabulary_size, fused=True, device="cpu"):
    """The averaged weights of a checkpoint of `train_diffusion.py`."""
    model = Diffusion(vocabulary_size, fused)
    model.load_state_dict(torch.load(path, map_location=device)["average"])
    return model.to(device).eval().requires_grad_(False)
