"""The Gaussian and its derivatives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv._arguments import integer, wrong
from fastconv._arguments.filters import axes_of, border_mode, filter_output, per_axis, picture, real_number
from fastconv.image import _frame, _steps
from fastconv.image._passes import Window, converted
from fastconv.image._steps import Sum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from fastconv._arguments.arrays import Array

# A narrower bell is one value.
_NARROWEST = 1e-15


def gaussian_filter1d(
    input: ArrayLike,
    sigma: float,
    axis: int = -1,
    order: int = 0,
    output: Any = None,
    mode: str = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: int | None = None,
) -> Array:
    """Blur along one axis by a Gaussian, or by a derivative of one.

    Parameters
    ----------
    input : array_like
    sigma : float
        Standard deviation, in places.
    axis : int
    order : int
        0 for the Gaussian itself, else that derivative of it.
    output, mode, cval
        As in `correlate`.
    truncate : float
        The bell is cut off after so many standard deviations.
    radius : int, optional
        Or after so many places.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    TypeError, ValueError
        As in `correlate`, and for a negative order or radius.

    Examples
    --------
    >>> from fastconv import image
    >>> image.gaussian_filter1d([1.0, 2.0, 3.0, 4.0, 5.0], 1).round(4)
    array([1.427 , 2.0678, 3.    , 3.9322, 4.573 ])
    """
    source = picture(input)
    (along,) = axes_of(axis, source.ndim, "axis")
    bell = _bell(sigma, order, truncate, radius)
    window = Window(along, len(bell) // 2, len(bell) // 2, border_mode(mode))
    return _frame.run(source, output, [Sum(bell, [window], real_number("cval", cval))])


def gaussian_filter(
    input: ArrayLike,
    sigma: Any,
    order: Any = 0,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    truncate: float = 4.0,
    *,
    radius: Any = None,
    axes: Any = None,
) -> Array:
    """Blur by a Gaussian, or take derivatives of the blurred image.

    Parameters
    ----------
    input : array_like
    sigma : float or sequence of float
        Standard deviations along the axes, in places.
    order : int or sequence of int
        0 for the Gaussian itself, else that derivative of it.
    output, cval, axes
        As in `correlate`.
    mode : str or sequence of str
        As in `correlate`, one for all axes or one for each.
    truncate : float
        The bell is cut off after so many standard deviations.
    radius : int or sequence of int, optional
        Or after so many places.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    TypeError, ValueError
        As in `correlate`, and for a negative order or radius.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import image
    >>> image.gaussian_filter(np.eye(3), 1).round(4)
    array([[0.5024, 0.3292, 0.1684],
           [0.3292, 0.3417, 0.3292],
           [0.1684, 0.3292, 0.5024]])
    """
    source = picture(input)
    chosen = axes_of(axes, source.ndim)
    return _frame.run(source, output, _passes(chosen, sigma, order, mode, cval, truncate, radius))


def gaussian_laplace(
    input: ArrayLike,
    sigma: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Array:
    """Take the Laplacian of a blurred image: the sum of the Gaussian's second derivatives.

    Parameters
    ----------
    input, sigma, output, mode, cval, axes
        As in `gaussian_filter`.
    **kwargs
        ``truncate`` and ``radius`` of `gaussian_filter`.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    TypeError, ValueError
        As in `gaussian_filter`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import image
    >>> image.gaussian_laplace(np.eye(3), 1).round(2)
    array([[-0.38,  0.04,  0.35],
           [ 0.04, -0.07,  0.04],
           [ 0.35,  0.04, -0.38]])
    """
    return _of_derivatives(input, sigma, output, mode, cval, axes, kwargs, 2)


def gaussian_gradient_magnitude(
    input: ArrayLike,
    sigma: Any,
    output: Any = None,
    mode: Any = "reflect",
    cval: float = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Array:
    """Take the length of the gradient of a blurred image.

    Parameters
    ----------
    input, sigma, output, mode, cval, axes
        As in `gaussian_filter`.
    **kwargs
        ``truncate`` and ``radius`` of `gaussian_filter`.

    Returns
    -------
    ndarray of the input's shape

    Raises
    ------
    TypeError, ValueError
        As in `gaussian_filter`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import image
    >>> image.gaussian_gradient_magnitude(np.eye(3), 1).round(2)
    array([[0.15, 0.2 , 0.13],
           [0.2 , 0.  , 0.2 ],
           [0.13, 0.2 , 0.15]])
    """
    return _of_derivatives(input, sigma, output, mode, cval, axes, kwargs, 1)


def _of_derivatives(
    input: Any, sigma: Any, output: Any, mode: Any, cval: Any, axes: Any, options: dict[str, Any], order: int
) -> Array:
    """Add second derivatives along the axes, or the squares of first ones under a root, in the type of the result."""
    unknown = sorted(set(options) - {"truncate", "radius"})
    if unknown:
        raise TypeError(f"{unknown[0]}: an unexpected keyword argument, expected truncate or radius")
    source = picture(input)
    chosen = axes_of(axes, source.ndim)
    dtype, target = filter_output(output, source)
    chains = []
    for place in range(len(chosen)):
        orders = [order if other == place else 0 for other in range(len(chosen))]
        chains.append(_passes(chosen, sigma, orders, mode, cval, **options))
    total: Any = _steps.added(source, dtype, target, chains, order == 1) if source.size else None
    if total is None:
        total = _added(source, dtype, chains, order == 1)
    if target is None:
        return np.asarray(total)
    if total is not target:
        np.copyto(target, total)
    return target


def _added(source: Array, dtype: np.dtype[Any], chains: list[list[Sum]], squared: bool) -> Array:
    """Add what chains of passes make in the type of the result, where the engine does not."""
    total: Any = None
    for passes in chains:
        part = _frame.run(source, dtype, passes)
        if squared:
            part *= part
        total = part if total is None else np.add(total, part, out=total)
    if total is None:
        return _frame.run(source, dtype, [])
    if squared:
        # of one byte, NumPy would take them in float16, which is slow and gives the same whole numbers
        with np.errstate(invalid="ignore"):
            total = converted(np.sqrt(total, dtype=np.float32 if total.dtype.itemsize == 1 else None), dtype)
    return np.asarray(total)


def _passes(
    axes: Sequence[int], sigma: Any, order: Any, mode: Any, cval: Any, truncate: Any = 4.0, radius: Any = None
) -> list[Sum]:
    """Return one pass for each axis along which the bell is wider than one value."""
    listed = [per_axis(name, value, len(axes)) for name, value in
              (("sigma", sigma), ("order", order), ("mode", mode), ("radius", radius))]  # fmt: skip
    beyond = real_number("cval", cval)
    passes = []
    for axis, width, derivative, one, places in zip(axes, *listed, strict=True):
        border = border_mode(one)
        bell = _bell(width, derivative, truncate, places)
        if width > _NARROWEST:
            passes.append(Sum(bell, [Window(axis, len(bell) // 2, len(bell) // 2, border)], beyond))
    return passes


def _bell(sigma: Any, order: Any, truncate: Any, radius: Any) -> Array:
    """Return the weights for `correlate1d`: the Gaussian, or its derivative by Hermite's recurrence, reversed."""
    width, derivative = real_number("sigma", sigma), integer("order", order, 0)
    if not math.isfinite(real_number("truncate", truncate)):
        wrong("truncate", "a finite number of at least 0", truncate)
    if not 0 <= width < math.inf:
        wrong("sigma", "a number of at least 0", sigma)
    places = int(real_number("truncate", truncate) * width + 0.5) if radius is None else integer("radius", radius, 0)
    if width <= _NARROWEST and not places:
        return np.ones(1)
    if width == 0:
        wrong("sigma", "a number above 0 where a radius is given", sigma)
    if places < 0:
        wrong("truncate", "a number of at least 0", truncate)
    # In the steps that scipy takes, since a flat image is cut off at the point by the last bit of these sums.
    x, variance = np.arange(-places, places + 1, dtype=np.float64), width * width
    bell: Array = np.exp(-0.5 / variance * x**2)
    bell /= bell.sum()
    # The derivative of q·bell is (q' - q·x / variance)·bell.
    step = np.diag(np.arange(1.0, derivative + 1), 1) + np.diag(np.full(derivative, 1 / -variance), -1)
    powers = np.zeros(derivative + 1)  # of q
    powers[0] = 1
    for _ in range(derivative):
        powers = step.dot(powers)
    factor = (x[:, None] ** np.arange(derivative + 1)).dot(powers)
    return np.asarray((factor * bell if derivative else bell)[::-1])
