"""Skip rules, feature caches and calibration, as a Python host and a shell see them."""

from __future__ import annotations

import json
import math
import shutil

import pytest
from test_command import run  # noqa: F401

import adadiff

SCHEDULERS = ["ddim", "euler", "dpmpp_2m", "dpmpp_2m_sde", "unipc", "pndm", "lcm"]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_rule_saves_calls_and_its_mask_replays(pipeline, scheduler):
    made = pipeline("a cat", steps=12, scheduler=scheduler, seed=1, skip="step-control:tolerance=10")
    report = made.report
    assert report["network_calls"] < report["steps_run"]
    assert report["mask"].count("R") == report["network_calls"]
    assert report["skip"] == "step-control:tolerance=10"
    assert {step["action"] for step in report["steps"]} == {"run", "extrapolate"}
    again = pipeline("a cat", steps=12, scheduler=scheduler, seed=1, skip=f"fixed-mask:mask={report['mask']}")
    assert (again.latents == made.latents).all()


def test_json_and_text_are_the_same(pipeline):
    rule = json.dumps({"name": "every", "n": 3, "order": 0})
    assert pipeline("x", steps=6, seed=1, skip=rule).report["skip"] == "every:n=3,order=0"


def test_partial_steps(pipeline):
    report = pipeline("x", steps=6, seed=1, cache="deepcache:interval=2,branch=1").report
    assert report["mask"] == "RPRPRP" and report["partial_calls"] == 3


@pytest.mark.parametrize(
    ("options", "error", "word"),
    [
        ({"skip": "magic"}, adadiff.UnknownName, "third-order"),
        ({"skip": "third-order:gamma=1"}, adadiff.UnknownName, "delta"),
        ({"skip": "third-order:delta=-1"}, adadiff.OutOfRange, "delta"),
        ({"skip": "fixed-mask:mask=RRR"}, adadiff.ShapeMismatch, "6"),
        ({"skip": "every:correct=true", "scheduler": "unipc"}, adadiff.Unsupported, "DDIM"),
        ({"skip": "fixed-mask:mask=RPRPRP"}, adadiff.InvalidArgument, "cache"),
        ({"cache": "deepcache:branch=99"}, adadiff.OutOfRange, "branch"),
        ({"cache": "teacache"}, adadiff.UnknownName, "deepcache"),
        ({"quality": 30.0}, adadiff.NotFound, "calibrate"),
    ],
)
@pytest.mark.parametrize("steps", [6, "auto"])
def test_bad_input_names_what_is_known_before_any_work(pipeline, options, error, word, steps):
    stages = []
    with pytest.raises(error, match=word):
        pipeline("x", steps=steps, seed=1, policy="fixed:6", callback=lambda p: stages.append(p.stage), **options)
    assert not stages


@pytest.mark.parametrize(
    ("policy", "mask", "deadline", "word"),
    [
        ("fixed:4", "RRR", 0, "4 steps"),
        ("words:steps=4/8,thresholds=2", "RR0R", 0, "8 steps"),
        ("random:steps=4/8/9,weights=1/0/1", "RR0R", 0, "9 steps"),
        (None, "RR0R", 0, "5 steps"),
        ("fixed:4", "RR0R", 3_600_000, "1 steps"),
    ],
)
def test_masks_fit_every_step_count_that_the_policy_may_choose(pipeline, policy, mask, deadline, word):
    """Whatever the prompt: the error comes before the text encoder runs. Stretching serves all counts."""
    stages = []
    options = {"steps": "auto", "policy": policy, "deadline_ms": deadline, "seed": 1, "scheduler": "ddim"}
    with pytest.raises(adadiff.ShapeMismatch, match=word):
        pipeline("x", skip=f"fixed-mask:mask={mask}", callback=lambda p: stages.append(p.stage), **options)
    assert not stages
    assert pipeline("x", skip=f"fixed-mask:mask={mask},resample=true", **options).report["mask"].startswith("R")


def test_a_mask_serves_the_only_count_that_can_be_chosen(pipeline):
    options = {"steps": "auto", "skip": "fixed-mask:mask=RR0R", "seed": 1, "scheduler": "ddim"}
    for policy in ("fixed:4", "random:steps=4/8,weights=1/0"):
        assert pipeline("x", policy=policy, **options).report["mask"] == "RRER"


def test_evaluation_and_page(run, tmp_path):  # noqa: F811
    rows = ["skip=third-order:delta=1;name=reuse", "steps=4", "cache=deepcache:interval=2", "skip=every:n=2"]
    result = run(
        "skip", "eval", "--steps", "8", "--count", "2", "--report", "r.json", "--pictures", "p", "--mask", "5",
        *[text for row in rows for text in ("--row", row)],
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    document = json.loads((tmp_path / "r.json").read_text())
    (report,) = document["evaluations"]
    assert [row["name"] for row in report["rows"]] == ["full", "reuse", "steps=4", rows[2], rows[3], "fixed mask, 5 calls"]
    full, reuse, fewer, cached, every, mask = report["rows"]
    assert full["network_calls"]["mean"] == 8 and fewer["network_calls"]["mean"] == 4
    assert every["network_calls"]["mean"] == 4 and every["masks"][0] == "RERERERE"
    assert mask["network_calls"] == {"mean": 5, "half_width": 0}
    assert 0 < cached["macs"] < full["macs"] == 2 * fewer["macs"]
    assert all(math.isfinite(row["psnr"]["mean"]) for row in report["rows"][1:])
    assert len(list((tmp_path / "p" / "1").glob("*.png"))) == 2
    assert "http" not in page_of(tmp_path / "r.json").replace("http://www.w3.org", "")


def page_of(report) -> str:
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    from adadiff import eval as evaluation

    page = report.with_suffix(".html")
    assert evaluation.main([str(report), "--html", str(page)]) == 0
    return page.read_text()


def test_one_command_makes_the_paper_s_tables_and_figures(run, tmp_path):  # noqa: F811
    result = run(
        "skip", "eval", "--paper", "--steps", "8", "--steps", "6", "--scheduler", "ddim", "--scheduler", "dpmpp_2m_sde",
        "--count", "1", "--report", "r.json", "--quiet",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    first, *others = json.loads((tmp_path / "r.json").read_text())["evaluations"]
    found = [(it["scheduler"], it["steps"]) for it in (first, *others)]
    assert found == [("ddim", 8), ("ddim", 6), ("dpmpp_2m_sde", 8), ("dpmpp_2m_sde", 6)]
    names = {row["name"].split(" ")[0] for row in others[0]["rows"]}
    assert {"third-order", "ZEUS", "EasyCache", "UCache", "SADA", "DeepCache", "step"} <= names
    assert {f"DeepCache N={n}" for n in (2, 3, 5)} <= {row["name"] for row in others[0]["rows"]}
    # Thresholds and caps, the error along the trajectory, and rule paths against searched ones, in the first.
    assert sum(row["name"].startswith("third-order δ=") for row in first["rows"]) == 16
    assert len(first["rows"][1]["error_by_call"]) == 8
    (path,) = first["paths"]
    assert path["errors_by_skips"] and len(path["comparisons"]) == 6
    assert all(0 <= it["p_value"] <= 1 and len(it["mask"]) == len(it["searched"]) == 8 for it in path["comparisons"])
    page = page_of(tmp_path / "r.json")
    assert page.count("<h2>") == 4 and page.count("data:image/svg") > 20


def test_reports_of_other_prompts_merge(run, tmp_path, capsys):  # noqa: F811
    from adadiff import eval as evaluation

    def report(name, *arguments):
        result = run(
            "skip", "eval", "--steps", "6", "--row", "steps=3", "--row", "skip=every:n=2", "--report", name, *arguments)
        assert result.returncode == 0, result.stderr
        return json.loads((tmp_path / name).read_text())

    both = report("both.json", "--count", "2", "--seed", "4")
    (tmp_path / "second.txt").write_text(both["prompts"][1])
    parts = [report("a.json", "--count", "1", "--seed", "4"), report("b.json", "--prompts", "second.txt", "--seed", "5")]
    arguments = [str(tmp_path / name) for name in ("a.json", "b.json")]
    assert evaluation.main([*arguments, "--merge", str(tmp_path / "ab.json"), "--against", "steps=3"]) == 0
    printed = capsys.readouterr().out
    whole = json.loads((tmp_path / "ab.json").read_text())
    assert whole["prompts"] == both["prompts"] and len(parts) == 2
    pairs = list(zip(whole["evaluations"][0]["rows"], both["evaluations"][0]["rows"], strict=True))
    for row, expected in pairs[1:]:
        assert row["masks"] == expected["masks"] and row["macs"] == pytest.approx(expected["macs"])
        for name in ("psnr", "latent_error", "network_calls"):
            assert row[name] == pytest.approx(expected[name])
    plain, every = (row["psnr_by_prompt"] for row, _ in pairs[1:])
    assert f"Δpsnr {(sum(every) - sum(plain)) / 2:+.4g}" in printed
    # LPIPS of one part is none of all.
    for row in parts[0]["evaluations"][0]["rows"]:
        row["lpips"], row["lpips_by_prompt"] = {"mean": 0.1, "half_width": 0.0}, [0.1]
    (tmp_path / "a.json").write_text(json.dumps(parts[0]))
    assert evaluation.main([*arguments, "--merge", str(tmp_path / "ab.json")]) == 0
    assert "lpips" not in capsys.readouterr().out and "lpips" not in (tmp_path / "ab.json").read_text()
    (tmp_path / "b.json").write_text(json.dumps({**parts[1], "evaluations": []}))
    assert evaluation.main([*arguments, "--merge", str(tmp_path / "no.json")]) == 2 and not (tmp_path / "no.json").exists()


def test_wrong_reports_and_missing_networks_are_named(tmp_path, capsys):
    from adadiff import eval as evaluation

    (tmp_path / "r.json").write_text("{}")
    assert evaluation.main([str(tmp_path / "r.json")]) == 2 and "not a report" in capsys.readouterr().err
    row = {"name": "full", "network_calls": {"mean": 1}, "psnr": {"mean": None}}
    text = json.dumps({"format": 2, "evaluations": [{"rows": [row]}]})
    (tmp_path / "r.json").write_text(text)
    assert evaluation.main([str(tmp_path / "r.json"), "--fid"]) == 2 and "--pictures" in capsys.readouterr().err
    for name in ("torch", "lpips", "PIL"):
        pytest.importorskip(name)
    (tmp_path / "r.json").write_text(text.replace('"name"', '"pictures": "p", "name"'))
    assert evaluation.main([str(tmp_path / "r.json"), "--lpips", "--alexnet", str(tmp_path / "none.pth")]) == 2
    assert "none.pth" in capsys.readouterr().err


def test_search(run):  # noqa: F811
    result = run("skip", "search", "mask", "--steps", "8", "--count", "2", "--calls", "5", "--json")
    mask = json.loads(result.stdout)["masks"][0].split("mask=")[1].split(",")[0]
    assert len(mask) == 8 and mask.count("R") == 5
    result = run("skip", "search", "greedy", "--steps", "6", "--count", "1", "--skips", "2", "--json")
    (comparison,) = json.loads(result.stdout)["paths"][0]["comparisons"]
    assert comparison["searched"].count("0") <= 2 and 0 <= comparison["p_value"] <= 1


def test_calibration_writes_a_front_that_serves_qualities(run, pipeline_folder, tmp_path):  # noqa: F811
    model = tmp_path / "model"
    shutil.copytree(pipeline_folder, model)
    result = run("calibrate", model, "--steps", "10", "--count", "2", "--quiet")
    assert result.returncode == 0, result.stderr
    entries = json.loads((model / "adaptive.json").read_text())["entries"]
    # Which ways are on the front depends on the times measured; that it is one does not.
    for cheaper, dearer in zip(entries, entries[1:]):
        assert cheaper["ms"] <= dearer["ms"] and cheaper["quality"] < dearer["quality"]
    assert entries[-1]["quality"] == 100
    pipeline = adadiff.Pipeline(model)
    for entry in entries:
        report = pipeline("x", quality=entry["quality"], steps="auto", policy="fixed:10", seed=1).report
        assert report["policy"]["name"] == "calibrated" or report["steps_planned"] == 10
        assert (report["skip"] or "").split(":")[0] == entry["skip"].split(":")[0]
        assert (report["cache"] or "") == entry["cache"]


PROFILE = [
    {"name": "few", "steps": 4, "quality": 20.0, "ms": 1.0},
    {"name": "mask", "steps": 8, "skip": "fixed-mask:mask=RRR0R0R0", "quality": 30.0, "ms": 2.0},
    {"name": "cached", "steps": 8, "cache": "deepcache:interval=2", "quality": 40.0, "ms": 3.0},
    {"name": "full", "steps": 8, "quality": 100.0, "ms": 4.0},
]


@pytest.mark.parametrize(
    ("quality", "calls", "partial", "mask"),
    [
        (0.0, 4, 0, "RRRR"),
        (20.0, 4, 0, "RRRR"),
        (20.1, 5, 0, "RRRERERE"),
        (30.1, 4, 4, "RPRPRPRP"),
        (40.1, 8, 0, "RRRRRRRR"),
        (200.0, 8, 0, "RRRRRRRR"),
    ],
)
def test_the_cheapest_way_of_enough_quality_is_taken(pipeline_folder, tmp_path, quality, calls, partial, mask):
    model = tmp_path / "model"
    shutil.copytree(pipeline_folder, model)
    shutil.rmtree(model / "policy")
    (model / "adaptive.json").write_text(json.dumps({"format": 1, "steps": 8, "entries": PROFILE}))
    report = adadiff.Pipeline(model)("x", quality=quality, steps="auto", seed=1, scheduler="ddim").report
    assert (report["network_calls"], report["partial_calls"], report["mask"]) == (calls, partial, mask)


def test_a_broken_calibration_is_named(run, pipeline_folder, tmp_path):  # noqa: F811
    model = tmp_path / "model"
    shutil.copytree(pipeline_folder, model)
    (model / "adaptive.json").write_text('{"format": 1, "steps": 5, "entries": [{"steps": 5}]}')
    with pytest.raises(adadiff.Corrupt, match="adaptive.json"):
        adadiff.Pipeline(model)("x", quality=20.0)


def test_rules_are_listed(run):  # noqa: F811
    text = run("skip", "rules").stdout
    for name in ("third-order", "zeus", "easycache", "ucache", "sada", "step-control", "deepcache"):
        assert name in text
