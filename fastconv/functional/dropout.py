"""Dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastconv import _arguments, _core, cuda, runtime
from fastconv.functional.activation import destination

if TYPE_CHECKING:
    from fastconv._arguments import Array


def dropout(
    input: Array,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
    *,
    out: Array | None = None,
) -> Array:
    """Set each element to zero with probability p and scale the others by ``1 / (1 - p)`` (Srivastava et al., 2014).

    Parameters
    ----------
    input : ndarray (...)
        Any shape.
    p : float
        Probability of zero, in [0, 1].
    training : bool
        Without, the input itself is returned, as in torch.
    inplace : bool
        Write over the input and return it.
    out : ndarray, optional
        Where the result goes; may be the input.

    Returns
    -------
    ndarray (...)
        The result; which elements are kept is decided by fastconv's own generator (``fastconv.set_seed``).

    Raises
    ------
    TypeError
        For anything but a float32 or float64 array.
    ValueError
        For a p outside [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> import fastconv
    >>> from fastconv import functional as F
    >>> fastconv.set_seed(3)
    >>> dropped = F.dropout(np.ones(1000, np.float32), 0.25)
    >>> sorted(set(dropped.tolist())) == [0, float(np.float32(4 / 3))]
    True
    """
    if _arguments.on_device(input):
        return cuda.run("dropout", input, p, training, inplace, out)
    x = _arguments.real("input", input)
    rate = _arguments.number("p", p)
    if not 0 <= rate <= 1:
        _arguments.wrong("p", "a probability in [0, 1]", p)
    training = _arguments.flag("training", training)
    target = destination(x, input, inplace, out, [("input", input)])
    if not training or rate == 0:
        return input if target is None else _arguments.delivered(x, target)
    result = np.empty(x.shape, x.dtype.newbyteorder("=")) if target is None else target
    drawn = runtime.draws().next()
    done = _core.dropout(x, rate, drawn, 1, result)
    if done is None:
        plain = _arguments.plain("input", x)
        done = _core.dropout(plain, rate, drawn, 1, np.empty(plain.shape, plain.dtype))
    return _arguments.delivered(done, target)
