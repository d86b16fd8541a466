"""Images of other sizes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np

from fastconv import _arguments
from fastconv.functional._gather import Blend, blend, gather, passes
from fastconv.functional.adaptive_pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastconv._arguments import Array, Layout, Pair, Resize, Triple

    Real = np.dtype[np.floating]
    Mode = Literal["nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"]

ADAPTIVE: dict[int, Callable[..., Array]] = {1: adaptive_avg_pool1d, 2: adaptive_avg_pool2d, 3: adaptive_avg_pool3d}
# For so many positions along an axis lists are kept.
_FEW = 4096
SHARPNESS = -0.75  # of the cubic convolution kernel, as torch has it


def interpolate(
    input: Array,
    size: int | tuple[int] | Pair | Triple | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: Mode = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Give images another size.

    Parameters
    ----------
    input : ndarray (n, c, l), (n, c, h, w) or (n, c, d, h, w)
        Images, always with n; channels last with ``layout="NHWC"``.
    size : int or one for each spatial axis
        Extents of the result.
    scale_factor : float or one for each spatial axis
        What the extents are multiplied by instead; rounded down.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"}
        The nearest position (as older libraries have it, or the one whose centre is nearest), a blend of the two
        nearest along each of one, two or three axes, of the four nearest by cubic convolution, or the mean of the area.
    align_corners : bool, optional
        For blends: whether the first and last positions' centres stay where they are, instead of the image's edges.
    recompute_scale_factor : bool, optional
        Whether positions are spaced by the ratio of the sizes and not by `scale_factor`.
    antialias : bool
        False; anything else is refused.
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    out : ndarray, optional
        Where the result goes.

    Returns
    -------
    ndarray (n, c, oh, ow)
        The images.

    Raises
    ------
    TypeError, ValueError
        As in conv2d; for a mode that does not serve so many axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> x = np.float32([[[1, 2, 4]]])
    >>> F.interpolate(x, scale_factor=2)
    array([[[1., 1., 2., 2., 4., 4.]]], dtype=float32)
    >>> F.interpolate(x, 5, mode="linear", align_corners=True)
    array([[[1. , 1.5, 2. , 3. , 4. ]]], dtype=float32)
    """
    x = _arguments.real("input", input)
    made = _arguments.resize(
        x.shape, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias, layout
    )
    shape, dtype = made.input.shape(made.layout, made.input.channels, made.dst), x.dtype.newbyteorder("=")
    if out is not None:
        out = _arguments.output(out, shape, dtype, [("input", input)])
    _arguments.fits_memory("size" if scale_factor is None else "scale_factor", "a result", shape, x)
    if made.mode == "area":
        return ADAPTIVE[len(made.dst)](x, made.dst, layout=layout, out=out)
    if made.mode in ("nearest", "nearest-exact"):
        given = zip(spatial(made), made.input.spatial, made.dst, made.steps, strict=True)
        axes = len(made.dst)
        places = {i: _taps(made.mode, axes, src, dst, step, False, dtype)[0][0] for i, src, dst, step in given}
        return gather(x, passes(x.shape, places), out)
    return blend(x, spatial(made).start, blends(made, dtype), out)


def spatial(made: Resize) -> range:
    """Return which axes are resized."""
    return _arguments.spatial_axes(len(made.dst) + 2, made.layout, len(made.dst))


def blends(made: Resize, dtype: Real, *, back: bool = False) -> list[Blend | None]:
    """Return what is summed along each spatial axis, there or back; None where nothing changes."""
    listed: list[Blend | None] = []
    for src, dst, step in zip(made.input.spatial, made.dst, made.steps, strict=True):
        find = _few_blends if max(src, dst) <= _FEW else _blend
        listed.append(find(back, made.mode, len(made.dst), src, dst, step, made.align_corners, dtype))
    return listed


def _blend(
    back: bool,
    mode: str,
    axes: int,
    src: int,
    dst: int,
    step: float | None,
    corners: bool,
    dtype: Real,
) -> Blend | None:
    listed = _taps(mode, axes, src, dst, step, corners, dtype)
    made = Blend.of_taps(listed, dtype) if listed else None
    return made.transposed(src) if made is not None and back else made


_few_blends = lru_cache(64)(_blend)


def _taps(
    mode: str, axes: int, src: int, dst: int, step: float | None, align_corners: bool, dtype: Real
) -> list[tuple[Array, Array | None]]:
    """Return for each position along an axis where it is, and its weight (None: one).

    Computed in the images' own type, nearest positions in float32, as torch does: whole numbers depend on it. Empty
    where nothing changes.
    """
    dtype = np.dtype(np.float32) if mode in ("nearest", "nearest-exact") else dtype
    real = dtype.type
    if src == dst and (mode in ("linear", "bilinear", "trilinear")):
        return []
    if mode == "nearest" and axes == 2 and dst in (src, 2 * src):  # torch: in two dimensions alone
        return [(np.arange(dst) // (dst // src), None)]
    at = np.arange(dst, dtype=dtype)
    if align_corners:
        at *= real(src - 1) / real(dst - 1) if dst > 1 else real(0)
    else:
        spacing = real(step) if step is not None else real(src) / real(dst)
        if mode == "nearest":
            at *= spacing
        else:
            at = (at + real(0.5)) * spacing
            at -= real(0 if mode == "nearest-exact" else 0.5)
    last = src - 1
    if mode in ("nearest", "nearest-exact"):
        return [(np.minimum(np.floor(at).astype(np.int64), last), None)]
    if mode != "bicubic":
        np.maximum(at, 0, out=at)
    floor = np.floor(at)
    part, first = at - floor, floor.astype(np.int64)
    if mode == "bicubic":
        return [(np.clip(first - 1 + k, 0, last), weight) for k, weight in enumerate(_cubic(part))]
    first = np.minimum(first, last)
    return [(first, 1 - part), (np.minimum(first + 1, last), part)]


def _cubic(part: Array) -> list[Array]:
    """Return the weights of the four nearest positions (Keys, 1981)."""
    a = part.dtype.type(SHARPNESS)

    def near(x: Array) -> Array:
        return ((a + 2) * x - (a + 3)) * x * x + 1  # type: ignore[no-any-return]

    def far(x: Array) -> Array:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a  # type: ignore[no-any-return]

    return [far(part + 1), near(part), near(1 - part), far(2 - part)]
