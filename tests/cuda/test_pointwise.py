"""Activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cuda_device import assert_near, to_device, to_host
from fastconv import _core, functional, reference

DTYPES = (np.float32, np.float64)
NAMED = [name for name in _core.ACTIVATIONS if name not in ("linear", "exp", "gelu_tanh")]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NAMED)
def test_activations(name: str, dtype: Any) -> None:
    for count in (1, 3, 8, 257):
        x = np.linspace(-7, 7, count).astype(dtype)
        got = getattr(functional, name)(to_device(x))
        assert_near(got, getattr(reference, name)(x), name, count)


def test_in_place_and_out() -> None:
    x = np.float32([-1, 0, 2, np.nan])
    device = to_device(x)
    assert functional.relu(device, inplace=True) is device
    np.testing.assert_array_equal(to_host(device), np.float32([0, 0, 2, np.nan]))
    out = to_device(np.zeros(4, np.float32))
    assert functional.tanh(device, out=out) is out
    assert_near(out[:3], np.tanh([0, 0, 2]))


def test_extremes_saturate() -> None:
    x = np.float32([-np.inf, -1000, 1000, np.inf])
    np.testing.assert_array_equal(to_host(functional.sigmoid(to_device(x))), [0, 0, 1, 1])
    np.testing.assert_array_equal(to_host(functional.elu(to_device(x))), [-1, -1, 1000, np.inf])


def test_mistakes_are_named() -> None:
    x = to_device(np.zeros(4, np.float32))
    with pytest.raises(TypeError, match=r"^input: expected float32 or float64, got int32"):
        functional.relu(to_device(np.zeros(4, np.int32)))
    with pytest.raises(ValueError, match=r"^out: expected shape \(4,\), got shape \(3,\)"):
        functional.relu(x, out=to_device(np.zeros(3, np.float32)))
    with pytest.raises(TypeError, match=r"^out: expected an array in GPU memory, like the input, got ndarray"):
        functional.relu(x, out=np.zeros(4, np.float32))
