"""Filters of images: the names, arguments, border modes and results of ``scipy.ndimage``, by the engine's kernels.

An image is an array of two axes of any real type; all axes of an array are filtered unless `axes` names some. So
``axes=(1, 2)`` filters a stack of images (n, h, w) or (n, h, w, c), ``axes=(0, 1)`` the channels of one image
(h, w, c).

float32 is computed in float32, float64 in float64. Whole numbers are computed in float64, or in float32 where that is
exact, and the results, unless `output` says otherwise, are whole numbers again: cut off at the point, as in scipy.

References
----------
https://docs.scipy.org/doc/scipy/reference/ndimage.html
"""

from __future__ import annotations

from fastconv.image.extrema import maximum_filter, maximum_filter1d, minimum_filter, minimum_filter1d
from fastconv.image.gaussian import (
    gaussian_filter,
    gaussian_filter1d,
    gaussian_gradient_magnitude,
    gaussian_laplace,
)
from fastconv.image.gradients import laplace, prewitt, sobel
from fastconv.image.linear import convolve, convolve1d, correlate, correlate1d, uniform_filter, uniform_filter1d

__all__ = [
    "convolve",
    "convolve1d",
    "correlate",
    "correlate1d",
    "gaussian_filter",
    "gaussian_filter1d",
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "laplace",
    "maximum_filter",
    "maximum_filter1d",
    "minimum_filter",
    "minimum_filter1d",
    "prewitt",
    "sobel",
    "uniform_filter",
    "uniform_filter1d",
]
