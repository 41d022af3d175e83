"""Pages about how well steps can be skipped, from the reports of ``adadiff skip eval``.

    adadiff skip eval --paper --report r.json --pictures pictures
    python -m adadiff.eval r.json --html skip.html --lpips --fid

Needs ``pip install adadiff[eval]``. LPIPS and FID compare a row's pictures with the full run's, as AdaptiveDiffusion's tables
do; see ``adadiff.distances`` for the networks that they need.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
from pathlib import Path

from . import distances
from ._skip_reports import differences, interval, merged


def add_lpips(evaluation: dict, alexnet: Path | None = None) -> None:
    """Adds ``lpips`` (mean and half width of the 95 % interval, and one value per prompt) to every row with pictures."""
    measure = distances.lpips_of(alexnet)
    full, *rows = evaluation["rows"]
    for row in rows:
        values = measure(distances.pictures(row["pictures"]), distances.pictures(full["pictures"]))
        row["lpips"], row["lpips_by_prompt"] = interval(values), values
    evaluation["lpips_version"] = distances.LPIPS_VERSION


def add_fid(evaluation: dict, inception: Path | None = None) -> None:
    """Adds ``fid`` against the full run's pictures to every row with pictures."""
    measure = distances.fid_of(inception)
    full, *rows = evaluation["rows"]
    for row in rows:
        row["fid"] = measure(row["pictures"], full["pictures"])
    evaluation["fid_version"] = distances.FID_VERSION


def _figure(draw, width: float = 7.0, height: float = 3.6) -> str:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(width, height), layout="constrained")
    draw(axes)
    data = io.BytesIO()
    figure.savefig(data, format="svg")
    pyplot.close(figure)
    return f'<img src="data:image/svg+xml;base64,{base64.b64encode(data.getvalue()).decode()}" alt="">'


def _quality(report: dict):
    def draw(axes):
        groups = {"fixed-mask": "s", "step-control": "D", "plain": "x", "DeepCache": "^"}
        for row in report["rows"][1:]:
            if row["psnr"]["mean"] is None:
                continue
            calls = row["network_calls"]["mean"] + 0.001
            kind = "plain" if row["steps"] else "DeepCache" if row["cache"] else row["skip"].split(":")[0]
            axes.errorbar(
                calls, row["psnr"]["mean"], row["psnr"]["half_width"], fmt=groups.get(kind, "o"), capsize=2, ms=5
            )
            axes.annotate(row["name"], (calls, row["psnr"]["mean"]), fontsize=6, xytext=(4, 2), textcoords="offset points")
        axes.set(xlabel="network calls per picture", ylabel="PSNR against the full run, dB")

    return draw


def _paths(row: dict):
    shades = {"R": 1.0, "P": 0.6, "E": 0.25, "S": 0.0}

    def draw(axes):
        longest = max(len(mask) for mask in row["masks"])
        grid = [[shades.get(letter, 0.0) for letter in mask.ljust(longest, "R")] for mask in row["masks"]]
        axes.imshow(grid, aspect="auto", cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xlabel="step", ylabel="prompt", title=row["name"])

    return draw


def _distribution(rows: list[dict]):
    def draw(axes):
        for row in rows:
            longest = max(len(mask) for mask in row["masks"])
            share = [
                sum(mask[step : step + 1] in ("S", "E") for mask in row["masks"]) / len(row["masks"])
                for step in range(longest)
            ]
            axes.step(range(longest), share, where="mid", label=row["name"])
        axes.set(xlabel="step", ylabel="share of prompts that skip it")
        axes.legend(fontsize=6)

    return draw


def _errors(rows: list[dict]):
    def draw(axes):
        for row in rows:
            axes.semilogy([max(error, 1e-7) for error in row["error_by_call"]], label=row["name"])
        axes.set(xlabel="step", ylabel="relative error of the latents")
        axes.legend(fontsize=6)

    return draw


def _ablation(rows: list[dict]):
    """Calls and quality over the threshold, one line per cap."""

    def draw(axes):
        for cap in sorted({row["cap"] for row in rows}):
            line = sorted((row for row in rows if row["cap"] == cap), key=lambda row: row["delta"])
            calls = [row["network_calls"]["mean"] for row in line]
            axes.plot(calls, [row["psnr"]["mean"] for row in line], "o-", ms=4, label=f"at most {cap} in a row")
            for row, x in zip(line, calls):
                axes.annotate(f"δ {row['delta']:g}", (x, row["psnr"]["mean"]), fontsize=6, xytext=(3, 3), textcoords="offset points")
        axes.set(xlabel="network calls per picture", ylabel="PSNR against the full run, dB", title="third-order: threshold and cap")
        axes.legend(fontsize=6)

    return draw


def _chi_square(paths: list[dict]):
    """p-value of independence between a rule's path and the searched one with as many skips."""

    def draw(axes):
        for number, path in enumerate(paths):
            points = sorted((it["skips"], max(it["p_value"], 1e-16)) for it in path["comparisons"])
            axes.semilogy(*zip(*points), "o-", ms=4, label=f"prompt {number}")
        axes.axhline(0.05, color="gray", lw=0.8)
        axes.set(xlabel="skipped steps", ylabel="p-value of χ²", title="rule's paths against greedily searched ones")
        axes.legend(fontsize=6)

    return draw


def _third_order_settings(row: dict) -> dict | None:
    """The row with its δ and C_max, where these are all that it sets and they change the picture."""
    name, _, text = row["skip"].partition(":")
    values = dict(pair.split("=") for pair in text.split(",")) if text else {}
    if name != "third-order" or set(values) != {"delta", "max_skip"} or row["psnr"]["mean"] is None:
        return None
    return {**row, "delta": float(values["delta"]), "cap": int(values["max_skip"])}


_PAGE = """<!doctype html><meta charset="utf-8"><title>Skipped steps</title>
<style>body{font:15px/1.5 system-ui;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:13px}td,th{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}</style>
<h1>Skipped steps</h1>{% for document in documents %}{% for report in document.evaluations %}
<h2>{{ report.steps }} steps, {{ report.scheduler or "the pipeline's scheduler" }}</h2>
<p>{{ document.prompts | length }} prompts, seeds from {{ report.seed }}, AdaDiff {{ document.build.version }}
({{ document.build.isa }}, {{ document.build.threads }} processors). PSNR against the full run with the same noise, mean ± 95 %
interval.{% if report.lpips_version %} LPIPS: {{ report.lpips_version }}.{% endif %}
{% if report.fid_version %}FID: {{ report.fid_version }}.{% endif %}</p>
<table><tr><th>row<th>calls<th>partial<th>PSNR dB{% if report.lpips_version %}<th>LPIPS{% endif %}
{% if report.fid_version %}<th>FID{% endif %}<th>latent error<th>GMAC<th>peak MiB<th>ms<th>speed-up</tr>
{% for row in report.rows %}<tr><td>{{ row.name }}<td>{{ "%.1f" | format(row.network_calls.mean) }}
<td>{{ "%.1f" | format(row.partial_calls.mean) }}
<td>{% if loop.first %}–{% elif row.psnr.mean is none %}equal{% else %}{{ "%.2f ± %.2f" | format(row.psnr.mean, row.psnr.half_width) }}{% endif %}
{% if report.lpips_version %}<td>{% if row.lpips %}{{ "%.4f ± %.4f" | format(row.lpips.mean, row.lpips.half_width) }}
{% else %}–{% endif %}{% endif %}
{% if report.fid_version %}<td>{{ "%.2f" | format(row.fid) if row.fid is defined else "–" }}{% endif %}
<td>{{ "%.4f" | format(row.latent_error.mean) if not loop.first else "–" }}
<td>{{ "%.1f" | format(row.macs / 1e9) if row.macs else "–" }}
<td>{{ "%.0f" | format(row.peak_memory_kib / 1024) if row.peak_memory_kib else "–" }}
<td>{{ "%.0f" | format(row.denoise_ms.mean) }}
<td>{{ "%.2f" | format(report.rows[0].denoise_ms.mean / row.denoise_ms.mean) }}×</tr>{% endfor %}</table>
{{ report.figures | safe }}{% endfor %}{% endfor %}
"""


def render(documents: list[dict]) -> str:
    """One self-contained page with a table and figures per evaluation."""
    import jinja2

    for report in (evaluation for document in documents for evaluation in document["evaluations"]):
        rows = report["rows"][1:]
        ablated = [settings for row in rows if (settings := _third_order_settings(row))]
        skipping = [row for row in rows if row["skip"] and row["masks"] and not _third_order_settings(row)]
        traced = [row for row in rows if row["error_by_call"] and not _third_order_settings(row)]
        figures = [_figure(_quality(report), 9, 5)]
        if skipping:
            figures.append(_figure(_distribution(skipping), 9, 4))
            figures += [_figure(_paths(row), 7, 2.4) for row in skipping]
        if traced:
            figures.append(_figure(_errors(traced), 9, 4))
        if ablated:
            figures.append(_figure(_ablation(ablated), 9, 4))
        if report["paths"]:
            figures.append(_figure(_chi_square(report["paths"]), 7, 3.6))
        report["figures"] = "\n".join(figures)
    return jinja2.Environment(autoescape=True).from_string(_PAGE).render(documents=documents)


def _print(evaluation: dict, against: str | None = None) -> None:
    print(f"{evaluation['steps']} steps, {evaluation['scheduler'] or 'the pipeline’s scheduler'}")
    reference = next((row for row in evaluation["rows"] if row["name"] == against), None)
    for row in evaluation["rows"]:
        extra = f"  lpips {row['lpips']['mean']:.4f}" if "lpips" in row else ""
        extra += f"  fid {row['fid']:.2f}" if "fid" in row else ""
        # The full run has no distance from itself.
        quality = row["psnr"]["mean"]
        psnr = "–" if quality is None or quality != quality else f"{quality:.2f} ± {row['psnr']['half_width']:.2f}"
        if reference is not None and row is not reference and row is not evaluation["rows"][0]:
            extra += "".join(
                f"  Δ{name} {it['mean']:+.4g} ± {it['half_width']:.2g}" for name, it in differences(row, reference).items())
        print(f"  {row['name']:<36} {row['network_calls']['mean']:6.2f} {psnr:>14}{extra}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m adadiff.eval", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("reports", nargs="+", type=Path, help="reports of `adadiff skip eval --report`")
    parser.add_argument("--html", type=Path, help="write one page with all reports")
    parser.add_argument("--merge", type=Path, help="write one report of all: the same rows on other prompts or seeds")
    parser.add_argument("--against", metavar="ROW", help="paired differences of every row from this one")
    parser.add_argument("--lpips", action="store_true", help="add LPIPS (needs --pictures of the evaluation)")
    parser.add_argument("--fid", action="store_true", help="add FID (needs --pictures of the evaluation)")
    parser.add_argument("--alexnet", type=Path, help="torchvision's AlexNet weights, for LPIPS where there is no network")
    parser.add_argument("--inception", type=Path, help="clean-fid's TorchScript file, for FID where there is no network")
    options = parser.parse_args(arguments)
    documents = []
    for path in options.reports:
        document = json.loads(path.read_text())
        if document.get("format") != 2:
            print(f"{path}: not a report of `adadiff skip eval`", file=sys.stderr)
            return 2
        rows = [row for evaluation in document["evaluations"] for row in evaluation["rows"]]
        if (options.lpips or options.fid) and not all("pictures" in row for row in rows):
            print(f"{path}: no pictures; run `adadiff skip eval` with --pictures", file=sys.stderr)
            return 2
        try:
            for evaluation in document["evaluations"]:
                if options.lpips:
                    add_lpips(evaluation, options.alexnet)
                if options.fid:
                    add_fid(evaluation, options.inception)
        except distances.MissingNetwork as missing:
            print(missing, file=sys.stderr)
            return 2
        if options.lpips or options.fid:
            path.write_text(json.dumps(document))
        documents.append(document)
    if options.merge:
        try:
            documents = [merged(documents)]
        except ValueError as why:
            print(why, file=sys.stderr)
            return 2
        options.merge.write_text(json.dumps(documents[0]))
    for document in documents:
        for evaluation in document["evaluations"]:
            _print(evaluation, options.against)
    if options.html:
        options.html.write_text(render(documents))
        print(f"wrote {options.html}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
