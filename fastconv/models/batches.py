"""What users hand in, as arrays; and arrays as batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastconv.layers.arguments import Array, Shape


def as_array(value: Any, name: str) -> Array:
    """Return real numbers as an array with at least a batch axis.

    Raises
    ------
    TypeError
        If the value holds anything else.
    ValueError
        If it is a single number, or rows of different lengths.

    Examples
    --------
    >>> as_array([[1, 2]], "x").shape
    (1, 2)
    """
    if not isinstance(value, np.ndarray) and (value is None or isinstance(value, (str, bytes, Mapping, Iterator))):
        raise TypeError(f"{name}: expected an array, got {type(value).__name__}")
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name}: expected real numbers, got an array of dtype {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"{name}: expected an array with a batch axis, got a single number")
    return array


class Structure(NamedTuple):
    """What is given for the inputs or the outputs of a model: one array, or several in an order that has names.

    Examples
    --------
    >>> Structure(["a", "b"], True, "x").listed({"b": 2, "a": 1})
    [1, 2]
    """

    names: list[str]
    several: bool
    what: str

    def listed(self, value: Any) -> list[Any]:
        """Return one value, a list of values, or a dict of them by name, as a list.

        Raises
        ------
        ValueError
            If a name is unknown or missing, or the number of values is wrong.
        """
        if isinstance(value, Mapping):
            if set(value) != set(self.names):
                raise ValueError(f"{self.what}: expected a dict with the names {self.names}, got {list(value)}")
            return [value[name] for name in self.names]
        if not self.several or (len(self.names) == 1 and not isinstance(value, (list, tuple))):
            return [value]
        if not isinstance(value, (list, tuple)) or len(value) != len(self.names):
            got = f"{len(value)}" if isinstance(value, (list, tuple)) else type(value).__name__
            raise ValueError(f"{self.what}: expected a list of {len(self.names)} for {self.names}, got {got}")
        return list(value)


def as_arrays(value: Any, structure: Structure) -> Any:
    """Return one array, or a list of them where the structure has several.

    Raises
    ------
    TypeError, ValueError
        As `as_array` and `Structure.listed` do, and where the numbers of samples differ.

    Examples
    --------
    >>> as_arrays({"a": [1, 2]}, Structure(["a"], False, "x"))
    array([1, 2])
    """
    arrays = [as_array(item, structure.what) for item in structure.listed(value)]
    if len({len(array) for array in arrays}) > 1:
        raise ValueError(
            "Data cardinality is ambiguous. Make sure all arrays contain the same number of samples:"
            f" {structure.what} has {[len(array) for array in arrays]}"
        )
    return arrays if structure.several else arrays[0]


def each(entry: Any, function: Callable[[Array], Any]) -> Any:
    """Return a function of an array, or of each array in a list; None stays None.

    Examples
    --------
    >>> each([np.zeros(2), None], len)
    [2, None]
    """
    if isinstance(entry, list):
        return [each(item, function) for item in entry]
    return None if entry is None else function(entry)


def shares(array: Array, entry: Any) -> bool:
    """Return whether an array may share memory with an array, or with one of several.

    Examples
    --------
    >>> x = np.zeros(4)
    >>> shares(x[2:], [np.zeros(4), x]), shares(np.zeros(4), x)
    (True, False)
    """
    if isinstance(entry, list):
        return any(shares(array, item) for item in entry)
    return entry is not None and np.may_share_memory(array, entry)


def count(entry: Any) -> int:
    """Return the number of samples of an array or of a list of arrays.

    Examples
    --------
    >>> count([None, np.zeros(2)])
    2
    """
    if isinstance(entry, list):
        return next(len(item) for item in entry if item is not None)
    return len(entry)


def fit_inputs(inputs: Array, expected: Shape, model_name: str) -> Array:
    """Check inputs against a model's input shape, and add or drop a last axis of extent 1, as Keras does.

    Raises
    ------
    ValueError
        If they do not fit.

    Examples
    --------
    >>> fit_inputs(np.zeros((3, 28, 28)), (None, 28, 28, 1), "lenet5").shape
    (3, 28, 28, 1)
    """
    if inputs.ndim == len(expected) - 1 and expected[-1] == 1:
        inputs = inputs[..., None]
    elif inputs.ndim == len(expected) + 1 and inputs.shape[-1] == 1:
        inputs = inputs[..., 0]
    fits = inputs.ndim == len(expected) and all(
        want is None or got == want for got, want in zip(inputs.shape[1:], expected[1:], strict=True)
    )
    if not fits:
        raise ValueError(
            f"Input 0 of model '{model_name}' is incompatible with the model: expected shape={expected},"
            f" found shape={inputs.shape}"
        )
    return inputs


def split(arrays: tuple[Any, ...], fraction: float) -> tuple[Any, Any]:
    """Return all samples but the last ones, and the last ones, as Keras' ``validation_split`` does.

    Each entry is an array, a list of arrays or None.

    Raises
    ------
    ValueError
        If the fraction is not between 0 and 1 or leaves one part empty.

    Examples
    --------
    >>> train, test = split((np.arange(5), None), 0.2)
    >>> train[0], test[0]
    (array([0, 1, 2, 3]), array([4]))
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation_split: expected a number from 0 to 1, got {fraction!r}")
    samples = count(next(entry for entry in arrays if entry is not None))
    first = math.floor(samples * (1 - fraction))
    if first in (0, samples):
        raise ValueError(
            f"validation_split: {fraction} of {samples} samples leaves nothing to train or to validate with"
        )
    return (
        tuple(each(entry, lambda array: array[:first]) for entry in arrays),
        tuple(each(entry, lambda array: array[first:]) for entry in arrays),
    )


def weights_of_classes(class_weight: Mapping[int, float], targets: Array) -> Array:
    """Return a weight for each sample, from one for each class; classes that are not named weigh 1.

    Raises
    ------
    ValueError
        If the targets are no classes.

    Examples
    --------
    >>> weights_of_classes({1: 2.0}, np.array([0, 1]))
    array([1., 2.])
    """
    if targets.ndim > 2:
        raise ValueError(f"class_weight: expected one class for each sample, got targets of shape {targets.shape}")
    one_hot = targets.ndim == 2 and targets.shape[1] > 1
    labels = (targets.argmax(1) if one_hot else targets.reshape(-1)).astype(np.int64)
    weights = np.ones(len(labels))
    for label, weight in class_weight.items():
        weights[labels == int(label)] = weight
    return weights


class Batches:
    """Arrays of samples, batch by batch, the inputs in one type.

    A batch is a view where it can be; otherwise it is gathered into a buffer that the next batch overwrites.

    Parameters
    ----------
    inputs : ndarray, (samples, …), or list of ndarray
    dtype : dtype
        Of the inputs in a batch.
    others : sequence of ndarray, list of ndarray or None, (samples, …)
        What goes with them, targets and weights; given out in its own type.
    batch_size : int, optional
        32 by default.

    Raises
    ------
    ValueError
        If the numbers of samples differ, or the batch size is not positive.

    Examples
    --------
    >>> [x.tolist() for x, y in Batches(np.arange(5), np.dtype("f4"), [None], 2)]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    """

    def __init__(self, inputs: Any, dtype: np.dtype[Any], others: list[Any], batch_size: int | None = None) -> None:
        if batch_size is None:
            batch_size = 32
        if not isinstance(batch_size, (int, np.integer)) or isinstance(batch_size, bool) or batch_size <= 0:
            raise ValueError(f"batch_size: expected a positive integer, got {batch_size!r}")
        # Lists are taken apart; a batch is put together again.
        self._arrays: list[Array | None] = []
        self._places: list[int | list[int]] = []
        for entry in (inputs, *others):
            first = len(self._arrays)
            self._arrays.extend(entry if isinstance(entry, list) else [entry])
            self._places.append(list(range(first, len(self._arrays))) if isinstance(entry, list) else first)
        counts = [len(array) for array in self._arrays if array is not None]
        if len(set(counts)) > 1:
            raise ValueError(
                f"Data cardinality is ambiguous. Make sure all arrays contain the same number of samples: {counts}"
            )
        self.count = counts[0]
        inputs_end = len(inputs) if isinstance(inputs, list) else 1
        self._types = [
            dtype if which < inputs_end else None if array is None else array.dtype
            for which, array in enumerate(self._arrays)
        ]
        self._size = min(int(batch_size), max(self.count, 1))
        self._buffers: dict[tuple[int, bool], Array] = {}

    def __len__(self) -> int:
        return -(-self.count // self._size)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self.in_order(None)

    def in_order(self, order: Array | None) -> Iterator[tuple[Any, ...]]:
        """Give out batches in an order of samples; None is their own."""
        for start in range(0, self.count, self._size):
            stop = min(start + self._size, self.count)
            index = slice(start, stop) if order is None else order[start:stop]
            parts = [self._part(which, index, stop - start) for which in range(len(self._arrays))]
            yield tuple(
                [parts[i] for i in place] if isinstance(place, list) else parts[place] for place in self._places
            )

    def _part(self, which: int, index: Any, count: int) -> Array | None:
        array = self._arrays[which]
        if array is None:
            return None
        dtype = self._types[which]
        if isinstance(index, slice):
            part = array[index]
        else:
            buffer = self._buffer(which, array, array.dtype, gathered=True)[:count]
            # With this mode take writes to its output at once; the indices are a permutation.
            part = np.take(array, index, axis=0, out=buffer, mode="clip")
        if part.dtype == dtype:
            return part
        cast = self._buffer(which, array, dtype, gathered=False)[:count]
        np.copyto(cast, part, casting="unsafe")
        return cast

    def _buffer(self, which: int, array: Array, dtype: Any, gathered: bool) -> Array:
        key = (which, gathered)
        if key not in self._buffers:
            self._buffers[key] = np.empty((self._size, *array.shape[1:]), dtype)
        return self._buffers[key]
