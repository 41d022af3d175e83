"""Pipeline: from a prompt to arrays."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time

import numpy as np
import pytest

import adadiff


def test_pictures_are_arrays_and_equal_for_equal_seeds(pipeline):
    first = pipeline("a cat", steps=3, seed=7)
    again = pipeline("a cat", steps=3, seed=7)
    other = pipeline("a cat", steps=3, seed=8)
    height, width = pipeline.info["height"], pipeline.info["width"]
    assert first.images[0].shape == (height, width, 3) and first.images[0].dtype == np.uint8
    np.testing.assert_array_equal(first.images[0], again.images[0])
    np.testing.assert_array_equal(first.latents, again.latents)
    assert (first.latents != other.latents).any()


def test_the_number_of_threads_changes_nothing(pipeline, pipeline_folder):
    single = adadiff.Pipeline(pipeline_folder, threads=1)("a cat", steps=3, seed=7)
    np.testing.assert_array_equal(single.latents, pipeline("a cat", steps=3, seed=7).latents)


def test_the_prompt_and_the_guidance_matter(pipeline):
    base = pipeline("a cat", steps=2, seed=1, guidance_scale=7).latents
    for options in ({"guidance_scale": 3}, {"negative_prompt": "dog"}, {"scheduler": "EulerDiscreteScheduler"}):
        assert (pipeline("a cat", **{"steps": 2, "seed": 1, "guidance_scale": 7, **options}).latents != base).any()
    assert (pipeline("a dog", steps=2, seed=1, guidance_scale=7).latents != base).any()


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_the_precision_is_taken_and_told(pipeline, pipeline_folder, precision):
    reduced = adadiff.Pipeline(pipeline_folder, precision=precision)
    result = reduced("a cat", steps=2, seed=7)
    full = pipeline("a cat", steps=2, seed=7).latents
    assert reduced.info["precision"] == result.report["precision"] == precision
    assert (result.latents == full).all() if precision == "float32" else np.linalg.norm(result.latents - full) < 0.1 * np.linalg.norm(full)


def test_unknown_precisions_list_the_known_ones(pipeline_folder):
    with pytest.raises(adadiff.UnknownName, match="bfloat16.*int8"):
        adadiff.Pipeline(pipeline_folder, precision="fp8")


def test_several_pictures_in_one_call(pipeline):
    result = pipeline("a cat", steps=2, seed=1, count=3)
    assert len(result.images) == 3 and result.latents.shape[0] == 3
    assert (result.latents[0] != result.latents[1]).any()


def test_latents_replace_the_noise(pipeline):
    shape = pipeline("a cat", steps=1).latents.shape
    noise = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    first = pipeline("a cat", steps=2, latents=noise, seed=1)
    again = pipeline("a cat", steps=2, latents=noise.astype(np.float64), seed=2)
    np.testing.assert_array_equal(first.latents, again.latents)


def test_latents_alone_need_no_decoder(pipeline):
    result = pipeline("a cat", steps=1, decode=False)
    assert result.images == [] and np.isfinite(result.latents).all()


def test_the_report_tells_what_was_done(pipeline):
    report = pipeline("a cat", steps=4, seed=11).report
    assert report["seed"] == 11
    assert report["steps_planned"] == 4
    assert len(report["steps"]) == report["steps_run"] >= 4
    assert {"text_encode", "denoise", "decode"} <= set(report["stages_ms"])
    assert report["policy"]["name"] == "fixed"


def test_steps_auto_says_who_decided(pipeline):
    report = pipeline("a cat", steps="auto", seed=1).report
    assert report["policy"]["name"] != "fixed"
    assert report["steps_planned"] >= 1


def test_a_drawn_seed_is_reported_and_repeats_the_picture(pipeline):
    drawn = pipeline("a cat", steps=2)
    again = pipeline("a cat", steps=2, seed=int(drawn.report["seed"]))
    np.testing.assert_array_equal(drawn.latents, again.latents)


def test_tokenize_pads_and_does_not(pipeline):
    tokens = pipeline.tokenize("a cat")
    length = tokens["input_ids"].shape[1]
    assert tokens["input_ids"].dtype == np.int64
    assert tokens["attention_mask"].shape == (1, length)
    count = tokens["token_ids"].size
    np.testing.assert_array_equal(tokens["input_ids"][0, :count], tokens["token_ids"])
    assert pipeline.tokenize("cat " * 500)["input_ids"].shape == (1, length)


def test_saved_pictures_are_png(pipeline, tmp_path):
    pipeline("a cat", steps=1).save(tmp_path / "cat.png")
    assert (tmp_path / "cat.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_info_and_lists(pipeline):
    assert pipeline.info["class"] == "StableDiffusionPipeline"
    assert "DDIMScheduler" in adadiff.schedulers()
    assert "Conv" in adadiff.operators()
    assert "steps" in adadiff.options() and all(adadiff.options().values())
    assert adadiff.build_info()["version"] == adadiff.library_version() == adadiff.__version__
    # What is multiplied by an instruction of its own is one of the precisions, and float32 is not.
    information = adadiff.build_info()
    assert set(information["dot_products"]) <= set(information["precisions"]) - {"float32"}


def test_opening_reports_progress(pipeline_folder):
    reports: list[adadiff.Progress] = []
    adadiff.Pipeline(pipeline_folder, callback=reports.append)
    assert {report.stage for report in reports} == {"load"}
    assert reports[-1].step == reports[-1].total


def test_threads_may_share_a_pipeline(pipeline):
    expected = [pipeline("a cat", steps=2, seed=seed).latents for seed in range(3)]
    results: dict[int, np.ndarray] = {}

    def work(seed: int) -> None:
        results[seed] = pipeline("a cat", steps=2, seed=seed).latents

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(3):
        np.testing.assert_array_equal(results[seed], expected[seed])


def test_results_outlive_the_pipeline(pipeline_folder):
    pipeline = adadiff.Pipeline(pipeline_folder)
    result = pipeline("a cat", steps=1)
    copy = result.images[0].copy()
    del pipeline
    gc.collect()
    np.testing.assert_array_equal(result.images[0], copy)
    assert result.report["steps_planned"] == 1


def test_the_interpreter_is_free_during_a_run(pipeline):
    """Another thread gets on while a run without callbacks is under way; runs are repeated until it has had the chance."""
    ticks, running = 0, True

    def count() -> None:
        nonlocal ticks
        while running:
            ticks += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    try:
        for _ in range(100):
            before = ticks
            pipeline("a cat", steps=50, count=4)
            if ticks - before > 3:
                break
    finally:
        running = False
        thread.join()
    # A thread that had to wait for the run would tick once at its beginning and once at its end.
    assert ticks - before > 3


@pytest.mark.parametrize("steps", [1, 5])
def test_previews_show_every_step(pipeline, steps):
    previews: list[adadiff.Preview] = []
    result = pipeline("a cat", steps=steps, seed=1, scheduler="DDIMScheduler", preview=previews.append)
    assert [preview.step for preview in previews] == list(range(steps))
    assert all(preview.total == steps and preview.latents.shape == result.latents.shape for preview in previews)
    timesteps = [preview.timestep for preview in previews]
    assert timesteps == sorted(timesteps, reverse=True)
    np.testing.assert_array_equal(previews[-1].latents, result.latents)
    assert all(preview.action == "run" for preview in previews)


def test_a_forked_process_may_use_what_its_parent_opened(pipeline):
    expected = pipeline("a cat", steps=2, seed=3).latents
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # No test machinery in the child: compute, write, leave.
        status = 1
        try:
            os.write(writer, pipeline("a cat", steps=2, seed=3).latents.tobytes())
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    deadline = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    assert ended != (0, 0), "the child hung"
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    np.testing.assert_array_equal(np.frombuffer(data, np.float32).reshape(expected.shape), expected)
