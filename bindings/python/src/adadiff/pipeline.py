"""Text to image."""

from __future__ import annotations

import ctypes
import json
import os
import threading
from dataclasses import dataclass
from typing import Any, Callable

import numpy as np

from . import _tensors
from ._errors import OutOfRange, check, make
from ._library import lib
from ._options import CancelToken, Options, Preview, Progress, encoded


class _ResultHandle:
    """Frees the library's result with its last user."""

    def __init__(self, handle: ctypes.c_void_p) -> None:
        self.handle = handle

    def __del__(self) -> None:
        lib.adadiff_result_free(self.handle)


@dataclass(frozen=True, repr=False, eq=False)
class Result:
    """The outcome of one run."""

    images: list[np.ndarray]
    """uint8 arrays (height, width, 3), red green blue, top row first. Empty when `decode=False`."""
    latents: np.ndarray
    """Final latents (count, channels, height, width), float32, before the decoder's scaling."""
    report: dict[str, Any]
    """Seed, steps planned and run, every step's action and reason, milliseconds per stage, policy."""
    _result: _ResultHandle

    def __repr__(self) -> str:
        steps, policy = self.report.get("steps_planned"), self.report.get("policy", {}).get("name")
        return f"<adadiff.Result: {len(self.images)} images, {steps} steps ({policy}), seed {self.report.get('seed')}>"

    def save(self, path: str | os.PathLike[str], index: int = 0) -> None:
        """Writes one image as PNG. Raises `NotFound` or `FileError` when the file cannot be written."""
        if not 0 <= index < len(self.images):
            raise OutOfRange(f"image {index} of {len(self.images)}")
        check(lib.adadiff_result_save_png, self._result.handle, index, encoded(os.fspath(path), "path"))


class Pipeline:
    """A diffusion pipeline: a folder in the layout that `optimum-cli export onnx` writes.

    Opening reads all components (`lazy=True`: each at its first use). `threads` 0 means all processors. Immutable and
    thread-safe: threads that share a pipeline share its weights. `precision` is "float32", "bfloat16" or "int8". Warnings of the library become `RuntimeWarning`s.
    Raises `NotFound`, `Corrupt`, or `Unsupported` with the component, node and operator that cannot run.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        threads: int | None = None,
        lazy: bool | None = None,
        precision: str | None = None,
        callback: Callable[[Progress], Any] | None = None,
        cancel: CancelToken | None = None,
        **options: Any,
    ) -> None:
        self._lock = threading.Lock()
        self._idle_sessions: list[ctypes.c_void_p] = []
        opening = Options({"threads": threads, "lazy": lazy, "precision": precision, **options})
        opening.collect_warnings()
        if callback is not None:
            opening.on_progress(callback)
        folder = encoded(os.fspath(path), "path")
        with opening.running(cancel):
            self._handle = make(lib.adadiff_pipeline_open, folder, opening.handle)
        opening.warn()

    def __del__(self) -> None:
        for session in getattr(self, "_idle_sessions", []):
            lib.adadiff_session_free(session)
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            lib.adadiff_pipeline_free(handle)

    @property
    def info(self) -> dict[str, Any]:
        """Class, components, scheduler, native size, policy and its step set, warnings."""
        return json.loads(lib.adadiff_pipeline_info(self._handle) or b"{}")

    def tokenize(self, text: str) -> dict[str, np.ndarray]:
        """int64 arrays: `input_ids` (1, length; padded and truncated), `attention_mask` (1, length), `token_ids` (n)."""
        return _tensors.take(make(lib.adadiff_pipeline_tokenize, self._handle, encoded(text, "text")))

    def __call__(
        self,
        prompt: str,
        *,
        steps: int | str = "auto",
        seed: int | None = None,
        latents: np.ndarray | None = None,
        negative_prompt: str | None = None,
        guidance_scale: float | None = None,
        scheduler: str | None = None,
        width: int | None = None,
        height: int | None = None,
        count: int = 1,
        callback: Callable[[Progress], Any] | None = None,
        preview: Callable[[Preview], Any] | None = None,
        cancel: CancelToken | None = None,
        **options: Any,
    ) -> Result:
        """Makes `count` pictures of `prompt`.

        `steps` "auto" lets the pipeline's policy choose; `seed` equals torch's `manual_seed` (None draws one, the report
        tells it); `latents` (count, channels, height, width) replaces the drawn noise; `scheduler` is a name of
        `adadiff.schedulers()`; `width` and `height` are pixels. Any other keyword is an option of `adadiff.options()`.
        `callback(Progress)` and `preview(Preview)` run on this thread; one that returns False stops the run
        (`Cancelled`), and an exception of theirs is raised here.
        Raises `OutOfRange`, `UnknownName`, `ShapeMismatch`, `Cancelled`, `KeyboardInterrupt`.
        """
        values = {
            "steps": steps, "seed": seed, "latents": latents, "negative_prompt": negative_prompt,
            "guidance_scale": guidance_scale, "scheduler": scheduler, "width": width, "height": height, "count": count,
        }  # fmt: skip
        running = Options({**values, **options})
        running.collect_warnings()
        if callback is not None:
            running.on_progress(callback)
        if preview is not None:
            running.on_preview(preview)
        words = encoded(prompt, "prompt")
        session = self._take_session()
        try:
            with running.running(cancel):
                result = _ResultHandle(make(lib.adadiff_session_generate, session, words, running.handle))
        finally:
            with self._lock:
                self._idle_sessions.append(session)
        running.warn()
        return _result(result)

    def _take_session(self) -> ctypes.c_void_p:
        """An idle session, so that its plans and memory are used again, or a new one."""
        with self._lock:
            if self._idle_sessions:
                return self._idle_sessions.pop()
        return make(lib.adadiff_session_new, self._handle)


def _result(result: _ResultHandle) -> Result:
    handle = result.handle
    shape = tuple(
        getattr(lib, f"adadiff_result_{what}")(handle) for what in ("height", "width", "channels")
    )
    images = []
    for index in range(lib.adadiff_result_image_count(handle)):
        image = np.empty(shape, np.uint8)
        ctypes.memmove(image.ctypes.data, lib.adadiff_result_pixels(handle, index), image.nbytes)
        images.append(image)
    dims = (ctypes.c_int64 * 4)()
    data = lib.adadiff_result_latents(handle, dims)
    latents = np.empty(tuple(dims), np.float32)
    if latents.nbytes:
        ctypes.memmove(latents.ctypes.data, data, latents.nbytes)
    return Result(images, latents, json.loads(lib.adadiff_result_report(handle) or b"{}"), result)
