"""ONNX's backend node tests on AdaDiff: all pass, except what `skip.txt` lists with its reason.

    pytest -q Tests/onnx_suite
"""

from __future__ import annotations

import pathlib
import re

import adadiff
import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test import BackendTest

import suite_table
from adadiff_backend import AdaDiffBackend

# Operators all of whose tests passed when this was written. Raise it when more do; it must never fall.
WHOLE_OPERATORS = 183
# What the project promises.
PROMISED_OPERATORS = 110

_tolerances = {
    name: {"atol": row.tolerance}
    for row in suite_table.rows()
    if row.tolerance is not None
    for name in suite_table.cases()
    if row.matches(name)
}


class _Suite(BackendTest):
    """onnx's runner, which cannot compare scalars inside sequences, with a comparison that can."""

    @classmethod
    def assert_similar_outputs(cls, ref_outputs, outputs, rtol, atol, model_dir=None):  # type: ignore[no-untyped-def]
        assert len(outputs) == len(ref_outputs)
        for output, expected in zip(outputs, ref_outputs):
            if isinstance(expected, (list, tuple)):
                assert isinstance(output, (list, tuple)), f"expected a sequence, got {type(output).__name__}"
                cls.assert_similar_outputs(expected, output, rtol, atol, model_dir)
            elif expected is None or output is None:
                assert expected is None and output is None
            else:
                super().assert_similar_outputs([expected], [output], rtol, atol, model_dir)


_suite = _Suite(AdaDiffBackend, __name__, test_kwargs=_tolerances)
for _row in suite_table.rows():
    if _row.kind in ("unsupported", "random", "wrong"):
        _suite.exclude(f"^{_row.pattern.pattern}_cpu$")
OnnxBackendNodeTest = next(cases for name, cases in _suite.test_cases.items() if "Node" in name)
for _name in [name for name in vars(OnnxBackendNodeTest) if name.endswith("_cuda")]:
    delattr(OnnxBackendNodeTest, _name)


def _tensors(folder: pathlib.Path, side: str) -> list[np.ndarray]:
    files = sorted(folder.glob(f"{side}_*.pb"), key=lambda file: int(re.sub(r"\D", "", file.stem)))
    return [numpy_helper.to_array(onnx.load_tensor(str(file))) for file in files]


def _run(name: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Actual and expected outputs of a test of tensors."""
    folder = suite_table.cases()[name]
    inputs = _tensors(folder / "test_data_set_0", "input")
    results = AdaDiffBackend.prepare(onnx.load(folder / "model.onnx")).run(inputs)
    return list(results), _tensors(folder / "test_data_set_0", "output")


@pytest.mark.parametrize("name", suite_table.matching("unsupported"))
def test_unsupported_is_refused_with_a_clear_error(name: str) -> None:
    """Never a wrong answer: an error that says unsupported and names the operator."""
    with pytest.raises(adadiff.Unsupported) as caught:
        AdaDiffBackend.prepare(onnx.load(suite_table.cases()[name] / "model.onnx"))
    assert caught.value.operator, f"the error does not name the operator: {caught.value}"


@pytest.mark.parametrize("name", suite_table.matching("random"))
def test_random_has_the_right_form(name: str) -> None:
    """Numbers that ONNX leaves to the implementation: type, shape and range are what can be right."""
    results, expected = _run(name)
    for result, model in zip(results, expected, strict=True):
        assert result.dtype == model.dtype and result.shape == model.shape
        assert set(np.unique(result.astype(np.float64))) <= {0.0, 1.0}


@pytest.mark.parametrize("name", suite_table.matching("wrong"))
def test_wrong_data_really_differs(name: str) -> None:
    """The stored answer contradicts ONNX's specification; once a wheel corrects it, the line has to go."""
    results, expected = _run(name)
    assert any(not np.array_equal(result, model) for result, model in zip(results, expected, strict=True))


def test_every_line_of_the_table_is_needed() -> None:
    for row in suite_table.rows():
        assert any(row.matches(name) for name in suite_table.cases()), f"no test matches '{row.pattern.pattern}'"


def test_number_of_whole_operators() -> None:
    """An operator is whole when every one of its tests has to pass."""
    excluded = set(suite_table.matching("unsupported") + suite_table.matching("random") + suite_table.matching("wrong"))
    operators = suite_table.operators()
    whole = [name for name, tests in operators.items() if not excluded & set(tests)]
    print(f"{len(whole)} of {len(operators)} operators whole")
    assert WHOLE_OPERATORS >= PROMISED_OPERATORS
    assert len(whole) >= WHOLE_OPERATORS, f"only {len(whole)} of {len(operators)} operators are whole"
