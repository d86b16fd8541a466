"""How weights start: Keras' initializers, drawn from fastconv's seeded generator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import _registry, runtime, utils
from fastconv._arguments import constructors as check

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "get",
    "serialize",
]

# The standard deviation of a standard normal that is cut at two standard deviations.
_TRUNCATED_STDDEV = 0.87962566103423978


_RULES: dict[str, check.Rule] = {
    **dict.fromkeys(("maxval", "mean", "minval", "scale", "value"), check.finite),
    "stddev": check.not_negative,
    "seed": check.seed,
}


class Initializer(check.Checked, rules=_RULES):
    """Base of all initializers: called with a shape and a dtype, it returns the first weights.

    Examples
    --------
    >>> class Halves(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return np.full(shape, 0.5, dtype or "float32")
    >>> Halves()((2,))
    array([0.5, 0.5], dtype=float32)
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> NDArray[Any]:
        """Return an array of weights; subclasses say which."""
        raise TypeError(f"{type(self).__name__} defines no __call__(shape, dtype)")

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON types."""
        return {key: value for key, value in vars(self).items() if not key.startswith("_")}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """Make an initializer from what `get_config` returned."""
        return cls(**config)


class _Random(Initializer):
    """An initializer that draws numbers: from its own seed the same each time, else from the common generator."""

    seed: int | None

    def _generator(self) -> np.random.Generator:
        return utils.generator() if self.seed is None else np.random.default_rng(self.seed)


class Zeros(Initializer):
    """All zeros.

    Examples
    --------
    >>> Zeros()((2,))
    array([0., 0.], dtype=float32)
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> NDArray[Any]:
        """Return zeros of a shape."""
        return np.zeros(shape, dtype or np.float32)


class Ones(Initializer):
    """All ones.

    Examples
    --------
    >>> Ones()((2,))
    array([1., 1.], dtype=float32)
    """

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> NDArray[Any]:
        """Return ones of a shape."""
        return np.ones(shape, dtype or np.float32)


class Constant(Initializer):
    """One value everywhere.

    Parameters
    ----------
    value : float

    Examples
    --------
    >>> Constant(3.0)((2,))
    array([3., 3.], dtype=float32)
    """

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> NDArray[Any]:
        """Return the constant in a shape."""
        return np.full(shape, self.value, dtype or np.float32)


class RandomNormal(_Random):
    """Normal numbers.

    Parameters
    ----------
    mean, stddev : float
    seed : int, optional
        With a seed of its own an initializer returns the same numbers each time.

    Examples
    --------
    >>> RandomNormal(seed=1)((3, 2)).shape
    (3, 2)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = mean
        self.stddev = stddev
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> NDArray[Any]:
        """Draw normal numbers."""
        return self._generator().normal(self.mean, self.stddev, shape).astype(dtype or np.float32)


class RandomUniform(_Random):
    """Numbers that are uniform between two bounds.

    Parameters
    ----------
    minval, maxval : float
    seed : int, optional

    Examples
    --------
    >>> values = RandomUniform(-1.0, 1.0, seed=1)((100,))
    >>> bool(np.all(np.abs(values) <= 1))
    True
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval = minval
        self.maxval = maxval
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> NDArray[Any]:
        """Draw uniform numbers."""
        return self._generator().uniform(self.minval, self.maxval, shape).astype(dtype or np.float32)


class TruncatedNormal(_Random):
    """Normal numbers, those farther than two standard deviations from the mean drawn again.

    Parameters
    ----------
    mean, stddev : float
        Of the normal distribution before it is cut.
    seed : int, optional

    Examples
    --------
    >>> values = TruncatedNormal(stddev=1.0, seed=1)((100,))
    >>> bool(np.all(np.abs(values) <= 2))
    True
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean = mean
        self.stddev = stddev
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> NDArray[Any]:
        """Draw truncated normal numbers."""
        return _truncated_normal(self._generator(), self.mean, self.stddev, shape).astype(dtype or np.float32)


class VarianceScaling(_Random):
    """Numbers whose variance is fitted to the number of inputs or outputs of a layer.

    Parameters
    ----------
    scale : float
        The variance is ``scale / n``.
    mode : {"fan_in", "fan_out", "fan_avg"}
        What n counts: inputs, outputs, or their mean.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
    seed : int, optional

    Raises
    ------
    ValueError
        If `scale` is not positive, or `mode` or `distribution` unknown.

    Examples
    --------
    >>> VarianceScaling(2.0, "fan_out", "uniform", seed=0)((3, 3, 4, 8)).shape
    (3, 3, 4, 8)
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        if not isinstance(scale, (int, float, np.number)) or scale <= 0:
            raise ValueError(f"scale: expected a positive number, got {scale!r}")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"mode: expected 'fan_in', 'fan_out' or 'fan_avg', got {mode!r}")
        given, distribution = distribution, distribution.lower() if isinstance(distribution, str) else ""
        distribution = "truncated_normal" if distribution == "normal" else distribution
        if distribution not in ("truncated_normal", "untruncated_normal", "uniform"):
            raise ValueError(
                f"distribution: expected 'truncated_normal', 'untruncated_normal' or 'uniform', got {given!r}"
            )
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.seed = seed

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> NDArray[Any]:
        """Draw numbers of the fitted variance."""
        fan_in, fan_out = _fans(shape)
        count = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, count)
        if self.distribution == "uniform":
            drawn = tuple(shape)
            values = runtime.uniform(drawn) if self.seed is None else self._generator().random(drawn, np.float32)
            limit = math.sqrt(3.0 * variance)
            values *= 2 * limit
            values -= limit
            return values.astype(dtype or np.float32, copy=False)
        generator = self._generator()
        if self.distribution == "untruncated_normal":
            return generator.normal(0.0, math.sqrt(variance), shape).astype(dtype or np.float32)
        stddev = math.sqrt(variance) / _TRUNCATED_STDDEV
        return _truncated_normal(generator, 0.0, stddev, shape).astype(dtype or np.float32)


class _NamedScaling(VarianceScaling):
    """A `VarianceScaling` with a name of its own, which has nothing to choose but its seed."""

    def __init__(self, scale: float, mode: str, distribution: str, seed: int | None) -> None:
        super().__init__(scale, mode, distribution, seed)

    def get_config(self) -> dict[str, Any]:
        return {"seed": self.seed}


class GlorotUniform(_NamedScaling):
    """Uniform, variance 2 / (inputs + outputs): Keras' default (Glorot and Bengio, 2010).

    Parameters
    ----------
    seed : int, optional

    Examples
    --------
    >>> bool(np.abs(GlorotUniform(seed=0)((10, 20))).max() <= np.sqrt(6 / 30))
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed)


class GlorotNormal(_NamedScaling):
    """Truncated normal, variance 2 / (inputs + outputs) (Glorot and Bengio, 2010).

    Parameters
    ----------
    seed : int, optional

    Examples
    --------
    >>> GlorotNormal()((2, 3)).shape
    (2, 3)
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed)


class HeUniform(_NamedScaling):
    """Uniform, variance 2 / inputs (He et al., 2015).

    Parameters
    ----------
    seed : int, optional

    Examples
    --------
    >>> HeUniform()((2, 3)).shape
    (2, 3)
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed)


class HeNormal(_NamedScaling):
    """Truncated normal, variance 2 / inputs (He et al., 2015).

    Parameters
    ----------
    seed : int, optional

    Examples
    --------
    >>> HeNormal()((2, 3)).shape
    (2, 3)
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed)


class LecunUniform(_NamedScaling):
    """Uniform, variance 1 / inputs (LeCun et al., 1998).

    Parameters
    ----------
    seed : int, optional

    Examples
    --------
    >>> LecunUniform()((2, 3)).shape
    (2, 3)
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed)


class LecunNormal(_NamedScaling):
    """Truncated normal, variance 1 / inputs (LeCun et al., 1998).

    Parameters
    ----------
    seed : int, optional

    Examples
    --------
    >>> LecunNormal()((2, 3)).shape
    (2, 3)
    """

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed)


def _fans(shape: Sequence[int]) -> tuple[float, float]:
    """Count a weight's inputs and outputs; all axes but the last two are a receptive field."""
    shape = tuple(shape)
    if len(shape) < 1:
        return 1.0, 1.0
    if len(shape) == 1:
        return float(shape[0]), float(shape[0])
    field = math.prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)


def _truncated_normal(
    generator: np.random.Generator, mean: float, stddev: float, shape: Sequence[int]
) -> NDArray[np.float64]:
    values = generator.standard_normal(math.prod(shape))
    outside = np.flatnonzero(np.abs(values) > 2)
    while outside.size:
        values[outside] = generator.standard_normal(outside.size)
        outside = outside[np.abs(values[outside]) > 2]
    scaled: NDArray[np.float64] = (values * stddev + mean).reshape(shape)
    return scaled


_CLASSES = (
    Constant, GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform,
    Ones, RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling, Zeros,
)  # fmt: skip
_TABLE: dict[str, Any] = {cls.__name__: cls for cls in _CLASSES}
_TABLE |= {_registry.snake_case(cls.__name__): cls for cls in _CLASSES}
_TABLE |= {"normal": RandomNormal, "uniform": RandomUniform, "one": Ones, "zero": Zeros}


def get(identifier: Any) -> Any:
    """Return an initializer by name, configuration, class or itself; None stays None.

    Raises
    ------
    ValueError
        If the name is unknown.

    Examples
    --------
    >>> type(get("he_normal")).__name__
    'HeNormal'
    """
    return _registry.resolve(identifier, _TABLE, "initializer")


def serialize(initializer: Any) -> Any:
    """Describe an initializer as plain JSON types.

    Examples
    --------
    >>> serialize(Zeros())["class_name"]
    'Zeros'
    """
    return _registry.serialize(initializer)


constant = Constant
glorot_normal = GlorotNormal
glorot_uniform = GlorotUniform
he_normal = HeNormal
he_uniform = HeUniform
lecun_normal = LecunNormal
lecun_uniform = LecunUniform
ones = Ones
random_normal = RandomNormal
random_uniform = RandomUniform
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
zeros = Zeros
