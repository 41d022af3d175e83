"""Learning how many sampling steps a prompt deserves: collect rewards, train, evaluate, decide.

    pipeline = adadiff.Pipeline("sd15")
    adadiff.policy.collect(pipeline, "prompts.txt", "rewards.csv", step_set=[10, 20, 50])
    adadiff.policy.train(pipeline, "rewards.csv", "sd15/policy", learning_rate=1e-4)
    adadiff.policy.evaluate(pipeline, "held-out.csv")

Keywords are options of the library without their prefix (`adadiff.options()` lists them): `lambda_` for `reward_lambda`,
`epochs` for `train_epochs`, and so on; full names work everywhere.
"""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from typing import Any, Callable, Iterable, Sequence

import numpy as np

from ._errors import InvalidArgument, make
from ._library import lib
from ._options import CancelToken, Options, Progress, Scoring, encoded
from .pipeline import Pipeline

_REWARD = ("lambda", "gamma", "gate", "top_k", "threshold", "scale", "metrics")
_TRAIN = (
    "estimator", "baseline", "entropy_weight", "final_entropy_weight", "epochs", "batch", "learning_rate", "weight_decay",
    "dropout", "held_out", "patience", "checkpoint_every", "resume", "layers", "heads", "feed_forward", "head_hidden",
    "microbatch",
)  # fmt: skip


def _named(keywords: dict[str, Any], prefixes: dict[str, Sequence[str]]) -> dict[str, Any]:
    result = {}
    for key, value in keywords.items():
        plain = key.rstrip("_")
        prefix = next((prefix for prefix, names in prefixes.items() if plain in names), "")
        result[prefix + plain] = value
    return result


def _report(
    function: Callable[..., int],
    pipeline: Pipeline,
    arguments: Sequence[bytes],
    values: dict[str, Any],
    callback: Callable[[Progress], Any] | None,
    cancel: CancelToken | None,
    score: Callable[[Scoring], float] | None = None,
    extra: Sequence[Any] = (),
) -> dict[str, Any]:
    options = Options(values)
    options.collect_warnings()
    if callback is not None:
        options.on_progress(callback)
    if score is not None:
        options.on_score(score)
    with options.running(cancel):
        tensors = make(function, pipeline._handle, *arguments, *extra, options.handle)
    try:
        return json.loads(lib.adadiff_tensors_report(tensors) or b"{}")
    finally:
        lib.adadiff_tensors_free(tensors)


def _path(path: str | os.PathLike[str], what: str) -> bytes:
    return encoded(os.fspath(path), what)


def decide(pipeline: Pipeline, prompt: str, *, policy: str | None = None, quality: float | None = None, **options: Any) -> dict[str, Any]:
    """Steps that a policy would take for `prompt`, and why: `{"steps", "policy": {"name", "probabilities", …}}`."""
    values = {"policy": policy, "policy_quality": quality, **options}
    return _report(lib.adadiff_policy_decide, pipeline, [encoded(prompt, "prompt")], values, None, None)


def score(
    pipeline: Pipeline,
    prompt: str,
    image: np.ndarray,
    *,
    metrics: str | None = None,
    scorer: Callable[[Scoring], float] | None = None,
) -> dict[str, float]:
    """Scores a picture, uint8 (height, width, 3), with the scorers that `metrics` names ("reward", "clip:folder", …)."""
    pixels = np.ascontiguousarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InvalidArgument(f"a picture must be uint8 (height, width, 3), not {pixels.dtype} {pixels.shape}")
    extra = (pixels.ctypes.data, pixels.shape[1], pixels.shape[0])
    values = {"collect_metrics": metrics if metrics is not None else "host" if scorer else None}
    words = [encoded(prompt, "prompt")]
    return _report(lib.adadiff_pipeline_score, pipeline, words, values, None, None, scorer, extra)["scores"]


def score_video(pipeline: Pipeline, prompt: str, frames: Iterable[np.ndarray], **keywords: Any) -> dict[str, float]:
    """A video's scores: the mean over its frames."""
    scores = [score(pipeline, prompt, frame, **keywords) for frame in frames]
    if not scores:
        raise InvalidArgument("a video has no frames")
    return {name: float(np.mean([each[name] for each in scores])) for name in scores[0]}


def collect(
    pipeline: Pipeline,
    prompts: str | os.PathLike[str] | Sequence[str],
    table: str | os.PathLike[str],
    *,
    step_set: Sequence[int] | None = None,
    seeds: int = 1,
    seed: int = 0,
    metrics: str | None = None,
    scorer: Callable[[Scoring], float] | None = None,
    callback: Callable[[Progress], Any] | None = None,
    cancel: CancelToken | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Makes every prompt at every number of steps from the same noise and scores the pictures into a CSV table.

    `prompts` is a file with one per line, or a list. `scorer(Scoring) -> float` judges pictures as the metric "host".
    Rows that the table has are not made again; several processes may work on one table.
    """
    values = {
        "collect_step_set": None if step_set is None else "/".join(str(steps) for steps in step_set),
        "collect_seeds": seeds, "seed": seed,
        "collect_metrics": metrics if metrics is not None else "host" if scorer else None, **options,
    }  # fmt: skip
    with _PromptFile(prompts) as file:
        arguments = [_path(file, "prompts"), _path(table, "table")]
        return _report(lib.adadiff_policy_collect, pipeline, arguments, values, callback, cancel, scorer)


class _PromptFile:
    """A list of prompts as a file, or the file itself."""

    def __init__(self, prompts: str | os.PathLike[str] | Sequence[str]) -> None:
        self._given = prompts
        self._temporary: str | None = None

    def __enter__(self) -> str | os.PathLike[str]:
        if isinstance(self._given, (str, os.PathLike)):
            return self._given
        for prompt in self._given:
            if "\n" in prompt:
                raise InvalidArgument("a prompt to collect must be one line")
        descriptor, self._temporary = tempfile.mkstemp(suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write("".join(f"{prompt}\n" for prompt in self._given))
        return self._temporary

    def __exit__(self, *_: Any) -> None:
        if self._temporary is not None:
            os.unlink(self._temporary)


def train(
    pipeline: Pipeline,
    table: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    seed: int = 0,
    callback: Callable[[Progress], Any] | None = None,
    cancel: CancelToken | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Trains a step-selection network and writes its files into the folder `output`; returns policy.json.

    Keywords: the options `train_*` and `reward_*` without their prefix. A Parquet table is converted first.
    """
    values = {"seed": seed, **_named(options, {"train_": _TRAIN, "reward_": _REWARD})}
    with _CsvTable(table) as file:
        arguments = [_path(file, "table"), _path(output, "output")]
        return _report(lib.adadiff_policy_train, pipeline, arguments, values, callback, cancel)


def evaluate(
    pipeline: Pipeline,
    table: str | os.PathLike[str],
    *,
    policy: str | os.PathLike[str] | None = None,
    quality: float | None = None,
    bootstrap: int | None = None,
    callback: Callable[[Progress], Any] | None = None,
    cancel: CancelToken | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Compares policies on a table of prompts that the policy has not learned from; `policy` is another policy folder."""
    values = {
        "policy": None if policy is None else f"learned:path={os.fspath(policy)}", "policy_quality": quality,
        "eval_bootstrap": bootstrap, **_named(options, {"reward_": _REWARD}),
    }  # fmt: skip
    with _CsvTable(table) as file:
        return _report(lib.adadiff_policy_evaluate, pipeline, [_path(file, "table")], values, callback, cancel)


class _CsvTable:
    """A CSV table as it is; a Parquet one converted for the time of the call."""

    def __init__(self, table: str | os.PathLike[str]) -> None:
        self._path = pathlib.Path(table)
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> pathlib.Path:
        if self._path.suffix != ".parquet":
            return self._path
        self._folder = tempfile.TemporaryDirectory()
        target = pathlib.Path(self._folder.name) / f"{self._path.stem}.csv"
        parquet_to_csv(self._path, target)
        return target

    def __exit__(self, *_: Any) -> None:
        if self._folder is not None:
            self._folder.cleanup()


def csv_to_parquet(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """A reward table as Parquet, same columns. Needs `pip install adadiff[parquet]`."""
    from pyarrow import csv, parquet, string

    convert = csv.ConvertOptions(column_types={"prompt": string(), "group": string()}, strings_can_be_null=False)
    parquet.write_table(csv.read_csv(os.fspath(source), convert_options=convert), os.fspath(target))


def parquet_to_csv(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """A Parquet table as CSV. Needs `pip install adadiff[parquet]`."""
    from pyarrow import csv, parquet

    csv.write_csv(parquet.read_table(os.fspath(source)), os.fspath(target))
