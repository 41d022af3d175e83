"""Collecting rewards on a Ray cluster: `pip install adadiff[ray]`.

    import adadiff.ray
    adadiff.ray.collect("sd15", "prompts.txt", "rewards.csv", step_set=[10, 20, 50], workers=8)

Every worker opens the pipeline once and makes one prompt with one noise at a time; the driver alone writes the table, so
that nothing is lost when a worker dies (Ray gives its task to another one) and nothing is written twice. A table that was
begun, here or by `adadiff policy collect`, is gone on with.
"""

from __future__ import annotations

import csv
import os
import pathlib
import tempfile
from typing import Any, Callable, Sequence

import ray

from .pipeline import Pipeline
from .policy import collect as collect_here

_FIELDS = ("prompt", "seed", "steps")


def collect(
    model: str | os.PathLike[str],
    prompts: str | os.PathLike[str] | Sequence[str],
    table: str | os.PathLike[str],
    *,
    step_set: Sequence[int],
    seeds: int = 1,
    seed: int = 0,
    workers: int | None = None,
    threads: int = 1,
    retries: int = -1,
    progress: Callable[[int, int], Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """As `adadiff.policy.collect`; `model` is a folder that every machine of the cluster sees.

    `threads` per worker; a task that a dead worker leaves is repeated `retries` times (-1: for ever). `progress(done,
    total)` counts prompts with their noises.
    """
    if not ray.is_initialized():
        ray.init()
    texts = _prompts(prompts)
    table = pathlib.Path(table)
    units = [(text, seed + offset) for text in texts for offset in range(seeds)]
    present = _present(table, len(step_set))
    waiting = [unit for unit in units if unit not in present]
    if not table.exists():
        # The header and the settings file, checked and written as everywhere.
        first, waiting = waiting[:1], waiting[1:]
        for text, start in first:
            rows, header, settings = ray.get(_task(threads, retries).remote(os.fspath(model), text, start, list(step_set), threads, options))
            pathlib.Path(f"{table}.json").write_text(settings)
            _append(table, [header, *rows])
    worker = _task(threads, retries)
    limit = workers or max(1, int(ray.cluster_resources().get("CPU", 1) // threads))
    running: list[Any] = []
    done = len(units) - len(waiting)
    while waiting or running:
        while waiting and len(running) < limit:
            text, start = waiting.pop(0)
            running.append(worker.remote(os.fspath(model), text, start, list(step_set), threads, options))
        finished, running = ray.wait(running)
        for result in finished:
            rows, _, _ = ray.get(result)
            _append(table, rows)
            done += 1
            if progress is not None:
                progress(done, len(units))
    return {"prompts": len(texts), "seeds": seeds, "table": str(table), "units_made": len(units) - len(present & set(units))}


def _task(threads: int, retries: int) -> Any:
    return ray.remote(num_cpus=threads, max_retries=retries)(_make)


_open: dict[tuple[str, int], Pipeline] = {}


def _make(model: str, prompt: str, seed: int, step_set: list[int], threads: int, options: dict[str, Any]) -> tuple[list[list[str]], list[str], str]:
    """In a worker: the rows of one prompt with one noise, the header, and the settings file."""
    key = (model, threads)
    if key not in _open:
        _open[key] = Pipeline(model, threads=threads)
    with tempfile.TemporaryDirectory() as folder:
        table = pathlib.Path(folder) / "part.csv"
        collect_here(_open[key], [prompt], table, step_set=step_set, seed=seed, **options)
        with table.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        return rows, header, pathlib.Path(f"{table}.json").read_text()


def _prompts(prompts: str | os.PathLike[str] | Sequence[str]) -> list[str]:
    if isinstance(prompts, (str, os.PathLike)):
        return pathlib.Path(prompts).read_text(encoding="utf-8").splitlines()
    return list(prompts)


def _present(table: pathlib.Path, choices: int) -> set[tuple[str, int]]:
    """Prompts with noises that have all their rows; others are cut from the table, so that they are made whole."""
    if not table.exists():
        return set()
    with table.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    prompt, seed = (header.index(name) for name in _FIELDS[:2])
    counts: dict[tuple[str, int], int] = {}
    for row in rows:
        if len(row) == len(header):
            key = (row[prompt], int(row[seed]))
            counts[key] = counts.get(key, 0) + 1
    whole = {key for key, count in counts.items() if count == choices}
    kept = [row for row in rows if len(row) == len(header) and (row[prompt], int(row[seed])) in whole]
    if len(kept) != len(rows):
        temporary = table.with_suffix(".new")
        _append(temporary, [header, *kept])
        os.replace(temporary, table)
    return whole


def _append(table: pathlib.Path, rows: Sequence[Sequence[str]]) -> None:
    with table.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
        file.flush()
        os.fsync(file.fileno())
