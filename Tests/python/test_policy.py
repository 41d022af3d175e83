"""Step policies: decisions, collection, training, evaluation, and what happens to bad input."""

from __future__ import annotations

import csv
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import adadiff
from adadiff import policy

PROMPTS = ["a cat", "a dog, and a \"tree\"", "two cats and a very small tree", "café on the moon"]
STEPS = [1, 2, 3]


def brightness(scoring: adadiff.Scoring) -> float:
    """A scorer whose numbers depend on everything that it is given."""
    assert scoring.image.dtype == np.uint8 and scoring.image.shape[2] == 3
    return float(scoring.image.mean()) + scoring.steps / 10 + len(scoring.prompt) / 100


@pytest.fixture(scope="session")
def table(pipeline, tmp_path_factory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("tables") / "rewards.csv"
    policy.collect(pipeline, PROMPTS, path, step_set=STEPS, seeds=2, scorer=brightness)
    return path


def rows(path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def key(row) -> tuple[str, str, str]:
    return row["prompt"], row["seed"], row["steps"]


# ---------------------------------------------------------------------------------------------------- decisions


def test_policies_by_name(pipeline):
    assert pipeline("a cat", policy="fixed:3", decode=False).report["steps_planned"] == 3
    report = pipeline("a cat", policy="words:thresholds=2/3,steps=1/2/4", decode=False).report
    assert report["steps_planned"] == 2
    assert report["policy"]["facts"]["words"] == 2
    assert report["policy"]["probabilities"] == [0, 1, 0]
    random = [policy.decide(pipeline, "a cat", policy="random:steps=2/4,weights=1/1", seed=n)["steps"] for n in range(40)]
    assert set(random) == {2, 4}
    learned = policy.decide(pipeline, "a cat")
    assert sum(learned["policy"]["probabilities"]) == pytest.approx(1)


def test_quality_moves_between_the_ends_of_the_step_set(pipeline):
    steps = [policy.decide(pipeline, "a cat", quality=quality)["steps"] for quality in (0, 0.25, 0.5, 0.75, 1)]
    assert steps == sorted(steps)
    assert steps[0] == 5 and steps[-1] == 50
    assert steps[2] == policy.decide(pipeline, "a cat")["steps"]


def test_deadline_takes_the_steps_that_fit(pipeline):
    """The numbers that the decision reports decide it: what is left of the deadline, and what a call was measured to take."""
    full = pipeline("a cat", steps=50, scheduler="ddim").report["total_ms"]
    for deadline in (full * 0.3, full * 0.6, 3_600_000):
        report = pipeline("a cat", policy="fixed:50", scheduler="ddim", deadline_ms=deadline).report
        facts, planned = report["policy"]["facts"], report["steps_planned"]
        assert facts["deadline_ms"] == pytest.approx(deadline) and facts["guided_call_ms"] > 0 and facts["decode_ms"] > 0
        assert facts["left_ms"] + facts["decode_ms"] < 0.97 * deadline
        assert planned == min(50, max(1, int(facts["left_ms"] / facts["guided_call_ms"])))
    assert planned == 50 and "deadline" not in report["policy"]["reason"]


def test_deadline_is_kept_where_the_speed_is(pipeline):
    """Within 10 %, as promised, whenever the run's own parts took no longer than they were measured to take."""
    full = pipeline("a cat", steps=50, scheduler="ddim").report["total_ms"]
    for _ in range(10):
        report = pipeline("a cat", policy="fixed:50", scheduler="ddim", deadline_ms=full * 0.6).report
        facts, stages = report["policy"]["facts"], report["stages_ms"]
        sampled, decoded = facts["guided_call_ms"] * report["steps_planned"], facts["decode_ms"]
        between = report["total_ms"] - sum(stages.values())
        kept_speed = stages["denoise"] <= 1.05 * sampled and stages["decode"] <= 1.05 * decoded
        if kept_speed and between < 0.02 * full:
            assert report["total_ms"] < 1.1 * 0.6 * full


def test_wrong_policies_are_refused(pipeline):
    for name, kind in [("oracle", adadiff.UnknownName), ("fixed:0", adadiff.OutOfRange), ("words:limit=3", adadiff.UnknownName),
                       ("learned:path=/nonexistent", adadiff.NotFound), ("perplexity:path=/nonexistent.json", adadiff.NotFound),
                       ("words:thresholds=9,steps=1/2/3", adadiff.InvalidArgument)]:  # fmt: skip
        with pytest.raises(kind):
            policy.decide(pipeline, "a cat", policy=name)


# --------------------------------------------------------------------------------------------------- collection


def test_rows_are_what_generate_makes(pipeline, table):
    found = {key(row): row for row in rows(table)}
    assert len(found) == len(PROMPTS) * 2 * len(STEPS)
    prompt, seed, steps = PROMPTS[1], 1, 2
    image = pipeline(prompt, steps=steps, seed=seed).images[0]
    expected = brightness(adadiff.Scoring(prompt, steps, seed, image))
    assert float(found[prompt, str(seed), str(steps)]["host"]) == expected


def test_collecting_again_makes_nothing(pipeline, table):
    before = table.read_bytes()
    summary = policy.collect(pipeline, PROMPTS, table, step_set=STEPS, seeds=2, scorer=brightness)
    assert summary["pictures_made"] == 0 and summary["pictures_present"] == len(rows(table))
    assert table.read_bytes() == before


def test_other_settings_are_refused(pipeline, table):
    with pytest.raises(adadiff.InvalidArgument, match="other settings"):
        policy.collect(pipeline, PROMPTS, table, step_set=[1, 2], scorer=brightness)


def test_torn_row_is_made_again(pipeline, table, tmp_path):
    copy = tmp_path / "rewards.csv"
    for name in ("", ".json"):
        shutil.copy(f"{table}{name}", f"{copy}{name}")
    data = copy.read_bytes()
    copy.write_bytes(data[: len(data) - 9])
    summary = policy.collect(pipeline, PROMPTS, copy, step_set=STEPS, seeds=2, scorer=brightness)
    assert summary["pictures_made"] == 1
    values = lambda path: {key(row): row["host"] for row in rows(path)}  # noqa: E731
    assert values(copy) == values(table)


_COLLECTOR = """
import sys, time
import adadiff
from adadiff import policy
def brightness(scoring):
    time.sleep(0.02)
    return float(scoring.image.mean()) + scoring.steps / 10 + len(scoring.prompt) / 100
pipeline = adadiff.Pipeline(sys.argv[1], threads=1)
print("ready", flush=True)
prompts = [line for line in open(sys.argv[2], encoding="utf-8").read().splitlines()]
policy.collect(pipeline, sys.argv[2], sys.argv[3], step_set=[1, 2, 3], seeds=2, scorer=brightness)
"""


def collector(folder, prompts, target, **keywords):
    return subprocess.Popen(
        [sys.executable, "-c", _COLLECTOR, str(folder), str(prompts), str(target)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)  # fmt: skip


def test_killed_and_parallel_collectors_lose_and_double_nothing(pipeline_folder, pipeline, tmp_path):
    prompts = tmp_path / "prompts.txt"
    texts = PROMPTS + [f"{n} cats" for n in range(12)]
    prompts.write_text("\n".join(texts) + "\n", encoding="utf-8")
    target = tmp_path / "rewards.csv"
    first, second = collector(pipeline_folder, prompts, target), collector(pipeline_folder, prompts, target)
    # Kill one while both work.
    first.stdout.readline()
    deadline = time.time() + 60
    while time.time() < deadline and (not target.exists() or target.stat().st_size < 300):
        time.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert second.wait(timeout=120) == 0, second.stderr.read().decode()
    for process in (first, second):
        process.stdout.close()
        process.stderr.close()
    found = rows(target)
    assert len(found) == len({key(row) for row in found}) == len(texts) * 2 * 3
    alone = tmp_path / "alone.csv"
    policy.collect(pipeline, prompts, alone, step_set=STEPS, seeds=2, scorer=brightness)
    assert {key(row): row["host"] for row in found} == {key(row): row["host"] for row in rows(alone)}


def test_full_disk_loses_nothing(pipeline_folder, pipeline, tmp_path):
    """A limit on file sizes stands for a full disk: the write fails half-way and the table ends with its last whole row."""
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("\n".join(PROMPTS) + "\n", encoding="utf-8")
    target = tmp_path / "rewards.csv"

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))

    process = collector(pipeline_folder, prompts, target, preexec_fn=limit, restore_signals=False, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})  # fmt: skip
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0 and b"FileError" in errors and b"rewards.csv" in errors
    kept = rows(target)
    assert 0 < len(kept) < len(PROMPTS) * 6 and target.read_bytes().endswith(b"\n")
    summary = policy.collect(pipeline, prompts, target, step_set=STEPS, seeds=2, scorer=brightness)
    assert summary["pictures_made"] == len(PROMPTS) * 6 - len(kept)


@pytest.mark.parametrize(
    ("content", "part"),
    [(b"a cat\n\na dog\n", "line 2"), (b"a cat\n\xff\n", "line 2"), (b"a cat\na dog\na cat\n", "line 3"), (b"", "no prompts")],
)
def test_bad_prompt_files(pipeline, tmp_path, content, part):
    (tmp_path / "prompts.txt").write_bytes(content)
    with pytest.raises(adadiff.Corrupt, match=part):
        policy.collect(pipeline, tmp_path / "prompts.txt", tmp_path / "t.csv", step_set=STEPS, scorer=brightness)
    assert not (tmp_path / "t.csv").exists()


def test_bad_scorers(pipeline, tmp_path):
    def broken(_):
        raise KeyError("the judge is out")

    with pytest.raises(KeyError, match="judge"):
        policy.collect(pipeline, PROMPTS, tmp_path / "a.csv", step_set=STEPS, scorer=broken)
    with pytest.raises(adadiff.NotFinite, match="host"):
        policy.collect(pipeline, PROMPTS, tmp_path / "b.csv", step_set=STEPS, scorer=lambda _: float("nan"))
    for metrics, kind in [("host", adadiff.InvalidArgument), ("beauty", adadiff.UnknownName), ("clip", adadiff.InvalidArgument),
                          ("reward:/nonexistent", adadiff.NotFound), ("host,host", adadiff.InvalidArgument)]:  # fmt: skip
        with pytest.raises(kind):
            policy.collect(pipeline, PROMPTS, tmp_path / "c.csv", step_set=STEPS, metrics=metrics)
    assert [len(rows(path)) for path in tmp_path.glob("*.csv")] == [0, 0]


def test_one_step_count_is_nothing_to_choose_from(pipeline, tmp_path):
    with pytest.raises(adadiff.InvalidArgument):
        policy.collect(pipeline, PROMPTS, tmp_path / "t.csv", step_set=[5], scorer=brightness)


# --------------------------------------------------------------------------------------- training and evaluation


@pytest.fixture(scope="session")
def trained(pipeline, table, tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("policies") / "policy"
    report = policy.train(pipeline, table, folder, epochs=4, learning_rate=1e-3, held_out=0.25, estimator="expected", lambda_=0.1)
    assert report == json.loads((folder / "policy.json").read_text())
    assert report["step_set"] == STEPS and report["training"]["reward"]["lambda"] == 0.1
    return folder


def test_trained_policy_is_used(pipeline, trained):
    answer = policy.decide(pipeline, "a cat", policy=f"learned:path={trained}")
    assert answer["steps"] in STEPS and answer["policy"]["choices"] == STEPS
    assert policy.decide(pipeline, "a cat", policy=f"perplexity:path={trained}/ngram.json,steps=1/2/3")["steps"] in STEPS
    assert len((trained / "training.jsonl").read_text().splitlines()) == 4


def test_trained_policy_has_equal_logits_in_onnx_runtime(pipeline, trained):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(str(trained / "policy.onnx"), providers=["CPUExecutionProvider"])
    network = adadiff.Model(trained / "policy.onnx")
    generator = np.random.default_rng(0)
    for batch, length in [(1, 7), (3, 12)]:
        mask = (np.arange(length) < generator.integers(1, length + 1, (batch, 1))).astype(np.int64)
        feeds = {"last_hidden_state": generator.normal(size=(batch, length, 32)).astype(np.float32), "attention_mask": mask}
        np.testing.assert_allclose(network.run(feeds)["logits"], session.run(["logits"], feeds)[0], atol=1e-5)


def test_training_is_reproducible(pipeline, table, trained, tmp_path):
    policy.train(pipeline, table, tmp_path / "again", epochs=4, learning_rate=1e-3, held_out=0.25, estimator="expected", lambda_=0.1)
    for name in ("policy.onnx", "training.jsonl", "ngram.json", "policy.json"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / name).read_bytes()


def test_evaluation_compares_policies(pipeline, table, trained):
    report = policy.evaluate(pipeline, table, policy=trained, bootstrap=100)
    names = [row["name"] for row in report["policies"]]
    assert {"fixed 1", "fixed 2", "fixed 3", "words", "perplexity", "oracle", "learned", "random, equal steps"} <= set(names)
    by_name = {row["name"]: row for row in report["policies"]}
    mean = np.mean([float(row["host"]) for row in rows(table) if row["steps"] == "2"])
    assert by_name["fixed 2"]["values"]["host"]["mean"] == pytest.approx(mean)
    assert by_name["fixed 2"]["steps"] == {"mean": 2, "low": 2, "high": 2}
    oracle = by_name["oracle"]["values"]["reward_of_rule"]["mean"]
    assert all(row["values"]["reward_of_rule"]["mean"] <= oracle + 1e-12 for row in report["policies"])
    assert all(abs(row["values"]["steps"]["mean"]) < 1e-9 for row in report["differences"][:4])
    assert [choice["prompt"] for choice in report["choices"]] == PROMPTS


def test_wrong_tables_and_policies(pipeline, table, trained, tmp_path):
    def training(path, **keywords):
        policy.train(pipeline, path, tmp_path / "policy", epochs=1, **keywords)

    text = table.read_text(encoding="utf-8").splitlines(keepends=True)
    cases = {
        "missing": (text[:-1], adadiff.Corrupt), "doubled": ([*text, text[-1]], adadiff.Corrupt),
        "nan": ([*text[:-1], ",".join(text[-1].split(",")[:-1]) + ",nan\n"], adadiff.NotFinite),
        "cut": ([*text[:-1], text[-1][:6]], adadiff.Corrupt), "empty": ([], adadiff.Corrupt),
    }  # fmt: skip
    for name, (lines, kind) in cases.items():
        (tmp_path / f"{name}.csv").write_text("".join(lines), encoding="utf-8")
        with pytest.raises(kind, match=f"{name}.csv"):
            training(tmp_path / f"{name}.csv")
    with pytest.raises(adadiff.NotFound):
        training(tmp_path / "none.csv")
    with pytest.raises(adadiff.UnknownName, match="beauty"):
        training(table, metrics="beauty")
    with pytest.raises(adadiff.NotFound):
        policy.train(pipeline, table, tmp_path / "no" / "folder", epochs=1)
    # A policy of another step set, and of another text encoder of the same width.
    with pytest.raises(adadiff.ShapeMismatch, match="step set"):
        policy.evaluate(pipeline, table)
    shutil.copytree(trained, tmp_path / "foreign")
    description = json.loads((trained / "policy.json").read_text())
    description["text_encoder"]["fingerprint"] = [5.0, -5.0, 5.0]
    (tmp_path / "foreign" / "policy.json").write_text(json.dumps(description))
    with pytest.raises(adadiff.ShapeMismatch, match="another text encoder"):
        policy.decide(pipeline, "a cat", policy=f"learned:path={tmp_path / 'foreign'}")
    description["quality_curve"] = [{"quality": 0.2, "shift": 0}]
    (tmp_path / "foreign" / "policy.json").write_text(json.dumps(description))
    with pytest.raises(adadiff.Corrupt, match="quality_curve"):
        policy.decide(pipeline, "a cat", policy=f"learned:path={tmp_path / 'foreign'}")


def test_training_stops_and_goes_on(pipeline, table, tmp_path):
    settings = {"epochs": 6, "learning_rate": 1e-3, "checkpoint_every": 1, "held_out": 0.25}
    policy.train(pipeline, table, tmp_path / "whole", **settings)
    with pytest.raises(adadiff.Cancelled):
        policy.train(
            pipeline, table, tmp_path / "parts", callback=lambda p: p.stage != "train" or p.step < 3, **settings)
    policy.train(pipeline, table, tmp_path / "parts", resume=True, **settings)
    for name in ("policy.onnx", "training.jsonl"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_parquet_trains_as_csv(pipeline, table, trained, tmp_path):
    pytest.importorskip("pyarrow")
    policy.csv_to_parquet(table, tmp_path / "rewards.parquet")
    report = policy.train(
        pipeline, tmp_path / "rewards.parquet", tmp_path / "policy", epochs=4, learning_rate=1e-3, held_out=0.25,
        estimator="expected", lambda_=0.1)  # fmt: skip
    assert (tmp_path / "policy" / "policy.onnx").read_bytes() == (trained / "policy.onnx").read_bytes()
    assert report["training"]["prompts"] == 3


def test_report_is_one_page(pipeline, table, trained, tmp_path):
    pytest.importorskip("matplotlib")
    from adadiff import report

    evaluation = policy.evaluate(pipeline, table, policy=trained, bootstrap=50)
    report.write(
        evaluation, tmp_path / "report.html", pipeline=pipeline, training_lines=trained / "training.jsonl",
        figures=tmp_path / "figures", examples=3)  # fmt: skip
    rows = report.train_sweep(
        pipeline, table, table, tmp_path / "sweep", {"λ 0": {"lambda_": 0}, "steps only": {"gate": "steps"}}, epochs=1,
        held_out=0.25)  # fmt: skip
    assert [row["label"] for row in rows] == ["λ 0", "steps only"] and rows[1]["evaluation"]["rule"]["gate"] == "steps"
    page = (tmp_path / "report.html").read_text()
    report.write(evaluation, tmp_path / "sweeps.html", sweeps={"Reward ablation": rows})
    assert "steps only" in (tmp_path / "sweeps.html").read_text()
    assert page.count("data:image/png;base64,") == 6 and "<svg" in page and "src=\"http" not in page
    assert (tmp_path / "figures" / "steps-by-words.svg").exists() and (tmp_path / "figures" / "training.png").exists()


def test_ray_makes_the_same_table(pipeline_folder, pipeline, tmp_path):
    """Two workers, one killed half-way through a prompt: the table that one process makes."""
    ray = pytest.importorskip("ray")
    import adadiff.ray

    dead = tmp_path / "dead"

    def deadly(scoring: adadiff.Scoring) -> float:
        if scoring.prompt == PROMPTS[2] and scoring.steps == STEPS[1] and not dead.exists():
            dead.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return float(scoring.image.mean()) + scoring.steps / 10 + len(scoring.prompt) / 100

    options = {"step_set": STEPS, "seeds": 2}
    policy.collect(pipeline, PROMPTS, tmp_path / "alone.csv", scorer=brightness, **options)
    counted = []
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)
    try:
        adadiff.ray.collect(
            pipeline_folder, PROMPTS, tmp_path / "ray.csv", workers=2, scorer=deadly,
            progress=lambda done, total: counted.append((done, total)), **options)  # fmt: skip
    finally:
        ray.shutdown()
    assert dead.exists() and counted[-1] == (len(PROMPTS) * 2, len(PROMPTS) * 2)
    values = lambda path: {key(row): row["host"] for row in rows(path)}  # noqa: E731
    assert values(tmp_path / "ray.csv") == values(tmp_path / "alone.csv")
    assert len(rows(tmp_path / "ray.csv")) == len(PROMPTS) * 2 * len(STEPS)
    # The table goes on where another tool left it.
    assert policy.collect(pipeline, PROMPTS, tmp_path / "ray.csv", scorer=brightness, **options)["pictures_made"] == 0
