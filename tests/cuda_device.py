"""To the device and back, and how results are compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv.cuda._numba import cuda

TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-13}


def to_device(array: np.ndarray) -> Any:
    """Upload, as Numba's array."""
    return cuda.to_device(np.ascontiguousarray(array))


def to_host(array: Any) -> np.ndarray:
    """Download."""
    host: np.ndarray = array.copy_to_host()
    return host


def assert_near(got: Any, expected: np.ndarray, *label: Any) -> None:
    """Compare a device's array with float64 values, relative to the whole."""
    host = to_host(got)
    assert host.shape == expected.shape, f"{label}: shape {host.shape}, not {expected.shape}"
    error = np.linalg.norm((host - expected).ravel()) / max(np.linalg.norm(expected.ravel()), 1e-30)
    assert error <= TOLERANCE[host.dtype], f"{label}: relative error {error:.3g}"


def assert_equal(got: Any, expected: np.ndarray, *label: Any) -> None:
    """Compare a device's array with values that it must hold exactly."""
    host = to_host(got)
    assert host.shape == expected.shape, f"{label}: shape {host.shape}, not {expected.shape}"
    assert np.array_equal(host, expected), f"{label}: {np.count_nonzero(host != expected)} of {host.size} differ"
