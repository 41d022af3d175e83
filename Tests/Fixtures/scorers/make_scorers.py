"""Small models with random weights and the interfaces of ImageReward and GPT-2, with what PyTorch and Hugging Face's
tokenizers make of them.

Run with torch, transformers (5), tokenizers (0.23), onnx, onnxruntime and Pillow: python make_scorers.py
Writes imagereward/, language-model/ and expected.json beside itself.
"""

import io
import json
import math
import pathlib

import numpy as np
import onnxruntime
import torch
from PIL import Image
from tokenizers import ByteLevelBPETokenizer
from torch import nn
from transformers import BertTokenizer, BlipTextConfig, BlipVisionConfig, BlipVisionModel, GPT2TokenizerFast
from transformers.models.blip.modeling_blip_text import BlipTextModel

HERE = pathlib.Path(__file__).parent
PROMPTS = ["a cat", "Two Cats, a dog and the tree!", "a painting of an ocean with clouds and birds, day time, low depth field effect", "it's  don't\n\tcafé 42 — 猫 🙂"]
PIECES = """a an and at of on the with in two three four red blue green cat cats dog tree ocean cloud bird day time low depth
field effect painting small very it don t ' , . ! ? - ##s ##e ##d ##ing ##t ##n ##r c d e f n o r s 4 ##2""".split()
CORPUS = """two cats and a tree on a green background a red apple on white the old stone bridge at night don't it's we're
a painting of an ocean with clouds and birds three fruits on a checked cloth a pile of vegetables under a starry sky
""".splitlines()
WIDTH, WORDS, LENGTH = 16, 35, 64
IMAGE = {"size": 224, "mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
MEAN, DEVIATION = 0.16717362830052426, 1.0333394966054072


class ImageReward(nn.Module):
    """BLIP's image encoder, its text encoder with cross-attention, and ImageReward's head of linear layers."""

    def __init__(self, vocabulary):
        super().__init__()
        self.image = BlipVisionModel(
            BlipVisionConfig(
                hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=IMAGE["size"],
                patch_size=16, layer_norm_eps=1e-6,
            )
        )  # fmt: skip
        # As ImageReward's "med": every layer attends to the picture, and all words to each other.
        self.text = BlipTextModel(
            BlipTextConfig(
                vocab_size=vocabulary, hidden_size=WIDTH, encoder_hidden_size=WIDTH, intermediate_size=32, num_hidden_layers=2,
                num_attention_heads=2, max_position_embeddings=64, is_decoder=True,
            ),
            add_pooling_layer=False,
        )  # fmt: skip
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 12), nn.Dropout(0.2), nn.Linear(12, 4), nn.Linear(4, 1))

    def forward(self, pixel_values, input_ids, attention_mask):
        image = self.image(pixel_values).last_hidden_state
        seen = torch.ones(image.shape[:2], dtype=torch.long)
        text = self.text(
            input_ids, attention_mask=attention_mask, encoder_hidden_states=image, encoder_attention_mask=seen, is_decoder=False)
        return self.mlp(text.last_hidden_state[:, 0])


class LanguageModel(nn.Module):
    """GPT-2 in small: pre-normalised causal attention, tied output."""

    def __init__(self, vocabulary, layers=2, heads=2):
        super().__init__()
        self.heads = heads
        self.tokens, self.positions = nn.Embedding(vocabulary, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2 * layers + 1))
        self.mixes = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in range(layers))
        self.outs = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(layers))
        self.feeds = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU("tanh"), nn.Linear(4 * WIDTH, WIDTH)) for _ in range(layers))

    def forward(self, input_ids, attention_mask, position_ids):
        x = self.tokens(input_ids) + self.positions(position_ids)
        allowed = (position_ids[:, None, :, None] >= position_ids[:, None, None, :]) & (attention_mask[:, None, None, :] > 0)
        for layer, (mix, out, feed) in enumerate(zip(self.mixes, self.outs, self.feeds)):
            q, k, v = (
                part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in mix(self.norms[2 * layer](x)).chunk(3, -1))
            scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~allowed, -1e9)
            x = x + out((scores.softmax(-1) @ v).transpose(1, 2).flatten(-2))
            x = x + feed(self.norms[2 * layer + 1](x))
        return self.norms[-1](x) @ self.tokens.weight.T


def export(model, folder, inputs, output, free=()):
    (HERE / folder).mkdir(exist_ok=True)
    data = io.BytesIO()
    axes = {name: {0: "batch", 1: "length"} for name in free}
    torch.onnx.export(
        model, tuple(inputs.values()), data, input_names=list(inputs), output_names=[output], opset_version=17, dynamo=False,
        dynamic_axes=axes)
    (HERE / folder / "model.onnx").write_bytes(data.getvalue())
    return onnxruntime.InferenceSession(data.getvalue(), providers=["CPUExecutionProvider"])


def picture(seed):
    """uint8 (150, 190, 3): smooth colours with noise."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:150, 0:190] / 40
    waves = np.stack([np.sin(x * a + y * b + c) for a, b, c in generator.uniform(0.3, 3, (3, 3))], -1)
    return (127 + 100 * waves + generator.normal(0, 10, waves.shape)).clip(0, 255).astype(np.uint8)


def pixels(image):
    """ImageReward's preprocessing: short side to 224 with Pillow's bicubic, centre crop, normalisation."""
    height, width = image.shape[:2]
    scale = IMAGE["size"] / min(height, width)
    size = (int(width * scale), int(height * scale))
    left, top = (round((side - IMAGE["size"]) / 2) for side in size)
    cut = Image.fromarray(image).resize(size, Image.BICUBIC).crop((left, top, left + IMAGE["size"], top + IMAGE["size"]))
    values = (np.asarray(cut) / 255 - IMAGE["mean"]) / IMAGE["std"]
    return torch.tensor(values.transpose(2, 0, 1)[None], dtype=torch.float32)


def make_reward():
    folder = HERE / "imagereward"
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES]) + "\n")
    settings = {"image": IMAGE, "tokenizer": "vocab.txt", "max_length": WORDS, "score_mean": MEAN, "score_std": DEVIATION}
    (folder / "reward.json").write_text(json.dumps(settings, indent=1) + "\n")
    tokenizer = BertTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    model = ImageReward(len(tokenizer)).eval()
    # Random weights of transformers' scale give every picture and prompt nearly one score; larger ones do not.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(8 if "mlp" not in name else 3)
    example = {"pixel_values": torch.zeros(1, 3, 224, 224), **{n: torch.ones(1, WORDS, dtype=torch.long) for n in ("input_ids", "attention_mask")}}
    session = export(model, "imagereward", example, "reward")
    scores = []
    for seed, prompt in enumerate(PROMPTS):
        words = tokenizer(prompt, padding="max_length", truncation=True, max_length=WORDS, return_tensors="pt")
        feeds = {"pixel_values": pixels(picture(seed)), "input_ids": words["input_ids"], "attention_mask": words["attention_mask"]}
        with torch.inference_mode():
            raw = float(model(**feeds))
        assert abs(raw - float(session.run(None, {k: v.numpy() for k, v in feeds.items()})[0].item())) < 1e-4
        scores.append({"prompt": prompt, "seed": seed, "input_ids": words["input_ids"][0].tolist(), "score": (raw - MEAN) / DEVIATION})
    return scores


def make_language_model():
    folder = HERE / "language-model"
    folder.mkdir(exist_ok=True)
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(CORPUS, vocab_size=420, min_frequency=1, special_tokens=["<|endoftext|>"], show_progress=False)
    trainer.save_model(str(folder))
    end = "<|endoftext|>"
    configuration = {"tokenizer_class": "GPT2Tokenizer", "bos_token": end, "eos_token": end, "unk_token": end, "model_max_length": LENGTH}
    (folder / "tokenizer_config.json").write_text(json.dumps(configuration) + "\n")
    tokenizer = GPT2TokenizerFast(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))
    torch.manual_seed(0)
    model = LanguageModel(len(json.loads((folder / "vocab.json").read_text()))).eval()
    with torch.no_grad():
        model.tokens.weight.mul_(0.5)
    names = ("input_ids", "attention_mask", "position_ids")
    example = dict(zip(names, (torch.ones(1, 5, dtype=torch.long), torch.ones(1, 5, dtype=torch.long), torch.arange(5)[None])))
    session = export(model, "language-model", example, "logits", free=(*names, "logits"))
    texts = [*PROMPTS, "", "  two  spaces ", "x\n\n y", "don't we're IT'S 's", "<|endoftext|>cat", "ÄÖ ß ①② ٣ ½", " ".join(PROMPTS * 3)]
    found = []
    for text in texts:
        # One token of beginning, as `evaluate`'s perplexity with add_start_token.
        ids = [tokenizer.convert_tokens_to_ids(end), *tokenizer(text)["input_ids"]]
        cut = torch.tensor([ids[:LENGTH]])
        feeds = dict(zip(names, (cut, torch.ones_like(cut), torch.arange(cut.shape[1])[None])))
        with torch.inference_mode():
            logits = model(**feeds)
        other = session.run(None, {k: v.numpy() for k, v in feeds.items()})[0]
        assert np.abs(other - logits.numpy()).max() < 1e-4
        loss = nn.functional.cross_entropy(logits[0, :-1], cut[0, 1:]) if cut.shape[1] > 1 else torch.tensor(0.0)
        found.append({"text": text, "ids": ids, "perplexity": float(loss.exp())})
    return found


expected = {"imagereward": make_reward(), "language_model": make_language_model()}
(HERE / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
for row in expected["imagereward"]:
    print(f"{row['score']:9.5f}  {row['prompt']}")
for row in expected["language_model"]:
    print(f"{row['perplexity']:10.3f}  {row['text'][:60]!r}")
