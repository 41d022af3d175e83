"""Scorers of pictures and prompts: reward models, CLIP score, NIQE, language models, videos."""

from __future__ import annotations

import json
import pathlib
import shutil

import numpy as np
import pytest

import adadiff
from adadiff import policy

def reward_model(folder: pathlib.Path, output_shape=(1,)) -> pathlib.Path:
    """reward = mean of the pixels + number of tokens that are not padding; another shape makes it a wrong model."""
    from onnx import TensorProto, helper

    from conftest import graph_bytes

    nodes = [
        helper.make_node("ReduceMean", ["pixel_values"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["mask"], ["tokens"], keepdims=0),
        helper.make_node("Add", ["mean", "tokens"], ["sum"]),
        helper.make_node("Expand", ["sum", "shape"], ["reward"]),
    ]
    inputs = [
        ("pixel_values", TensorProto.FLOAT, ["b", 3, "h", "w"]), ("input_ids", TensorProto.INT64, ["b", "n"]),
        ("attention_mask", TensorProto.INT64, ["b", "n"]),
    ]  # fmt: skip
    shape = helper.make_tensor("shape", TensorProto.INT64, [len(output_shape)], output_shape)
    folder.mkdir()
    (folder / "model.onnx").write_bytes(
        graph_bytes(nodes, inputs, [("reward", TensorProto.FLOAT, list(output_shape))], initializers=[shape]))
    return folder


def test_reward_model_sees_picture_and_prompt(pipeline, tmp_path):
    folder = reward_model(tmp_path / "reward")
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    tokens = int(pipeline.tokenize("a cat")["attention_mask"].sum())
    found = policy.score(pipeline, "a cat", image, metrics=f"reward:{folder}")["reward"]
    assert found == pytest.approx((image / 127.5 - 1).mean() + tokens, abs=1e-4)


def test_imagereward_settings(pipeline, tmp_path):
    """Size, crop, normalisation, word pieces and the score's scale come from reward.json; pixels as Pillow makes them."""
    pil = pytest.importorskip("PIL.Image")
    folder = reward_model(tmp_path / "reward")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "##s", ","]))
    settings = {"image": {"size": 224}, "tokenizer": "vocab.txt", "max_length": 35, "score_mean": 0.5, "score_std": 2.0}
    (folder / "reward.json").write_text(json.dumps(settings))
    image = np.random.default_rng(0).integers(0, 256, (300, 420, 3), np.uint8)
    scaled = pil.fromarray(image).resize((313, 224), pil.BICUBIC).crop((44, 0, 268, 224))
    mean, std = np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711])
    pixels = ((np.asarray(scaled) / 255 - mean) / std).mean()
    # [CLS] a cat ##s , a [SEP]
    expected = (pixels + 7 - 0.5) / 2
    found = policy.score(pipeline, "A Cats, a", image, metrics=f"reward:{folder}")["reward"]
    assert found == pytest.approx(expected, abs=2e-4)


SCORERS = pathlib.Path(__file__).parents[1] / "Fixtures" / "scorers"
EXPECTED = json.loads((SCORERS / "expected.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("row", EXPECTED["imagereward"], ids=lambda row: row["prompt"][:12])
def test_imagereward_is_pytorch_s(pipeline, row):
    """Picture, prompt and score as PyTorch, Pillow and Hugging Face's BERT tokenizer treat them, with random weights
    (`Tests/Fixtures/scorers/make_scorers.py`). Tolerance: float32 sums over some 10⁵ terms, and scores of size 1."""
    generator = np.random.default_rng(row["seed"])
    y, x = np.mgrid[0:150, 0:190] / 40
    waves = np.stack([np.sin(x * a + y * b + c) for a, b, c in generator.uniform(0.3, 3, (3, 3))], -1)
    image = (127 + 100 * waves + generator.normal(0, 10, waves.shape)).clip(0, 255).astype(np.uint8)
    found = policy.score(pipeline, row["prompt"], image, metrics=f"reward:{SCORERS / 'imagereward'}")["reward"]
    assert found == pytest.approx(row["score"], abs=1e-3)


@pytest.mark.parametrize("row", EXPECTED["language_model"], ids=lambda row: repr(row["text"][:12]))
def test_perplexity_is_pytorch_s(pipeline, row):
    """A causal language model in ONNX behind GPT-2's tokenizer; a wrong token changes the perplexity by per cents."""
    path = SCORERS / "language-model"
    decision = policy.decide(pipeline, row["text"], policy=f"perplexity:path={path},steps=1/2/3,thresholds=2500/4000")
    found = decision["policy"]["facts"]["perplexity"]
    assert found == pytest.approx(row["perplexity"], rel=1e-4)
    assert decision["steps"] == 1 + (found >= 2500) + (found >= 4000)


def test_wrong_reward_models(pipeline, tmp_path):
    image = np.zeros((32, 32, 3), np.uint8)
    folder = reward_model(tmp_path / "wide", (2, 3))
    with pytest.raises(adadiff.ShapeMismatch, match="one number"):
        policy.score(pipeline, "a cat", image, metrics=f"reward:{folder}")
    with pytest.raises(adadiff.Unsupported, match="pixel_values"):
        shutil.copytree(folder, tmp_path / "other")
        shutil.copy(pathlib.Path(__file__).parents[1] / "Fixtures/tiny-sd/policy/policy.onnx", tmp_path / "other/model.onnx")
        policy.score(pipeline, "a cat", image, metrics=f"reward:{tmp_path / 'other'}")


def test_clip_score_is_a_cosine(pipeline, pipeline_folder, tmp_path):
    from onnx import TensorProto, helper

    from conftest import graph_bytes

    folder = tmp_path / "clip"
    shutil.copytree(pipeline_folder / "tokenizer", folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"size": {"shortest_edge": 16}, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}))
    axes = helper.make_tensor("axes", TensorProto.INT64, [1], [1])
    vision = [helper.make_node("ReduceMean", ["pixel_values"], ["image_embeds"], axes=[2, 3], keepdims=0)]
    (folder / "vision_model.onnx").write_bytes(graph_bytes(
        vision, [("pixel_values", TensorProto.FLOAT, ["b", 3, "h", "w"])], [("image_embeds", TensorProto.FLOAT, ["b", 3])]))
    words = [
        helper.make_node("Cast", ["input_ids"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["ids", "axes"], ["sum"], keepdims=1),
        helper.make_node("Concat", ["sum", "sum", "sum"], ["text_embeds"], axis=1),
    ]
    (folder / "text_model.onnx").write_bytes(graph_bytes(
        words, [("input_ids", TensorProto.INT64, ["b", "n"])], [("text_embeds", TensorProto.FLOAT, ["b", 3])], initializers=[axes]))
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0], image[..., 1] = 255, 51
    pixels = np.array([1, 0.2, 0])
    expected = pixels.sum() / np.linalg.norm(pixels) / 3**0.5
    assert policy.score(pipeline, "a cat", image, metrics=f"clip:{folder}")["clip"] == pytest.approx(expected, abs=1e-5)


def test_niqe_is_the_published_one(pipeline):
    """BasicSR's implementation, which gives MATLAB's 5.7296 for baboon, gives 13.5179 for this picture; its float32 resize
    makes the difference. (This one gives 5.72957 for baboon.)"""
    generator = np.random.default_rng(0)
    x = np.cumsum(np.cumsum(generator.normal(size=(200, 300, 3)), 0), 1)
    x = (x - x.min()) / (x.max() - x.min()) * 200 + 20 + generator.normal(size=x.shape) * 6
    parameters = pathlib.Path(__file__).parents[2] / "metrics" / "niqe" / "parameters.json"
    found = policy.score(pipeline, "x", x.clip(0, 255).astype(np.uint8), metrics=f"niqe:{parameters}")["niqe"]
    assert found == pytest.approx(13.5179, abs=2e-3)
    with pytest.raises(adadiff.OutOfRange, match="blocks"):
        policy.score(pipeline, "x", np.zeros((96, 96, 3), np.uint8), metrics=f"niqe:{parameters}")
    with pytest.raises(adadiff.NotFinite):
        policy.score(pipeline, "x", np.zeros((96, 192, 3), np.uint8), metrics=f"niqe:{parameters}")


def test_videos_are_means_over_frames(pipeline):
    frames = [np.full((8, 8, 3), value, np.uint8) for value in (10, 20, 60)]
    assert policy.score_video(pipeline, "x", frames, scorer=lambda s: float(s.image.mean())) == {"host": 30}
    with pytest.raises(adadiff.InvalidArgument):
        policy.score_video(pipeline, "x", [], scorer=lambda s: 0.0)
