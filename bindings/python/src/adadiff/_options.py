"""Options, callbacks and cancellation of one call."""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import socket
import threading
import warnings
from dataclasses import dataclass
from typing import Any, Callable, Mapping

import numpy as np

from . import _library
from ._errors import InvalidArgument, OutOfMemory, TypeMismatch, check, text
from ._library import lib

# The C functions behind `signal`, whose own wrappers look every handler up in an enumeration, with an exception each time: a call
# of a few milliseconds notices.
_signal: Any = importlib.import_module("_signal")
_SIGINT = int(signal.SIGINT)

_CONTINUE, _STOP, _ERROR = 0, 1, -1
_WARNING = 2
ACTIONS = 5


@dataclass(frozen=True)
class Progress:
    """What a run is doing."""

    stage: str
    """"load", "text_encode", "policy", "denoise" or "decode"."""
    step: int
    """Units of the stage that are finished: 0 when it begins, `total` when it ends."""
    total: int
    detail: str
    """What the stage works on now."""
    elapsed_ms: float
    """Milliseconds since the call began."""


@dataclass(frozen=True)
class Preview:
    """The state after one sampling step. The arrays are copies."""

    step: int
    """Step just finished, from 0."""
    total: int
    timestep: float
    """In units of the training schedule."""
    latents: np.ndarray
    """(count, channels, height, width), float32."""
    predicted_original: np.ndarray | None
    """The clean latents as predicted at this step, same shape; None when the scheduler has none."""
    action: str
    """"run", "reuse", "extrapolate" or "partial"."""


@dataclass(frozen=True)
class Scoring:
    """A picture to judge."""

    prompt: str
    steps: int
    seed: int
    image: np.ndarray
    """uint8 (height, width, 3), a copy."""


class CancelToken:
    """Stops runs from another thread: pass it as `cancel=`, call `fire()`. Sticky; may stop many runs."""

    def __init__(self) -> None:
        self._handle = ctypes.c_void_p(lib.adadiff_cancel_token_new())
        if not self._handle:
            raise OutOfMemory("cannot allocate a cancel token")

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            lib.adadiff_cancel_token_release(handle)

    def fire(self) -> None:
        """Stops every run that carries the token, now and later."""
        lib.adadiff_cancel_token_fire(self._handle)

    @property
    def fired(self) -> bool:
        return bool(lib.adadiff_cancel_token_fired(self._handle))


class Options:
    """Options of one call; holds the callbacks alive and the exception that one of them raised."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._handle = ctypes.c_void_p(lib.adadiff_options_new())
        if not self._handle:
            raise OutOfMemory("cannot allocate options")
        self._callbacks: list[Any] = []
        self.exception: BaseException | None = None
        self.warnings: list[str] = []
        for name, value in values.items():
            if value is not None:
                self.set(name, value)

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", None), None
        if handle:
            lib.adadiff_options_free(handle)

    @property
    def handle(self) -> ctypes.c_void_p:
        return self._handle

    def set(self, name: str, value: Any) -> None:
        """Sets an option by the type of `value`: str, bool, int, float or an array of floats."""
        key = encoded(name, "option name")
        if isinstance(value, str):
            check(lib.adadiff_options_set_string, self._handle, key, encoded(value, name))
        elif isinstance(value, (bool, np.bool_)):
            check(lib.adadiff_options_set_bool, self._handle, key, int(value))
        elif isinstance(value, (int, np.integer)):
            # ctypes would silently drop the upper bits.
            if not -(2**63) <= int(value) < 2**63:
                raise TypeMismatch(f"option '{name}': {value} does not fit 64 bits")
            check(lib.adadiff_options_set_int, self._handle, key, int(value))
        elif isinstance(value, (float, np.floating)):
            check(lib.adadiff_options_set_float, self._handle, key, float(value))
        elif isinstance(value, (np.ndarray, list, tuple)):
            array = np.ascontiguousarray(value, dtype=np.float32)
            dims = (ctypes.c_int64 * array.ndim)(*array.shape)
            check(lib.adadiff_options_set_floats, self._handle, key, array.ctypes.data, dims, array.ndim)
        else:
            raise TypeMismatch(f"option '{name}' cannot be a {type(value).__name__}")

    def on_progress(self, body: Callable[[Progress], Any]) -> None:
        """`body` may return False to stop the run; what it raises stops the run and is raised by it."""

        def forward(pointer: Any, _: Any) -> int:
            def call() -> Any:
                it = pointer.contents
                return body(Progress(
                    text(it.stage_name) or "", it.step, it.total, text(it.detail) or "", it.elapsed_ms))  # fmt: skip

            return self._answer(call)

        callback = _library.PROGRESS(forward)
        self._callbacks.append(callback)
        check(lib.adadiff_options_set_progress, self._handle, callback, None)

    def on_preview(self, body: Callable[[Preview], Any]) -> None:
        """As on_progress, after every sampling step."""

        def forward(pointer: Any, _: Any) -> int:
            def call() -> Any:
                it = pointer.contents
                shape = (it.count, it.channels, it.height, it.width)
                arrays = [
                    np.ctypeslib.as_array(data, shape).copy() if data else None
                    for data in (it.latents, it.predicted_original)
                ]
                action = text(lib.adadiff_list_name(ACTIONS, it.action)) or "run"
                return body(Preview(it.step, it.total, it.timestep, arrays[0], arrays[1], action))

            return self._answer(call)

        callback = _library.PREVIEW(forward)
        self._callbacks.append(callback)
        check(lib.adadiff_options_set_preview, self._handle, callback, None)

    def on_score(self, body: Callable[[Scoring], float]) -> None:
        """`body` returns the score of a picture; what it raises ends the call and is raised by it."""

        def forward(pointer: Any, _: Any) -> int:
            def call() -> None:
                it = pointer.contents
                image = np.empty((it.height, it.width, it.channels), np.uint8)
                ctypes.memmove(image.ctypes.data, it.pixels, image.nbytes)
                it.score = float(body(Scoring(text(it.prompt) or "", it.steps, it.seed, image)))

            return self._answer(call)

        callback = _library.SCORE(forward)
        self._callbacks.append(callback)
        check(lib.adadiff_options_set_scorer, self._handle, callback, None)

    def collect_warnings(self) -> None:
        """Keeps the library's warnings for `warn`."""

        def forward(_: int, component: bytes, message: bytes, __: Any) -> None:
            where = text(component)
            self.warnings.append(f"[{where}] {text(message)}" if where else text(message) or "")

        callback = _library.LOG(forward)
        self._callbacks.append(callback)
        check(lib.adadiff_options_set_log, self._handle, callback, None, _WARNING)

    def set_cancel_token(self, token: CancelToken) -> None:
        check(lib.adadiff_options_set_cancel_token, self._handle, token._handle)

    def warn(self) -> None:
        """Issues what `collect_warnings` gathered as Python warnings of the caller's caller."""
        gathered, self.warnings = self.warnings, []
        for message in gathered:
            warnings.warn(message, RuntimeWarning, stacklevel=3)

    def _answer(self, call: Callable[[], Any]) -> int:
        # An exception must not unwind through the library's frames.
        try:
            return _STOP if call() is False else _CONTINUE
        except BaseException as exception:
            self.exception = exception
            return _ERROR

    def running(self, cancel: CancelToken | None) -> _Running:
        """Around the call: Ctrl-C fires the token, and what a callback raised replaces the library's error."""
        return _Running(self, cancel)


def encoded(value: str, what: str) -> bytes:
    """UTF-8 for C; text that C strings cannot hold raises InvalidArgument."""
    try:
        data = value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{what} is not valid Unicode: {error}") from None
    if b"\0" in data:
        raise InvalidArgument(f"{what} contains a NUL character")
    return data


def _can_catch_interrupt() -> bool:
    # Hosts with a handler of their own (asyncio, notebooks' kernels in threads) decide themselves what Ctrl-C means.
    return (
        threading.current_thread() is threading.main_thread()
        and _signal.getsignal(_SIGINT) is signal.default_int_handler
    )


class _InterruptWatcher:
    """A thread that reads the signal wake-up socket and fires the token of the call that is running.

    Python runs signal handlers between bytecodes only, so none would run during a call into the library. One watcher
    serves all calls of a process, because making a thread takes longer than a short call.
    """

    _current: _InterruptWatcher | None = None

    def __init__(self) -> None:
        self.token: CancelToken | None = None
        self._process = os.getpid()
        self._reader, self.writer = socket.socketpair()
        self.writer.setblocking(False)
        threading.Thread(target=self._watch, name="adadiff-interrupt", daemon=True).start()

    def _watch(self) -> None:
        # An empty read: the other side was closed.
        with self._reader:
            while data := self._reader.recv(16):
                token = self.token
                if signal.SIGINT in data and token is not None:
                    token.fire()

    @classmethod
    def get(cls) -> _InterruptWatcher:
        """The process's watcher; a forked child has a socket but no thread and makes its own. Main thread only."""
        watcher = cls._current
        if watcher is None or watcher._process != os.getpid():
            watcher = cls._current = cls()
        return watcher

    @classmethod
    def discard(cls) -> None:
        """Ends the watcher: a signal that it has not read yet must not reach a later call."""
        watcher, cls._current = cls._current, None
        if watcher is not None:
            watcher.writer.close()


class _Running:
    """What `Options.running` returns. During the block Ctrl-C fires the token, where `_can_catch_interrupt`; afterwards
    KeyboardInterrupt is raised, with the library's state intact."""

    __slots__ = ("_options", "_cancel", "_watcher", "_interrupted", "_previous")

    def __init__(self, options: Options, cancel: CancelToken | None) -> None:
        self._options = options
        self._cancel = cancel
        self._watcher: _InterruptWatcher | None = None
        self._interrupted = False
        self._previous: tuple[Any, int] = (None, -1)

    def __enter__(self) -> None:
        catches = _can_catch_interrupt()
        token = CancelToken() if self._cancel is None and catches else self._cancel
        if token is None:
            return
        self._options.set_cancel_token(token)
        if not catches:
            return

        def handler(*_: Any) -> None:
            self._interrupted = True
            token.fire()

        watcher = _InterruptWatcher.get()
        watcher.token = token
        previous_handler = _signal.signal(_SIGINT, handler)
        self._previous = (previous_handler, signal.set_wakeup_fd(watcher.writer.fileno(), warn_on_full_buffer=False))
        self._watcher = watcher

    def __exit__(self, _: Any, error: BaseException | None, __: Any) -> None:
        watcher = self._watcher
        if watcher is not None:
            signal.set_wakeup_fd(self._previous[1])
            _signal.signal(_SIGINT, self._previous[0])
            watcher.token = None
            if self._interrupted:
                _InterruptWatcher.discard()
        if error is not None and self._options.exception is not None:
            exception, self._options.exception = self._options.exception, None
            raise exception from None
        if self._interrupted and (error is None or isinstance(error, Exception)):
            raise KeyboardInterrupt from None
