"""Guidance in a part of the noise schedule, against a loop of its own on ONNX Runtime."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnxruntime
import pytest
from test_command import run  # noqa: F401

import adadiff

SCALE = 6.0


@pytest.fixture(scope="module")
def networks(pipeline_folder):
    names = ("text_encoder", "unet")
    return {name: onnxruntime.InferenceSession(str(pipeline_folder / name / "model.onnx")) for name in names}


def reference(networks, pipeline, prompt, latents, steps, start, stop):
    """DDIM (Song et al. 2021) with leading spacing and offset 1; guidance where start <= 1 - t / 1000 < stop."""

    def encode(text):
        ids = pipeline.tokenize(text)["input_ids"]
        graph_input = networks["text_encoder"].get_inputs()[0]
        kind = np.int32 if "int32" in graph_input.type else np.int64
        return networks["text_encoder"].run(["last_hidden_state"], {graph_input.name: ids.astype(kind)})[0]

    def predict(x, timestep, states):
        graph_input = networks["unet"].get_inputs()[1]
        kind = {"tensor(int64)": np.int64, "tensor(float)": np.float32}[graph_input.type]
        step = np.full([1 if isinstance(d, (int, str)) else d for d in graph_input.shape], timestep, kind)
        feeds = {"sample": x.astype(np.float32), graph_input.name: step, "encoder_hidden_states": states}
        return networks["unet"].run(None, feeds)[0].astype(np.float64)

    signal = np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    conditional, empty = encode(prompt), encode("")
    x, guided = latents.astype(np.float64), []
    for timestep in (np.arange(steps) * (1000 // steps))[::-1] + 1:
        noise = predict(x, timestep, conditional)
        progress = 1 - timestep / 1000
        guided.append(bool(progress >= start and (stop == 1 or progress < stop)))
        if guided[-1]:
            unguided = predict(x, timestep, empty)
            noise = unguided + SCALE * (noise - unguided)
        now, previous = signal[timestep], signal[max(0, timestep - 1000 // steps)]
        original = (x - (1 - now) ** 0.5 * noise) / now**0.5
        x = previous**0.5 * original + (1 - previous) ** 0.5 * noise
    return x, guided


@pytest.mark.parametrize("batching", ["joint", "separate"])
@pytest.mark.parametrize(("start", "stop"), [(0.0, 1.0), (0.0, 0.4), (0.25, 0.75), (0.3, 1.0), (0.5, 0.5)])
def test_guidance_interval(networks, pipeline, batching, start, stop):
    latents = np.random.default_rng(5).standard_normal((1, 4, 8, 8)).astype(np.float32)
    expected, guided = reference(networks, pipeline, "two cats", latents, 10, start, stop)
    made = pipeline(
        "two cats", steps=10, latents=latents, guidance_scale=SCALE, guidance_start=start, guidance_stop=stop,
        guidance_batching=batching, decode=False,
    )  # fmt: skip
    # Ten steps of single precision networks; guidance multiplies their rounding by 11.
    assert np.linalg.norm(made.latents - expected) / np.linalg.norm(expected) < 1e-4
    assert [step["guided"] for step in made.report["steps"]] == guided
    assert made.report["predictions"] == 10 + sum(guided)
    assert (made.report["guidance_start"], made.report["guidance_stop"]) == (start, stop)


def test_what_both_halves_of_a_guided_batch_share_is_computed_once(pipeline):
    options = {"steps": 3, "seed": 3, "guidance_scale": SCALE, "decode": False, "profile": True}

    def operations(batching):
        report = pipeline("a cat", guidance_batching=batching, **options).report
        return sum(node["gflop"] for node in report["operators"])

    # The same predictions in two calls compute everything twice.
    assert 0 < operations("joint") < 0.999 * operations("separate")


def test_skip_rules_begin_anew_where_guidance_ends(pipeline):
    options = {"steps": 12, "seed": 3, "guidance_scale": SCALE, "guidance_stop": 0.5, "scheduler": "ddim"}
    report = pipeline("a cat", skip="every:n=4", **options).report
    switch = [step["guided"] for step in report["steps"]].index(False)
    assert 0 < switch < 11
    assert report["steps"][switch]["action"] == "run" and report["steps"][switch]["reason"] == "guidance"
    partial = pipeline("a cat", cache="deepcache:interval=12,branch=1", **options).report
    assert [i for i, step in enumerate(partial["steps"]) if step["action"] == "run"] == [0, switch]
    replayed = pipeline("a cat", skip=f"fixed-mask:mask={report['mask']},order=1", **options)
    assert replayed.report["mask"] == report["mask"]


def test_an_interval_that_ends_before_it_starts_is_refused(pipeline):
    with pytest.raises(adadiff.OutOfRange, match="guidance_start"):
        pipeline("x", steps=2, guidance_start=0.6, guidance_stop=0.5)
    with pytest.raises(adadiff.OutOfRange, match="guidance_stop"):
        pipeline("x", steps=2, guidance_stop=1.5)


def with_policy(pipeline_folder, folder, **settings):
    """A copy of the pipeline whose policy.json has other settings."""
    shutil.copytree(pipeline_folder, folder)
    path = folder / "policy" / "policy.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return folder


def test_the_pipeline_s_own_interval_is_the_default(pipeline_folder, tmp_path):
    own = adadiff.Pipeline(with_policy(pipeline_folder, tmp_path / "own", guidance_start=0.25, guidance_stop=0.75))
    assert (own.info["guidance_start"], own.info["guidance_stop"]) == (0.25, 0.75)
    plain, spelled = own("a cat", steps=8, seed=1), own("a cat", steps=8, seed=1, guidance_start=0.25, guidance_stop=0.75)
    assert (plain.latents == spelled.latents).all()
    guided = [step["guided"] for step in plain.report["steps"]]
    assert guided == [0.25 <= 1 - step["timestep"] / 1000 < 0.75 for step in plain.report["steps"]] and 0 < sum(guided) < 8
    assert all(step["guided"] for step in own("a cat", steps=8, guidance_start=0, guidance_stop=1).report["steps"])


def test_a_policy_with_an_impossible_interval_is_named(pipeline_folder, tmp_path):
    with pytest.raises(adadiff.Corrupt, match="guidance_stop"):
        adadiff.Pipeline(with_policy(pipeline_folder, tmp_path / "bad", guidance_stop=1.5))


def test_a_rule_measures_anew_where_guidance_ends(pipeline):
    """SADA's criterion looks at three noise predictions; those of before the switch are another function's."""
    options = {"guidance_scale": SCALE, "guidance_stop": 0.5, "scheduler": "ddim", "skip": "sada:lagrange=1"}
    report = pipeline("a cat", steps=20, seed=3, **options).report
    switch = [step["guided"] for step in report["steps"]].index(False)
    assert [step["reason"] for step in report["steps"]][switch : switch + 3] == ["guidance", "warm_up", "warm_up"]


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpmpp_2m", "dpmpp_2m_sde", "unipc"])
@pytest.mark.parametrize("skip", ["fixed-mask:mask=RR0R0R00000000RR00R0", "step-control:tolerance=0.5", "every:n=4"])
def test_calls_may_be_left_out_up_to_where_guidance_ends(pipeline, scheduler, skip):
    """The solver's own record of skipped calls goes on where the network's outputs are forgotten."""
    result = pipeline("a cat", steps=20, seed=3, guidance_scale=SCALE, guidance_stop=0.5, scheduler=scheduler, skip=skip)
    steps = result.report["steps"]
    switch = [step["guided"] for step in steps].index(False)
    assert steps[switch]["action"] == "run" and any(step["action"] != "run" for step in steps[:switch])
    assert np.isfinite(result.latents).all()


def test_searched_masks_run_where_guidance_ends(run, pipeline_folder, tmp_path):  # noqa: F811
    """Left out there, a call would count as saved and yet be made."""
    own = with_policy(pipeline_folder, tmp_path / "own", guidance_stop=0.5)
    search = ("skip", "search", "--model", own, "--count", "1", "--json", "--quiet")
    found = run(*search, "mask", "--calls", "5", "--steps", "20")
    assert found.returncode == 0, found.stderr
    mask = json.loads(found.stdout)["masks"][0].partition("mask=")[2][:20]
    assert mask.count("R") == 5 and mask[10] == "R"
    found = run(*search, "greedy", "--skips", "6", "--steps", "10")
    assert found.returncode == 0, found.stderr
    searched = [it["searched"] for it in json.loads(found.stdout)["paths"][0]["comparisons"]]
    assert searched and all(mask.count("R") <= 9 and mask[5] == "R" for mask in searched)
