from collections.abc import Callable
from contextvars import Token
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ints = tuple[int, ...]

ISAS: dict[str, int]
LAYOUTS: dict[str, int]
ALGORITHMS: dict[str, int]
FAMILIES: dict[int, str]
ACTIVATIONS: dict[str, int]
FORWARD: int
BACKWARD_INPUT: int
BACKWARD_WEIGHT: int
ONCE: int
MANY: int
OK: int
BAD_SHAPE: int
EMPTY_OUTPUT: int
OVERFLOW: int
UNSUPPORTED: int

def get_threads() -> int: ...
def set_threads(count: int) -> None: ...
def wake_always(always: bool) -> None: ...
def set_highest_precision(highest: bool) -> None: ...
def bound_default_threads(count: int) -> None: ...
def has_openmp() -> bool: ...
def isa_available(isa: int) -> bool: ...
def l2_bytes() -> int: ...
def multiply_adds(double_precision: bool, isa: int, rounds: int) -> float: ...
def get_isa() -> int: ...
def set_default_isa(isa: int) -> None: ...
def choose_isa(isa: int) -> Token[int]: ...
def unchoose_isa(token: Token[int]) -> None: ...

class Block:
    def __init__(self, nbytes: int) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def trim_blocks() -> None: ...
def idle_block_bytes() -> int: ...
def set_block_limit(nbytes: int) -> None: ...
def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array: ...

class ConvPlan:
    def describe(
        self,
        *,
        direction: int,
        algorithm: int,
        reuse: int,
        double_precision: bool,
        layout: int,
        activation: int,
        alpha: float,
        beta: float,
        ic: int,
        oc: int,
        groups: int,
        src: Ints,
        kernel: Ints,
        stride: Ints,
        dilation: Ints,
        pad_begin: Ints,
        pad_end: Ints,
    ) -> int: ...
    @property
    def chosen(self) -> dict[str, Any]: ...
    @property
    def dst(self) -> Ints: ...
    def workspace(self, n: int, count: int) -> int: ...
    def pack(self, weight: Array, bias: Array | None) -> bool: ...
    def __call__(self, x: Array, out: Array | None = None) -> Array: ...
    def execute(self, x: object, out: object) -> Array | None: ...
    def general(self, x: object, out: object) -> Array: ...
    def once(self, x: object, weight: object, bias: object, out: object) -> Array | None: ...
    def weight_grad(self, x: object, grad: object, out: object) -> Array | None: ...

class PoolPlan:
    def describe(
        self,
        *,
        maximum: bool,
        adaptive: bool,
        ceil_mode: bool,
        include_pad: bool,
        divisor: float,
        double_precision: bool,
        layout: int,
        channels: int,
        src: Ints,
        kernel: Ints,
        stride: Ints,
        dilation: Ints,
        pad_begin: Ints,
        pad_end: Ints,
        dst: Ints,
    ) -> int: ...
    @property
    def dst(self) -> Ints: ...
    def backward(self, x: object, indices: object, grad: object, out: object) -> Array | Literal[False] | None: ...

def kept(options: tuple[object, ...]) -> ConvPlan | PoolPlan | None: ...
def keep_plan(options: tuple[object, ...], plan: ConvPlan | PoolPlan) -> None: ...
def conv(
    axes: int,
    x: object,
    weight: object,
    bias: object,
    options: tuple[object, ...],
    out: object,
    make: Callable[[], ConvPlan] | None,
) -> Array | None: ...
def linear(
    x: object,
    weight: object,
    bias: object,
    options: tuple[object, ...],
    out: object,
    make: Callable[[], ConvPlan] | None,
) -> Array | None: ...
def bias_grad(layout: int, grad: object, out: object) -> Array | None: ...
def pool(
    axes: int,
    x: object,
    options: tuple[object, ...],
    with_indices: bool,
    out: object,
    make: Callable[[], PoolPlan] | None,
) -> Array | tuple[Array, Array] | None: ...
def activation(kind: int, alpha: float, beta: float, x: object, out: object) -> Array | None: ...
def activation_grad(kind: int, alpha: float, beta: float, grad: object, saved: object, out: object) -> Array | None: ...
def softmax(logarithm: bool, axis: int, x: object, out: object) -> Array | None: ...
def softmax_grad(logarithm: bool, axis: int, grad: object, result: object, out: object) -> Array | None: ...

NORMS: dict[str, int]

def norm_statistics(shape: Ints, x: Array, mean: Array, variance: Array) -> None: ...
def norm_run(
    shape: Ints,
    eps: float,
    activation: int,
    x: Array,
    mean: Array,
    variance: Array,
    weight: Array | None,
    bias: Array | None,
    out: Array,
) -> None: ...
def norm_backward(
    shape: Ints,
    eps: float,
    x: Array,
    grad: Array,
    mean: Array,
    variance: Array,
    weight: Array | None,
    constant: bool,
    dx: Array | None,
    dweight: Array | None,
    dbias: Array | None,
) -> None: ...
def layer_norm(
    rows: int,
    count: int,
    eps: float,
    x: Array,
    weight: Array | None,
    bias: Array | None,
    mean: Array,
    rstd: Array,
    out: Array,
) -> None: ...
def layer_norm_backward(
    rows: int,
    count: int,
    eps: float,
    x: Array,
    grad: Array,
    weight: Array | None,
    mean: Array,
    rstd: Array,
    dx: Array | None,
    dweight: Array | None,
    dbias: Array | None,
) -> None: ...

UPDATES: dict[str, int]

class Update:
    def __init__(self, values: list[Array], gradients: list[Array], slots: list[tuple[Array | None, ...]]) -> None: ...
    def __call__(
        self,
        *,
        kind: int,
        rate: float,
        keeps: list[float],
        scales: list[float],
        limit: float,
        momentum: float = 0.0,
        first: float = 0.0,
        second: float = 0.0,
        epsilon: float = 0.0,
        nesterov: bool = False,
    ) -> None: ...

def sum_squares(array: object) -> float | None: ...
def same_bytes(arrays: list[Array], others: list[Array]) -> bool: ...
def circumstances_now() -> int: ...
def dropout(x: object, rate: float, drawn: tuple[int, int], rows: int, out: object) -> Array | None: ...
def gather(
    x: object,
    shape: tuple[int, ...],
    lead: int,
    extents: tuple[tuple[int, int], ...],
    trail: int,
    places: tuple[Array | None, ...],
    value: float,
    out: object,
) -> Array | None: ...
def blend(
    x: object,
    shape: tuple[int, ...],
    lead: int,
    extents: tuple[tuple[int, int], ...],
    trail: int,
    axes: tuple[tuple[Array, Array] | None, ...],
    out: object,
) -> Array | None: ...

LINES: dict[str, int]
SQUARE: int
ADD: int
ROOT: int

def filter_samples(
    kind: int,
    double_precision: bool,
    src: object,
    out: object,
    shape: tuple[int, int, int, int],
    rows: Array | None,
    columns: Array | None,
    beyond: float,
    first: tuple[int, int, Array | None, int, float, float],
    second: tuple[int, int, Array | None, int, float, float] | None,
    then: int,
) -> Array | None: ...

STEPS: dict[str, int]

class Program:
    def describe(
        self,
        *,
        double_precision: bool,
        read: tuple[int, ...],
        made: tuple[int, ...],
        steps: list[dict[str, Any]],
        facts: list[tuple[dict[str, Any], str, object]],
    ) -> int: ...
    @property
    def chosen(self) -> dict[str, Any]: ...
    @property
    def trains(self) -> bool: ...
    @property
    def dropouts(self) -> int: ...
    def training_bytes(self, n: int, count: int) -> int: ...
    def is_current(self) -> bool: ...
    def train(
        self, x: object, truth: object, weights: object, share: float, drawn: tuple[int, int] = (0, 0)
    ) -> tuple[float, Array] | None: ...
    def __call__(self, x: object) -> Array | None: ...
