"""Means and maxima of windows that divide images into a given number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast, overload

from fastconv import _arguments
from fastconv.functional._windows import run

if TYPE_CHECKING:
    from fastconv._arguments import Array, Layout


def adaptive_avg_pool1d(
    input: Array,
    output_size: int | tuple[int | None] | None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take means of windows that divide sequences into a given number.

    Parameters
    ----------
    input : ndarray (n, c, l) or (c, l)
        Sequences; (n, l, c) or (l, c) with ``layout="NHWC"``.
    others
        As in adaptive_avg_pool2d, with one number where it takes two.

    Returns
    -------
    ndarray
        As adaptive_avg_pool2d returns, with one spatial axis.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_avg_pool1d(np.float32([[1, 2, 3, 4, 5]]), 2)
    array([[2., 4.]], dtype=float32)
    """
    return cast("Array", run(1, input, ("adaptive avg", output_size, layout), False, out))


def adaptive_avg_pool2d(
    input: Array,
    output_size: int | tuple[int | None, int | None] | None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take means of windows that divide the image into a given number of rows and columns.

    Parameters
    ----------
    input : ndarray (n, c, h, w) or (c, h, w)
        Images; (n, h, w, c) or (h, w, c) with ``layout="NHWC"``.
    output_size : int, None or a pair of them
        Rows and columns of the result; None keeps the image's. Window i covers
        ``floor(i * h / oh)`` to ``ceil((i + 1) * h / oh)``.
    layout, out
        As in conv2d.

    Returns
    -------
    ndarray (n, c, oh, ow)
        The means; with ``output_size=1`` the global average of each channel.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_avg_pool2d(np.arange(15, dtype=np.float32).reshape(1, 3, 5), (1, 2))
    array([[[6., 8.]]], dtype=float32)
    """
    return cast("Array", run(2, input, ("adaptive avg", output_size, layout), False, out))


def adaptive_avg_pool3d(
    input: Array,
    output_size: int | tuple[int | None, int | None, int | None] | None,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array:
    """Take means of windows that divide volumes into a given number of planes, rows and columns.

    Parameters
    ----------
    input : ndarray (n, c, d, h, w) or (c, d, h, w)
        Volumes; (n, d, h, w, c) or (d, h, w, c) with ``layout="NHWC"``.
    others
        As in adaptive_avg_pool2d, with three numbers where it takes two.

    Returns
    -------
    ndarray
        As adaptive_avg_pool2d returns, with three spatial axes.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_avg_pool3d(np.arange(16, dtype=np.float32).reshape(1, 2, 2, 4), (None, 1, 1))
    array([[[[ 3.5]],
    <BLANKLINE>
            [[11.5]]]], dtype=float32)
    """
    return cast("Array", run(3, input, ("adaptive avg", output_size, layout), False, out))


@overload
def adaptive_max_pool1d(
    input: Array,
    output_size: int | tuple[int | None] | None,
    return_indices: Literal[False] = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array: ...
@overload
def adaptive_max_pool1d(
    input: Array,
    output_size: int | tuple[int | None] | None,
    return_indices: Literal[True],
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array]: ...
@overload
def adaptive_max_pool1d(
    input: Array,
    output_size: int | tuple[int | None] | None,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]: ...
def adaptive_max_pool1d(
    input: Array,
    output_size: int | tuple[int | None] | None,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Take maxima of windows that divide sequences into a given number.

    Parameters
    ----------
    input : ndarray (n, c, l) or (c, l)
        Sequences; (n, l, c) or (l, c) with ``layout="NHWC"``.
    others
        As in adaptive_max_pool2d, with one number where it takes two.

    Returns
    -------
    ndarray
        As adaptive_max_pool2d returns, with one spatial axis.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_max_pool1d(np.float32([[1, 5, 3, 4, 2]]), 2)
    array([[5., 4.]], dtype=float32)
    """
    wanted = bool(_arguments.word("return_indices", return_indices))
    return run(1, input, ("adaptive max", output_size, layout), wanted, out)


@overload
def adaptive_max_pool2d(
    input: Array,
    output_size: int | tuple[int | None, int | None] | None,
    return_indices: Literal[False] = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array: ...
@overload
def adaptive_max_pool2d(
    input: Array,
    output_size: int | tuple[int | None, int | None] | None,
    return_indices: Literal[True],
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array]: ...
@overload
def adaptive_max_pool2d(
    input: Array,
    output_size: int | tuple[int | None, int | None] | None,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]: ...
def adaptive_max_pool2d(
    input: Array,
    output_size: int | tuple[int | None, int | None] | None,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Take maxima of windows that divide the image into a given number of rows and columns.

    Parameters
    ----------
    input, output_size, layout, out
        As in adaptive_avg_pool2d.
    return_indices : bool
        Also return where each maximum was, as max_pool2d does.

    Returns
    -------
    ndarray (n, c, oh, ow), and the indices with `return_indices`
        The maxima.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_max_pool2d(np.arange(15, dtype=np.float32).reshape(1, 3, 5), (None, 1))
    array([[[ 4.],
            [ 9.],
            [14.]]], dtype=float32)
    """
    wanted = bool(_arguments.word("return_indices", return_indices))
    return run(2, input, ("adaptive max", output_size, layout), wanted, out)


@overload
def adaptive_max_pool3d(
    input: Array,
    output_size: int | tuple[int | None, int | None, int | None] | None,
    return_indices: Literal[False] = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array: ...
@overload
def adaptive_max_pool3d(
    input: Array,
    output_size: int | tuple[int | None, int | None, int | None] | None,
    return_indices: Literal[True],
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> tuple[Array, Array]: ...
@overload
def adaptive_max_pool3d(
    input: Array,
    output_size: int | tuple[int | None, int | None, int | None] | None,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]: ...
def adaptive_max_pool3d(
    input: Array,
    output_size: int | tuple[int | None, int | None, int | None] | None,
    return_indices: bool = False,
    *,
    layout: Layout = "NCHW",
    out: Array | None = None,
) -> Array | tuple[Array, Array]:
    """Take maxima of windows that divide volumes into a given number of planes, rows and columns.

    Parameters
    ----------
    input : ndarray (n, c, d, h, w) or (c, d, h, w)
        Volumes; (n, d, h, w, c) or (d, h, w, c) with ``layout="NHWC"``.
    others
        As in adaptive_max_pool2d, with three numbers where it takes two.

    Returns
    -------
    ndarray
        As adaptive_max_pool2d returns, with three spatial axes.

    Raises
    ------
    TypeError, ValueError
        As in conv2d.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import functional as F
    >>> F.adaptive_max_pool3d(np.arange(16, dtype=np.float32).reshape(1, 2, 2, 4), 1)
    array([[[[15.]]]], dtype=float32)
    """
    wanted = bool(_arguments.word("return_indices", return_indices))
    return run(3, input, ("adaptive max", output_size, layout), wanted, out)
