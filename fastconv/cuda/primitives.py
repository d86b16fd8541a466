"""What kernels are made of beyond arithmetic: 128-bit copies, division by numbers known at launch, arithmetic types."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv.cuda._numba import SIMULATED, device_function, int32, int64, types

REALS: dict[str, Any] = {"f4": np.float32, "f8": np.float64}
BLOCK = 64 if SIMULATED else 256  # threads of a block of kernels with no tiles; a simulated one is one of Python's
LANES = {"f4": 4, "f8": 2}  # elements in 128 bits
MMA_TF32 = "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32"
LOADS_128 = {"f4": "ld.global.v4.f32", "f8": "ld.global.v2.f64"}


if SIMULATED:

    def copy_vector(dst: Any, i: int, src: Any, j: int) -> None:
        """Copy 128 bits, ``src[j:]`` to ``dst[i:]``, both places aligned to 128 bits; the plain twin."""
        lanes = 16 // src.dtype.itemsize
        assert i >= 0
        assert j >= 0
        assert i % lanes == 0
        assert j % lanes == 0
        for lane in range(lanes):
            dst[i + lane] = src[j + lane]

    def fetch(src: Any, j: int) -> Any:
        """Return ``src[j]``, j not below zero; the plain twin."""
        assert j >= 0
        return src[j]

    def put(dst: Any, i: int, value: Any) -> None:
        """Write ``dst[i]``, i not below zero; the plain twin."""
        assert i >= 0
        dst[i] = value

    def uint32(value: Any) -> Any:
        """Return a number modulo 2**32: what is below zero is large."""
        return int(value) & 0xFFFFFFFF

    def to_tf32(x: Any) -> Any:
        """Round a float32 to the 10 bits of TF32's significand, ties away from zero; the plain twin."""
        bits = np.float32(x).view(np.uint32)
        return np.uint32((int(bits) + 0x1000) & 0xFFFFE000).view(np.float32) if np.isfinite(x) else x

else:
    from llvmlite import ir
    from numba.cuda.extending import intrinsic

    def _vector_pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
        lanes = 128 // array_type.dtype.bitwidth
        vector = ir.VectorType(context.get_data_type(array_type.dtype), lanes)
        data = context.make_array(array_type)(context, builder, array).data
        return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())

    @intrinsic  # type: ignore[untyped-decorator]
    def copy_vector(typing_context: Any, dst: Any, i: Any, src: Any, j: Any) -> Any:
        """Copy 128 bits, ``src[j:]`` to ``dst[i:]`` of one-dimensional arrays, both places aligned to 128 bits."""

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            to, at, source, place = arguments
            read = _vector_pointer(context, builder, signature.args[2], source, place)
            write = _vector_pointer(context, builder, signature.args[0], to, at)
            builder.store(builder.load(read, align=16), write, align=16)
            return context.get_dummy_value()

        return types.void(dst, types.int64, src, types.int64), code

    @intrinsic  # type: ignore[untyped-decorator]
    def fetch(typing_context: Any, src: Any, j: Any) -> Any:
        """Return ``src[j]`` without the test for j < 0 that Numba's own indexing makes."""

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            return builder.load(builder.gep(array.data, [arguments[1]]))

        return src.dtype(src, types.int64), code

    @intrinsic  # type: ignore[untyped-decorator]
    def put(typing_context: Any, dst: Any, i: Any, value: Any) -> Any:
        """Write ``dst[i]`` without the test for i < 0 that Numba's own indexing makes."""

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            array = context.make_array(signature.args[0])(context, builder, arguments[0])
            builder.store(arguments[2], builder.gep(array.data, [arguments[1]]))
            return context.get_dummy_value()

        return types.void(dst, types.int64, dst.dtype), code

    uint32 = types.uint32

    @intrinsic  # type: ignore[untyped-decorator]
    def to_tf32(typing_context: Any, x: Any) -> Any:
        """Round a float32 to the 10 bits of TF32's significand, ties away from zero."""

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.FunctionType(ir.IntType(32), [ir.FloatType()])
            convert = ir.InlineAsm(kind, "cvt.rna.tf32.f32 $0, $1;", "=r,f")
            return builder.bitcast(builder.call(convert, arguments), ir.FloatType())

        return types.float32(types.float32), code

    @intrinsic  # type: ignore[untyped-decorator]
    def multiply_tf32(typing_context: Any, sums: Any, i: Any, j: Any, a: Any, k: Any, b: Any, m: Any) -> Any:
        """Add a warp's 16 × 8 by 8 × 8 product: sums[i:i+2] and sums[j:j+2] += a[k:k+4] · b[m:m+2].

        Each thread holds what `fragment` in kernels/tensor.py says. There is no twin: the simulator has no warps.
        """

        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            real, bits = ir.FloatType(), ir.IntType(32)
            kind = ir.FunctionType(ir.LiteralStructType([real] * 4), [bits] * 6 + [real] * 4)
            product = ir.InlineAsm(kind, MMA_TF32 + " {$0,$1,$2,$3}, {$4,$5,$6,$7}, {$8,$9}, {$10,$11,$12,$13};",
                                   "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", side_effect=True)  # fmt: skip

            def places(which: int, first: int, count: int) -> list[Any]:
                data = context.make_array(signature.args[which])(context, builder, arguments[which]).data
                at = arguments[first]
                return [builder.gep(data, [builder.add(at, ir.Constant(at.type, lane))]) for lane in range(count)]

            to = places(0, 1, 2) + places(0, 2, 2)
            factors = [builder.bitcast(builder.load(p), bits) for p in places(3, 4, 4) + places(5, 6, 2)]
            made = builder.call(product, factors + [builder.load(place) for place in to])
            for lane, place in enumerate(to):
                builder.store(builder.extract_value(made, lane), place)
            return context.get_dummy_value()

        return types.void(sums, types.int64, types.int64, a, types.int64, b, types.int64), code


@functools.cache
def stretch(lanes: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return what reads, and what writes, a thread's stretch of an array: `lanes` elements in 128 bits.

    (held, array, place, end, whole) for array[place:end], of which held takes at most `lanes` and at least one. In one
    copy if `whole` (array[place] is aligned to 128 bits) and all are there, else one by one; what held has past the end
    of the array is read of its last element, and never written.
    """

    def read(held: Any, array: Any, place: Any, end: Any, whole: Any) -> None:
        if (whole != 0) & (place + lanes <= end):
            copy_vector(held, 0, array, place)
        else:
            for lane in range(lanes):
                held[lane] = fetch(array, min(place + lane, end - 1))

    def write(held: Any, array: Any, place: Any, end: Any, whole: Any) -> None:
        if (whole != 0) & (place + lanes <= end):
            copy_vector(array, place, held, 0)
        else:
            for lane in range(lanes):
                if place + lane < end:
                    put(array, place + lane, held[lane])

    return device_function(read), device_function(write)


def divisor(d: int) -> tuple[int, int]:
    """Return (multiplier, shift) with which ``quotient`` divides numbers in [0, 2**31) by d exactly.

    Granlund and Montgomery (1994): m = ceil(2**(31 + l) / d) with l = ceil(log2 d), so m < 2**32 and n m < 2**63.

    Examples
    --------
    >>> multiplier, shift = divisor(7)
    >>> [n * multiplier >> shift for n in (0, 6, 7, 2**31 - 1)] == [0, 0, 1, (2**31 - 1) // 7]
    True
    """
    shift = 31 + (d - 1).bit_length()
    return -(-(1 << shift) // d), shift


@device_function
def quotient(n: Any, multiplier: Any, shift: Any) -> Any:
    """Return n // d for the numbers that divisor(d) made."""
    return int32((int64(n) * multiplier) >> shift)


# ---- elementary functions; math's raise where the hardware's return infinity ---------------------------------------


def _quiet(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def twin(x: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(x)

    return twin


exp: Callable[[Any], Any] = _quiet(np.exp) if SIMULATED else math.exp
expm1: Callable[[Any], Any] = _quiet(np.expm1) if SIMULATED else math.expm1
log: Callable[[Any], Any] = _quiet(np.log) if SIMULATED else math.log
log1p: Callable[[Any], Any] = _quiet(np.log1p) if SIMULATED else math.log1p
sqrt: Callable[[Any], Any] = _quiet(np.sqrt) if SIMULATED else math.sqrt
tanh: Callable[[Any], Any] = _quiet(np.tanh) if SIMULATED else math.tanh
erf: Callable[[Any], Any] = math.erf
erfc: Callable[[Any], Any] = math.erfc
