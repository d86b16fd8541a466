"""Input that crashed other libraries: each gives a clear error here, or the right result, and no process dies of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# What crashed whom (or the argument's kind) -> calls, each with the error's type and the argument it must name; a call
# with None gives the value that is behind it.
ROWS: dict[str, list[tuple[str, str | None, str]]] = {
    "pool size or stride 0 or negative (CVE-2021-41196, CVE-2025-2953)": [
        ("F.max_pool2d(x, 0)", "ValueError", "kernel_size"),
        ("F.max_pool3d(v, (1, -2, 1))", "ValueError", "kernel_size"),
        ("F.avg_pool1d(s, 2, 0)", "ValueError", "stride"),
        ("F.lp_pool2d(x, 2, 2, -1)", "ValueError", "stride"),
        ("F.max_unpool2d(x, np.zeros(x.shape, np.int64), 0)", "ValueError", "kernel_size"),
        ("F.unfold(x, 0)", "ValueError", "kernel_size"),
        ("L.MaxPooling2D(0)", "ValueError", "pool_size"),
        ("L.AveragePooling1D(2, strides=-1)", "ValueError", "strides"),
        ("I.maximum_filter(x[0, 0], 0)", "ValueError", "size"),
    ],
    "transposed stride 0 (CVE-2021-29588)": [
        ("F.conv_transpose2d(x, t, stride=0)", "ValueError", "stride"),
        ("L.Conv2DTranspose(2, 2, strides=0)", "ValueError", "strides"),
        ("fastconv.plan_conv2d(x.shape, w, stride=0)", "ValueError", "stride"),
        ("F.conv_transpose1d(s, np.ones((3, 2, 2), f), stride=(-1,))", "ValueError", "stride"),
    ],
    "empty filter or input (CVE-2021-41209, CVE-2022-35996)": [
        ("F.conv2d(x, np.ones((0, 3, 2, 2), f))", "ValueError", "weight"),
        ("fastconv.plan_conv2d(x.shape, np.ones((2, 3, 0, 2), f))", "ValueError", "weight"),
        ("I.convolve(x[0, 0], np.ones((0, 3)))", "ValueError", "weights"),
        ("L.Conv2D(0, 3)", "ValueError", "filters"),
        ("L.Conv3D(2, (1, 0, 1))", "ValueError", "kernel_size"),
        ("F.conv2d(x, np.ones((2, 3, 0, 2), f))", "ValueError", "weight"),
        ("F.conv3d(np.ones((1, 3, 0, 4, 4), f), k)", "ValueError", "input"),
        ("F.conv_transpose2d(np.ones((1, 3, 0, 2), f), t)", "ValueError", "input"),
        ("F.conv_transpose2d(x, np.ones((3, 0, 2, 2), f))", "ValueError", "weight"),
    ],
    "zero channels, groups that do not divide (CVE-2021-29517, CVE-2023-27579)": [
        ("F.conv2d(np.ones((1, 0, 4, 4), f), np.ones((2, 0, 2, 2), f))", "ValueError", "input"),
        ("F.conv2d(x, w, groups=2)", "ValueError", "groups"),
        ("fastconv.plan_conv2d(x.shape, w, groups=2)", "ValueError", "groups"),
        ("L.Conv2D(4, 2, groups=0)", "ValueError", "groups"),
        ("F.conv_transpose2d(x, t, groups=2)", "ValueError", "groups"),
        ("F.conv2d(x, w, groups=0)", "ValueError", "groups"),
        ("F.conv3d(v, k, groups=-3)", "ValueError", "groups"),
    ],
    "backward with mismatched shapes (CVE-2021-29520, -29577, -29540)": [
        ("G.conv2d_input(x.shape, w, np.ones((1, 2, 9, 9), f))", "ValueError", "grad_output"),
        ("G.conv3d_weight(v, k.shape, np.ones((1, 2, 1, 1, 1), f))", "ValueError", "grad_output"),
        ("G.conv_transpose2d_weight(x, t.shape, x)", "ValueError", "grad_output"),
        ("G.avg_pool3d(v.shape, v, 2)", "ValueError", "grad_output"),
        ("G.unfold(x.shape, np.ones((1, 12, 8), f), 2)", "ValueError", "grad_output"),
        ("G.pad(x.shape, x, (1, 1))", "ValueError", "grad_output"),
        ("G.interpolate(x.shape, x, 9)", "ValueError", "grad_output"),
        ("G.lp_pool2d(x, x, 2, 2)", "ValueError", "grad_output"),
    ],
    "unpool or backward with bad indices (CVE-2021-29570, -29579)": [
        ("F.max_unpool2d(x, np.full(x.shape, 2**40), 2)", "ValueError", "indices"),
        ("F.max_unpool1d(s, np.full(s.shape, -1), 2)", "ValueError", "indices"),
        ("F.max_unpool3d(v, np.zeros((1, 3, 2, 2, 2), np.int64), 2)", "ValueError", "indices"),
        ("F.max_unpool2d(x, np.zeros(x.shape, np.int32), 2)", "TypeError", "indices"),
        ("G.max_unpool2d(x, np.full((1, 3, 1, 1), 16))", "ValueError", "indices"),
        ("G.max_pool3d(v, F.avg_pool3d(v, 2), 2, indices=np.full((1, 3, 2, 2, 2), 64))", "ValueError", "indices"),
    ],
    "pool backward on empty tensors (CVE-2021-29573)": [
        ("G.max_pool2d(np.ones((1, 3, 0, 0), f), np.ones((1, 3, 0, 0), f), 2)", "ValueError", "input"),
        ("G.avg_pool2d((1, 0, 4, 4), np.ones((1, 0, 2, 2), f), 2)", "ValueError", "input_size"),
        ("G.max_pool2d(np.ones((0, 3, 4, 4), f), np.ones((0, 3, 2, 2), f), 2).shape", None, "(0, 3, 4, 4)"),
    ],
    "negative dilation (pytorch 136716)": [
        ("F.conv1d(s, np.ones((2, 3, 2), f), dilation=-1)", "ValueError", "dilation"),
        ("fastconv.plan_conv2d(x.shape, w, dilation=-1)", "ValueError", "dilation"),
        ("L.Conv2D(4, 2, dilation_rate=-2)", "ValueError", "dilation_rate"),
        ("F.max_pool1d(s, 2, dilation=-1)", "ValueError", "dilation"),
        ("F.unfold(x, 2, dilation=-2)", "ValueError", "dilation"),
    ],
    "kernel, dilation, stride or padding near 2**63 (pytorch 142454, 136719, 188959)": [
        ("F.conv3d(v, k, dilation=2**62)", "ValueError", "input"),
        ("F.conv_transpose2d(x, t, stride=2**62)", "ValueError", "input"),
        ("F.conv_transpose2d(x, t, dilation=2**62)", "ValueError", "input"),
        ("F.conv2d(x, w, padding=2**63 - 1)", "ValueError", "input"),
        ("F.conv2d(x, w, stride=2**64)", "ValueError", "stride"),
        ("F.max_pool3d(v, 2**62)", "ValueError", "input"),
        ("F.max_pool2d(x, 1, stride=3, dilation=2**62 - 1).shape", None, "(1, 3, 2, 2)"),
        ("F.max_pool2d(x, 1, dilation=2**63 - 1, return_indices=True)[1].sum()", None, "360"),
        ("G.max_pool3d(v, v, 1, 1, dilation=2**63 - 1).sum()", None, "192.0"),
        ("F.conv2d(x, np.ones((1, 3, 1, 1), f), dilation=2**63 - 1).sum()", None, "48.0"),
        ("F.max_pool1d(s, 2**61, padding=2**60).tolist()", None, "[[[1.0], [1.0], [1.0]]]"),
        ("F.unfold(x, 2, padding=2**61)", "MemoryError", "out"),
        ("F.pad(x, (2**61, 0))", "MemoryError", "pad"),
        ("F.interpolate(x, (2**40, 2**40))", "MemoryError", "size"),
        ("F.interpolate(x, scale_factor=1e300)", "ValueError", "scale_factor"),
        ("F.fold(np.ones((1, 12, 9), f), (2**40, 2**40), 2)", "ValueError", "input"),
    ],
    "adaptive pooling to a huge output (pytorch 50960)": [
        ("F.adaptive_avg_pool2d(x, 2**62)", "ValueError", "output_size"),
        ("F.adaptive_max_pool3d(v, 2**14)", "MemoryError", "out"),
        ("F.adaptive_max_pool3d(v, 2**20)", "ValueError", "output_size"),
        ("F.adaptive_avg_pool1d(s, -5)", "ValueError", "output_size"),
    ],
    "kernel larger than the input (pytorch 4986)": [
        ("F.conv2d(x, np.ones((2, 3, 5, 5), f))", "ValueError", "input"),
        ("I.correlate(x[0, 0], np.ones((9, 9))).shape", None, "(4, 4)"),
        ("I.maximum_filter(x[0, 0], 99).shape", None, "(4, 4)"),
        ("fastconv.plan_conv2d(x.shape, np.ones((2, 3, 5, 5), f))", "ValueError", "input_shape"),
        ("F.avg_pool3d(v, 9)", "ValueError", "input"),
    ],
    "im2col over 2**31 elements (pytorch 9404)": [
        ("F.unfold(np.broadcast_to(np.float32(0), (1, 3, 2**26, 2**26)), 3)", "MemoryError", "out"),
        ("F.conv2d(np.broadcast_to(np.float32(0), (1, 3, 2**28, 2**28)), w, algorithm='im2col')", "MemoryError", ""),
    ],
    "tuples of the wrong length, weight rank over input rank (pytorch 50967, onnxruntime 28731)": [
        ("F.conv2d(x, w, stride=(1,))", "ValueError", "stride"),
        ("fastconv.plan_conv2d((3, 4), w)", "ValueError", "input_shape"),
        ("fastconv.plan_conv2d(x.shape, w)(s)", "ValueError", "x"),
        ("L.Conv2D(4, (2, 2, 2))", "ValueError", "kernel_size"),
        ("I.correlate(x[0, 0], np.ones(3))", "ValueError", "weights"),
        ("I.uniform_filter(x[0, 0], (3, 3, 3))", "ValueError", "size"),
        ("F.conv3d(v, k, dilation=(1, 1))", "ValueError", "dilation"),
        ("F.conv1d(s, w)", "ValueError", "weight"),
        ("F.max_pool1d(s, (2, 2))", "ValueError", "kernel_size"),
        ("F.conv2d(x, w, padding=((1, 1),))", "ValueError", "padding"),
        ("F.interpolate(x, (3,))", "ValueError", "size"),
    ],
    "negative padding (onnxruntime 32076)": [
        ("F.conv2d(x, w, padding=-1)", "ValueError", "padding"),
        ("fastconv.plan_conv2d(x.shape, w, padding=-1)", "ValueError", "padding"),
        ("L.ZeroPadding2D(-1)", "ValueError", "padding"),
        ("L.Cropping2D(-1)", "ValueError", "cropping"),
        ("F.conv_transpose3d(v, np.ones((3, 1, 2, 2, 2), f), padding=(0, -1, 0))", "ValueError", "padding"),
        ("F.max_pool3d(v, 2, padding=-1)", "ValueError", "padding"),
        ("F.unfold(x, 2, padding=((0, 0), (-1, 0)))", "ValueError", "padding"),
    ],
    "dilation with output_padding (pytorch 5112)": [
        ("F.conv_transpose2d(x, t, dilation=3, output_padding=2).shape", None, "(1, 2, 9, 9)"),
        ("F.conv_transpose2d(x, t, dilation=3, output_padding=3)", "ValueError", "output_padding"),
    ],
    "windows of NaN or minus infinity alone (pytorch 1465, 40131), tail lanes (tensorflow 125965)": [
        ("np.isnan(F.max_pool1d(np.full((1, 1, 37), np.nan, f), 2)).all()", None, "True"),
        ("F.max_pool3d(np.full((1, 2, 2, 2), -np.inf, f), 2, return_indices=True)[1].tolist()", None, "[[[[0]]]]"),
        ("[int(np.isnan(F.max_pool1d(np.where(np.arange(41) == i, np.nan, 1).astype(f)[None], 1)).argmax()) == i"
         " for i in range(41)].count(True)", None, "41"),
    ],
    "arrays of other kinds": [
        ("F.conv1d(s.astype('>f4'), np.ones((1, 3, 1), f)).dtype.str", None, "<f4"),
        ("F.relu(np.frombuffer(b'\\0' * 17, np.uint8)[1:].view(f)).sum()", None, "0.0"),
        ("F.relu(type('Mine', (np.ndarray,), {}).__new__(np.ndarray, (3,), f) * 0).shape", None, "(3,)"),
        ("F.max_pool2d(np.ones((0, 3, 4, 4), f), 2).shape", None, "(0, 3, 2, 2)"),
        ("I.gaussian_filter(x[0, 0] + 1j, 1)", "TypeError", "input"),
        ("fastconv.plan_conv2d(x.shape, w)(x.astype(np.float16))", "TypeError", "x"),
        ("F.pad(x[..., ::-1], (1, 0)).shape", None, "(1, 3, 4, 5)"),
        ("F.avg_pool3d(np.broadcast_to(f(1), (1, 2, 4, 4, 4)), 2).sum()", None, "16.0"),
        ("F.unfold(x.astype(np.float16), 2)", "TypeError", "input"),
        ("F.conv_transpose2d(x.astype(complex), t)", "TypeError", "input"),
        ("F.interpolate(x.astype(object), 2)", "TypeError", "input"),
        ("F.pad(x.astype(int), (1, 1))", "TypeError", "input"),
        ("F.conv3d(f(1), k)", "TypeError", "input"),
        ("F.max_pool1d(np.ones((), f), 2)", "ValueError", "input"),
        ("F.fold([[1.0]], 1, 1)", "TypeError", "input"),
        ("F.conv_transpose2d(x, t, out=np.broadcast_to(f(0), (1, 2, 5, 5)))", "ValueError", "out"),
        ("F.pad(x, (0, 0), out=x)", "ValueError", "out"),
        ("F.unfold(x, 1, out=x.reshape(1, 3, 16))", "ValueError", "out"),
    ],
}  # fmt: skip

PROGRAM = """
import json, sys
import numpy as np
import fastconv
from fastconv import functional as F, grad as G, image as I, layers as L
f = np.float32
s, x, v = np.ones((1, 3, 4), f), np.ones((1, 3, 4, 4), f), np.ones((1, 3, 4, 4, 4), f)
w, t, k = np.ones((2, 3, 2, 2), f), np.ones((3, 2, 2, 2), f), np.ones((2, 3, 2, 2, 2), f)
for line in sys.stdin:
    try:
        said = ["", str(eval(line))]
    except Exception as error:
        said = [type(error).__name__, str(error)]
    print(json.dumps(said), flush=True)
"""


@pytest.mark.parametrize("row", ROWS)
def test_input_that_crashed_others(row: str) -> None:
    calls = ROWS[row]
    lines = "".join(call.replace("\n", " ") + "\n" for call, _, _ in calls)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=lines, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"ended with {done.returncode} after {done.stdout!r}: {done.stderr}"
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(calls)
    for (call, error, wanted), (kind, text) in zip(calls, said, strict=True):
        assert kind == (error or ""), f"{call}: {kind} {text}"
        if error is None:
            assert text == wanted, f"{call}: {text}"
        elif error == "MemoryError":
            assert "memory" in text or "allocate" in text, f"{call}: {text}"
            assert text.startswith(wanted), f"{call}: {text}"
        else:
            assert text.startswith(f"{wanted}: expected "), f"{call}: {text}"
            assert ", got " in text, f"{call}: {text}"
