"""Dense products."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuda_device import assert_near, to_device
from fastconv import functional, reference
from fastconv.cuda._numba import cuda


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("shape", "outputs"), [((3, 5), 4), ((2, 2, 8), 7), ((1, 4), 1)])
def test_linear(shape: tuple[int, ...], outputs: int, dtype: Any) -> None:
    draw = np.random.default_rng(0)
    x, w = draw.standard_normal(shape).astype(dtype), draw.standard_normal((outputs, shape[-1])).astype(dtype)
    b = draw.standard_normal(outputs).astype(dtype)
    got = functional.linear(to_device(x), to_device(w), to_device(b), activation="relu")
    assert_near(got, reference.relu(reference.linear(x, w, b)))
    assert_near(functional.linear(to_device(x), to_device(w)), reference.linear(x, w))


def test_a_vector_of_weights_and_no_rows() -> None:
    x, w = np.float32([[1, 2], [3, 4]]), np.float32([5, 6])
    assert_near(functional.linear(to_device(x), to_device(w)), np.float64([17, 39]))
    empty = functional.linear(cuda.device_array((0, 2), np.float32), to_device(w))
    assert empty.shape == (0,)


def test_mistakes_are_named() -> None:
    x = to_device(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match=r"^input: expected shape \(\.\.\., 2\)"):
        functional.linear(x, to_device(np.zeros((4, 2), np.float32)))
    with pytest.raises(TypeError, match=r"^weight: expected the dtype of input"):
        functional.linear(x, to_device(np.zeros((4, 3))))
