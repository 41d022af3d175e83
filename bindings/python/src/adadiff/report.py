"""Figures and one self-contained page from an evaluation: `pip install adadiff[eval]`.

    python -m adadiff.report evaluation.json --model sd15 --training sd15/policy/training.jsonl --output report.html

`evaluation.json` is what `adadiff policy eval --output` or `adadiff.policy.evaluate` gives. With `--model` the page shows
example prompts, easy to hard, at the chosen and at the largest number of steps. `--figures FOLDER` also writes every figure
as SVG and PNG.
"""

from __future__ import annotations

import argparse
import base64
import html
import io
import json
import os
import pathlib
from typing import Any, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from . import policy as policies  # noqa: E402
from .pipeline import Pipeline  # noqa: E402

matplotlib.rcParams.update({"axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 120, "svg.hashsalt": "adadiff"})


def trade_off(evaluation: dict[str, Any], metric: str = "quality") -> plt.Figure:
    """Mean steps against a metric: fixed counts as a line, everything else as points.

    Intervals over prompts mostly say how prompts differ; `differences` shows whether policies do."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    fixed = [row for row in evaluation["policies"] if row["name"].startswith("fixed ")]
    axes.plot([r["steps"]["mean"] for r in fixed], [r["values"][metric]["mean"] for r in fixed], "o-", color="0.55", label="fixed")
    for row in evaluation["policies"]:
        if row["name"].startswith("fixed"):
            continue
        kind = "s" if row["name"] == "learned" else "^"
        axes.plot(row["steps"]["mean"], row["values"][metric]["mean"], kind, label=row["name"])
    axes.set(xlabel="mean steps", ylabel=metric)
    axes.legend(fontsize=7)
    figure.tight_layout()
    return figure


def steps_by_words(evaluation: dict[str, Any]) -> plt.Figure:
    """The paper's Figure 3: chosen steps against the number of words; and against the kind of prompt where tables have one."""
    choices = evaluation["choices"]
    groups = list(dict.fromkeys(choice["group"] for choice in choices if choice["group"]))
    figure, axes = plt.subplots(1, 2 if groups else 1, figsize=(9.6 if groups else 5.2, 3.8), squeeze=False)

    def bars(axis: Any, keys: Sequence[Any], names: Sequence[Any], values: Sequence[Sequence[float]]) -> None:
        means = [np.mean(v) for v in values]
        errors = [1.96 * np.std(v, ddof=1) / len(v) ** 0.5 if len(v) > 1 else 0 for v in values]
        axis.bar(range(len(keys)), means, yerr=errors, color="tab:blue", capsize=2)
        axis.set_xticks(range(len(keys)), names)
        axis.set_ylabel("mean steps")

    counts = sorted({int(choice["words"]) for choice in choices})
    bars(axes[0][0], counts, counts, [[c["steps"] for c in choices if int(c["words"]) == n] for n in counts])
    axes[0][0].set_xlabel("words")
    if groups:
        bars(axes[0][1], groups, groups, [[c["steps"] for c in choices if c["group"] == g] for g in groups])
        axes[0][1].set_xlabel("kind of prompt")
        axes[0][1].tick_params(axis="x", rotation=30)
    figure.tight_layout()
    return figure


def histogram(evaluation: dict[str, Any]) -> plt.Figure:
    """How often the learned policy and the oracle take every number of steps."""
    figure, axes = plt.subplots(figsize=(5.2, 3.4))
    shown = [row for row in evaluation["policies"] if row["name"] in ("learned", "oracle")]
    places = np.arange(len(evaluation["step_set"]))
    for index, row in enumerate(shown):
        axes.bar(places + (index - 0.5) * 0.4, row["histogram"], 0.4, label=row["name"])
    axes.set_xticks(places, evaluation["step_set"])
    axes.set(xlabel="steps", ylabel="share of prompts")
    axes.legend()
    figure.tight_layout()
    return figure


def differences(evaluation: dict[str, Any], metric: str = "quality") -> plt.Figure:
    """The learned policy minus its rivals, with 95 % intervals."""
    rows = evaluation["differences"]
    figure, axes = plt.subplots(figsize=(6.4, 0.5 * len(rows) + 1.2))
    for index, row in enumerate(rows):
        value = row["values"][metric]
        axes.errorbar(
            value["mean"], index, xerr=[[value["mean"] - value["low"]], [value["high"] - value["mean"]]], fmt="o", capsize=3, color="tab:blue")
    axes.axvline(0, color="0.5", linewidth=1)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set_xlabel(metric)
    figure.tight_layout()
    return figure


def training(lines: str | os.PathLike[str], step_set: Sequence[int] | None = None) -> plt.Figure:
    """Diagnostics of a training: reward, entropy, agreement with the best choice, and the histogram of choices."""
    records = [json.loads(line) for line in pathlib.Path(lines).read_text().splitlines()]
    epochs = [record["epoch"] for record in records]
    figure, axes = plt.subplots(2, 2, figsize=(9.6, 6))
    axes[0][0].plot(epochs, [r["training_reward"] for r in records], label="training, expected")
    axes[0][0].plot(epochs, [r["reward"] for r in records], label="held out, best choice")
    axes[0][0].plot(epochs, [r["expected_reward"] for r in records], label="held out, expected")
    axes[0][0].plot(epochs, [r["best_reward"] for r in records], "--", color="0.5", label="oracle")
    axes[0][0].set_ylabel("reward")
    axes[0][0].legend(fontsize=7)
    axes[0][1].plot(epochs, [r["entropy"] for r in records])
    axes[0][1].set_ylabel("entropy (nat)")
    axes[1][0].plot(epochs, [r["agreement"] for r in records], label="agreement with the best choice")
    axes[1][0].set(xlabel="epoch", ylabel="share", ylim=(0, 1))
    axes[1][0].legend(fontsize=7)
    names = step_set or range(len(records[0]["histogram"]) if records else 0)
    axes[1][1].stackplot(epochs, np.array([r["histogram"] for r in records]).T, labels=[str(name) for name in names])
    axes[1][1].set(xlabel="epoch", ylabel="share of choices")
    axes[1][1].legend(fontsize=7)
    figure.tight_layout()
    return figure


def sweep(rows: Sequence[dict[str, Any]], metric: str = "quality") -> plt.Figure:
    """Trade-off over trained settings: `rows` are {"label", "evaluation"}; the learned policy of each (Figure 5, Table 7)."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2))
    for row in rows:
        learned = next(r for r in row["evaluation"]["policies"] if r["name"] == "learned")
        axes.plot(learned["steps"]["mean"], learned["values"][metric]["mean"], "o")
        axes.annotate(row["label"], (learned["steps"]["mean"], learned["values"][metric]["mean"]), fontsize=7)
    if rows:
        fixed = [row for row in rows[0]["evaluation"]["policies"] if row["name"].startswith("fixed ")]
        axes.plot([r["steps"]["mean"] for r in fixed], [r["values"][metric]["mean"] for r in fixed], "-", color="0.6", label="fixed")
        axes.legend(fontsize=7)
    axes.set(xlabel="mean steps", ylabel=metric)
    figure.tight_layout()
    return figure


def _svg(figure: plt.Figure) -> str:
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def _table(rows: list[dict[str, Any]], columns: Sequence[str]) -> str:
    def cell(value: dict[str, float] | None) -> str:
        if value is None:
            return "<td>–</td>"
        return f"<td>{value['mean']:.3f}<small> [{value['low']:.3f}, {value['high']:.3f}]</small></td>"

    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", "steps", *columns))
    body = "".join(
        f"<tr><th>{html.escape(row['name'])}</th>{cell(row.get('steps') or row['values'].get('steps'))}"
        + "".join(cell(row["values"].get(column)) for column in columns) + "</tr>"
        for row in rows
    )  # fmt: skip
    return f"<table><tr>{head}</tr>{body}</table>"


def _examples(pipeline: Pipeline, evaluation: dict[str, Any], count: int, seed: int) -> str:
    """The paper's Figure 4: prompts from few to many chosen steps, each at the chosen and at the largest number."""
    from tempfile import TemporaryDirectory

    ordered = sorted(evaluation["choices"], key=lambda choice: (choice["steps"], choice["words"]))
    if not ordered:
        return ""
    picked = [ordered[round(place)] for place in np.linspace(0, len(ordered) - 1, min(count, len(ordered)))]
    most = evaluation["step_set"][-1]
    cells = []
    with TemporaryDirectory() as folder:
        for choice in picked:
            pictures = ""
            for steps in (choice["steps"], most):
                path = pathlib.Path(folder) / "picture.png"
                pipeline(choice["prompt"], steps=steps, seed=seed).save(path)
                data = base64.b64encode(path.read_bytes()).decode()
                pictures += f'<figure><img src="data:image/png;base64,{data}"><figcaption>{steps} steps</figcaption></figure>'
            cells.append(f"<div class=example>{pictures}<p>{html.escape(choice['prompt'])}</p></div>")
    return f"<h2>Examples, easy to hard</h2><p>Left the chosen number of steps, right {most}; the same noise.</p><div class=examples>{''.join(cells)}</div>"


_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}
td,th{padding:.2rem .6rem;text-align:right;border-bottom:1px solid #ddd}th:first-child{text-align:left}small{color:#777}
.examples{display:flex;flex-wrap:wrap;gap:1rem}.example{width:15rem}.example figure{display:inline-block;margin:0 .3rem 0 0;width:7rem}
.example img{width:7rem;image-rendering:auto}figcaption,.example p{font-size:.8rem}svg{max-width:100%;height:auto}"""


def write(
    evaluation: dict[str, Any],
    output: str | os.PathLike[str],
    *,
    pipeline: Pipeline | None = None,
    training_lines: str | os.PathLike[str] | None = None,
    figures: str | os.PathLike[str] | None = None,
    examples: int = 12,
    seed: int = 0,
    sweeps: dict[str, list[dict[str, Any]]] | None = None,
) -> None:
    """Writes one HTML file with tables, figures and, with `pipeline`, pictures; no other file is needed to read it.

    `sweeps` holds results of `train_sweep` by title: the reward ablation, the trade-off over k and λ, transfer."""
    metrics = evaluation["metrics"]
    drawn = {f"trade-off-{metric}": trade_off(evaluation, metric) for metric in ["quality", *metrics]}
    if evaluation["choices"]:
        drawn |= {"steps-by-words": steps_by_words(evaluation), "histogram": histogram(evaluation)}
        drawn |= {f"differences-{metric}": differences(evaluation, metric) for metric in metrics}
    if training_lines is not None:
        drawn["training"] = training(training_lines, evaluation["step_set"])
    tables = ""
    for title, rows in (sweeps or {}).items():
        learned = [{**next(r for r in row["evaluation"]["policies"] if r["name"] == "learned"), "name": row["label"]} for row in rows]
        tables += f"<h2>{html.escape(title)}</h2>{_table(learned, metrics)}"
        drawn |= {f"{title}: {metric}": sweep(rows, metric) for metric in metrics}
    if figures is not None:
        pathlib.Path(figures).mkdir(parents=True, exist_ok=True)
        for name, figure in drawn.items():
            for kind in ("svg", "png"):
                file = "".join(c if c.isalnum() or c == "-" else "-" for c in name)
                figure.savefig(pathlib.Path(figures) / f"{file}.{kind}", metadata={"Date": None} if kind == "svg" else None)
    columns = ["reward_of_rule", "quality", *metrics, "ms"]
    parts = [
        f"<h1>Step policies on {html.escape(str(evaluation['table']))}</h1>",
        f"<p>{evaluation['prompts']} prompts, steps {evaluation['step_set']}; brackets are 95 % bootstrap intervals over prompts.</p>",
        _table(evaluation["policies"], columns),
        "<h2>Differences</h2>" + _table(evaluation["differences"], columns[:-1]) if evaluation["differences"] else "",
        tables,
        *(f"<h2>{html.escape(name.replace('-', ' '))}</h2>{_svg(figure)}" for name, figure in drawn.items()),
        _examples(pipeline, evaluation, examples, seed) if pipeline is not None else "",
    ]
    for figure in drawn.values():
        plt.close(figure)
    page = f"<!doctype html><html lang=en><meta charset=utf-8><title>Step policies</title><style>{_STYLE}</style>{''.join(parts)}</html>\n"
    pathlib.Path(output).write_text(page, encoding="utf-8")


def train_sweep(
    pipeline: Pipeline,
    table: str | os.PathLike[str],
    test_table: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    settings: dict[str, dict[str, Any]],
    **options: Any,
) -> list[dict[str, Any]]:
    """Trains one policy per setting and evaluates it on `test_table`: the reward ablation, the trade-off over k and λ, or
    with tables of two prompt distributions the transfer between them. Returns rows for `sweep`."""
    rows = []
    for label, setting in settings.items():
        target = pathlib.Path(folder) / "".join(c if c.isalnum() else "-" for c in label)
        target.parent.mkdir(parents=True, exist_ok=True)
        policies.train(pipeline, table, target, **{**options, **setting})
        rewards = {key: value for key, value in {**options, **setting}.items() if key.rstrip("_") in policies._REWARD}
        rows.append({"label": label, "evaluation": policies.evaluate(pipeline, test_table, policy=target, **rewards)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m adadiff.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", help="JSON of `adadiff policy eval --output`")
    parser.add_argument("--output", default="report.html")
    parser.add_argument("--model", help="pipeline folder, for example pictures")
    parser.add_argument("--training", help="training.jsonl of the policy folder")
    parser.add_argument("--figures", help="folder for the figures as SVG and PNG")
    parser.add_argument("--sweep", action="append", default=[], metavar="TITLE=FILE", help="JSON of `train_sweep`; repeatable")
    parser.add_argument("--examples", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write(
        json.loads(pathlib.Path(arguments.evaluation).read_text()), arguments.output,
        pipeline=Pipeline(arguments.model) if arguments.model else None, training_lines=arguments.training,
        figures=arguments.figures, examples=arguments.examples, seed=arguments.seed,
        sweeps={title: json.loads(pathlib.Path(file).read_text()) for title, _, file in (each.partition("=") for each in arguments.sweep)},
    )  # fmt: skip


if __name__ == "__main__":
    main()
