"""Reports of `adadiff skip eval`: several made one, and rows compared prompt by prompt."""

from __future__ import annotations

import statistics
from typing import Sequence

_MEASURES = ("psnr", "latent_error", "network_calls", "partial_calls", "predictions", "denoise_ms", "lpips")


def interval(values: Sequence[float | None]) -> dict[str, float | None]:
    """Mean and 1.96 standard errors; None (a picture equal to the full run's) is left out."""
    known = [value for value in values if value is not None]
    if not known:
        return {"mean": None, "half_width": 0.0}
    deviation = statistics.stdev(known) if len(known) > 1 else 0.0
    return {"mean": statistics.fmean(known), "half_width": 1.96 * deviation / len(known) ** 0.5}


def differences(row: dict, reference: dict) -> dict[str, dict]:
    """Mean and interval of `row` minus `reference` over the prompts that both have a value for."""
    found = {}
    for name in ("psnr", "lpips"):
        pairs = zip(row.get(f"{name}_by_prompt", ()), reference.get(f"{name}_by_prompt", ()))
        values = [a - b for a, b in pairs if a is not None and b is not None]
        if values:
            found[name] = interval(values)
    return found


def merged(documents: Sequence[dict]) -> dict:
    """One document of several with the same evaluations and rows. FID does not add up and is left out, as are figures of
    single prompts."""
    first, *others = documents
    shapes = [[(it["steps"], it["scheduler"], [row["name"] for row in it["rows"]]) for it in d["evaluations"]] for d in documents]
    if any(shape != shapes[0] for shape in shapes):
        raise ValueError("the reports have other evaluations or rows")
    result = {**first, "prompts": [prompt for document in documents for prompt in document["prompts"]]}
    result["evaluations"] = [
        {**parts[0], "rows": [_merged_row(rows) for rows in zip(*(part["rows"] for part in parts))]}
        for parts in zip(*(document["evaluations"] for document in documents))
    ]
    return result


def _merged_row(rows: Sequence[dict]) -> dict:
    row = {key: value for key, value in rows[0].items() if key not in ("fid", "pictures")}
    row["masks"] = [mask for part in rows for mask in part["masks"]]
    for name in _MEASURES:
        key = f"{name}_by_prompt"
        if all(key in part for part in rows):
            row[key] = [value for part in rows for value in part[key]]
            row[name] = interval(row[key])
        else:
            # Of some prompts only: no figure of all of them.
            row.pop(key, None)
            row.pop(name, None)
    macs = [part["macs"] * len(part["masks"]) for part in rows if part.get("macs")]
    if len(macs) == len(rows):
        row["macs"] = sum(macs) / len(row["masks"])
    return row
