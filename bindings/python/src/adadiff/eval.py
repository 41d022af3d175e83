"""Pages about how well steps can be skipped, from the reports of ``adadiff skip eval``.

    adadiff skip eval --steps 50 --report r.json --pictures pictures
    python -m adadiff.eval r.json --html skip.html --lpips --fid

Needs ``pip install adadiff[eval]``. LPIPS is the package ``lpips`` (AlexNet, version 0.1), FID the package ``clean-fid``
(mode "clean"); both compare a row's pictures with the full run's, as AdaptiveDiffusion's tables do, and download their
networks on first use.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import sys
from pathlib import Path


def _pictures(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("*.png"), key=lambda path: int(path.stem))


def add_lpips(report: dict) -> None:
    """Adds ``lpips`` (mean and half width of the 95 % interval) to every row with pictures."""
    import lpips
    import numpy as np
    import torch
    from PIL import Image

    network = lpips.LPIPS(net="alex", version="0.1", verbose=False)

    def load(path: Path) -> "torch.Tensor":
        pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 127.5 - 1
        return torch.from_numpy(pixels.transpose(2, 0, 1))[None]

    full = [load(path) for path in _pictures(report["rows"][0]["pictures"])]
    for row in report["rows"][1:]:
        with torch.inference_mode():
            values = [
                float(network(load(path), reference)) for path, reference in zip(_pictures(row["pictures"]), full)
            ]
        row["lpips"] = {
            "mean": float(np.mean(values)),
            "half_width": float(1.96 * np.std(values, ddof=1) / len(values) ** 0.5) if len(values) > 1 else 0.0,
        }
    report["lpips_version"] = "lpips 0.1, alex"


def add_fid(report: dict) -> None:
    """Adds ``fid`` against the full run's pictures to every row with pictures."""
    from cleanfid import fid

    full = report["rows"][0]["pictures"]
    for row in report["rows"][1:]:
        row["fid"] = float(fid.compute_fid(full, row["pictures"], mode="clean", verbose=False, num_workers=0))
    report["fid_version"] = "clean-fid, clean"


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


_PAGE = """<!doctype html><meta charset="utf-8"><title>Skipped steps</title>
<style>body{font:15px/1.5 system-ui;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:13px}td,th{padding:.2rem .6rem;border-bottom:1px solid #ddd;text-align:right}
td:first-child,th:first-child{text-align:left}img{max-width:100%}</style>
<h1>Skipped steps</h1>{% for report in reports %}
<h2>{{ report.steps }} steps, {{ report.scheduler or "the pipeline's scheduler" }}</h2>
<p>{{ report.prompts | length }} prompts, seeds from {{ report.seed }}, AdaDiff {{ report.build.version }}
({{ report.build.isa }}, {{ report.build.threads }} processors). PSNR against the full run with the same noise, mean ± 95 %
interval.{% if report.lpips_version %} LPIPS: {{ report.lpips_version }}.{% endif %}
{% if report.fid_version %}FID: {{ report.fid_version }}.{% endif %}</p>
<table><tr><th>row<th>calls<th>partial<th>PSNR dB{% if report.lpips_version %}<th>LPIPS{% endif %}
{% if report.fid_version %}<th>FID{% endif %}<th>latent error<th>GMAC<th>peak MiB<th>ms<th>speed-up</tr>
{% for row in report.rows %}<tr><td>{{ row.name }}<td>{{ "%.1f" | format(row.network_calls.mean) }}
<td>{{ "%.1f" | format(row.partial_calls.mean) }}
<td>{% if loop.first %}–{% else %}{{ "%.2f ± %.2f" | format(row.psnr.mean, row.psnr.half_width) }}{% endif %}
{% if report.lpips_version %}<td>{% if row.lpips %}{{ "%.4f ± %.4f" | format(row.lpips.mean, row.lpips.half_width) }}
{% else %}–{% endif %}{% endif %}
{% if report.fid_version %}<td>{{ "%.2f" | format(row.fid) if row.fid is defined else "–" }}{% endif %}
<td>{{ "%.4f" | format(row.latent_error.mean) if not loop.first else "–" }}
<td>{{ "%.1f" | format(row.macs / 1e9) if row.macs else "–" }}
<td>{{ "%.0f" | format(row.peak_memory_kib / 1024) if row.peak_memory_kib else "–" }}
<td>{{ "%.0f" | format(row.denoise_ms.mean) }}
<td>{{ "%.2f" | format(report.rows[0].denoise_ms.mean / row.denoise_ms.mean) }}×</tr>{% endfor %}</table>
{{ report.figures | safe }}{% endfor %}
"""


def render(reports: list[dict]) -> str:
    """One self-contained page with a table and figures per report."""
    import jinja2

    for report in reports:
        skipping = [row for row in report["rows"][1:] if row["skip"] and row["masks"]]
        traced = [row for row in report["rows"][1:] if row["error_by_call"]]
        figures = [_figure(_quality(report), 9, 5)]
        if skipping:
            figures.append(_figure(_distribution(skipping), 9, 4))
            figures += [_figure(_paths(row), 7, 2.4) for row in skipping]
        if traced:
            figures.append(_figure(_errors(traced), 9, 4))
        report["figures"] = "\n".join(figures)
    return jinja2.Environment(autoescape=True).from_string(_PAGE).render(reports=reports)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m adadiff.eval", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("reports", nargs="+", type=Path, help="reports of `adadiff skip eval --report`")
    parser.add_argument("--html", type=Path, help="write one page with all reports")
    parser.add_argument("--lpips", action="store_true", help="add LPIPS (needs --pictures of the evaluation)")
    parser.add_argument("--fid", action="store_true", help="add FID (needs --pictures of the evaluation)")
    options = parser.parse_args(arguments)
    reports = []
    for path in options.reports:
        report = json.loads(path.read_text())
        if (options.lpips or options.fid) and not all("pictures" in row for row in report["rows"]):
            print(f"{path}: no pictures; run `adadiff skip eval` with --pictures", file=sys.stderr)
            return 2
        if options.lpips:
            add_lpips(report)
        if options.fid:
            add_fid(report)
        if options.lpips or options.fid:
            path.write_text(json.dumps(report))
        reports.append(report)
    for report in reports:
        for row in report["rows"]:
            extra = "".join(f"  {name} {row[name]['mean']:.4f}" for name in ("lpips",) if name in row)
            extra += f"  fid {row['fid']:.2f}" if "fid" in row else ""
            # The full run has no distance from itself.
            quality = row["psnr"]["mean"]
            psnr = "–" if quality is None or quality != quality else f"{quality:.2f}"
            print(f"{row['name']:<36} {row['network_calls']['mean']:6.2f} {psnr:>8}{extra}")
    if options.html:
        options.html.write_text(render(reports))
        print(f"wrote {options.html}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
