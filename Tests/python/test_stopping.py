"""Ctrl-C, cancel tokens and callbacks that stop a run; nothing is lost but the run."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
from conftest import slow_model

import adadiff


def still_works(pipeline: adadiff.Pipeline) -> bool:
    return len(pipeline("a cat", steps=1).images) == 1


def test_progress_comes_in_order(pipeline):
    reports: list[adadiff.Progress] = []
    pipeline("a cat", steps=3, callback=reports.append)
    stages = list(dict.fromkeys(report.stage for report in reports))
    assert [stage for stage in stages if stage != "policy"] == ["text_encode", "denoise", "decode"]
    denoise = [report.step for report in reports if report.stage == "denoise"]
    assert denoise == sorted(denoise) and denoise[-1] == 3
    assert all(a.elapsed_ms <= b.elapsed_ms for a, b in zip(reports, reports[1:]))


@pytest.mark.parametrize("where", ["callback", "preview"])
def test_a_callback_that_returns_false_cancels(pipeline, where):
    calls = []

    def stop(report) -> bool:
        calls.append(report)
        return len(calls) < 2

    with pytest.raises(adadiff.Cancelled) as caught:
        pipeline("a cat", steps=50, **{where: stop})
    assert caught.value.status == adadiff.Status.CANCELLED
    assert len(calls) == 2 and still_works(pipeline)


@pytest.mark.parametrize("where", ["callback", "preview"])
def test_an_exception_of_a_callback_is_raised_unchanged(pipeline, where):
    class Mine(Exception):
        pass

    error = Mine("no")

    def fail(_) -> None:
        raise error

    with pytest.raises(Mine) as caught:
        pipeline("a cat", steps=5, **{where: fail})
    assert caught.value is error and still_works(pipeline)


def test_a_fired_token_stops_every_run(pipeline):
    token = adadiff.CancelToken()
    assert not token.fired
    token.fire()
    assert token.fired
    for _ in range(2):
        with pytest.raises(adadiff.Cancelled):
            pipeline("a cat", steps=1, cancel=token)
    with pytest.raises(adadiff.Cancelled):
        adadiff.Model(slow_model(8, 2)).run({"x": np.eye(8, dtype=np.float32)}, cancel=token)
    assert still_works(pipeline)


def test_a_token_stops_a_run_from_another_thread():
    """In the middle of it: the run that is under way when the token is fired never returns. The best of some tries, since
    the token may be fired in a run's last microseconds."""
    model = adadiff.Model(slow_model())

    def runs_ended_after_firing() -> int:
        token, ended, ended_when_fired = adadiff.CancelToken(), 0, []

        def fire() -> None:
            ended_when_fired.append(ended)
            token.fire()

        threading.Timer(0.1, fire).start()
        with pytest.raises(adadiff.Cancelled):
            for _ in range(1000):
                model.run({"x": np.eye(256, dtype=np.float32)}, cancel=token)
                ended += 1
        return ended - ended_when_fired[0]

    assert min(runs_ended_after_firing() for _ in range(3)) == 0


@pytest.fixture(autouse=True)
def ctrl_c_raises():
    """Python's own handler, also where a parent left SIGINT ignored, as shells do for background jobs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_stops_a_run_without_callbacks():
    model = adadiff.Model(slow_model())
    before = signal.getsignal(signal.SIGINT)
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        for _ in range(1000):
            model.run({"x": np.eye(256, dtype=np.float32)})
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.set_wakeup_fd(-1) == -1


def test_calls_share_one_watcher_of_ctrl_c():
    """Making a thread takes longer than a short call; after an interruption a new one watches."""
    model = adadiff.Model(slow_model())
    feeds = {"x": np.eye(256, dtype=np.float32)}

    def watchers() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == "adadiff-interrupt"]

    model.run(feeds)
    first = watchers()
    for _ in range(3):
        model.run(feeds)
    assert watchers() == first and len(first) == 1
    for _ in range(2):
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            for _ in range(1000):
                model.run(feeds)
        model.run(feeds)
    first[0].join(timeout=5)
    assert not first[0].is_alive() and len(watchers()) == 1


def test_ctrl_c_during_a_callback_stops_the_run(pipeline):
    seen = []

    def interrupt(report: adadiff.Progress) -> None:
        seen.append(report)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        pipeline("a cat", steps=900, callback=interrupt)
    assert len(seen) < 20 and still_works(pipeline)


def test_a_program_with_its_own_ctrl_c_keeps_it(pipeline):
    caught = []
    before = signal.signal(signal.SIGINT, lambda *_: caught.append(1))
    try:
        sent = []

        def interrupt(_) -> None:
            if not sent:
                sent.append(1)
                os.kill(os.getpid(), signal.SIGINT)

        assert pipeline("a cat", steps=2, callback=interrupt).images
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught == [1]


def test_runs_in_other_threads_leave_signals_alone(pipeline):
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(still_works(pipeline)))
    thread.start()
    thread.join()
    assert outcome == [True]
