"""Soak: random operators from several threads for minutes, with the same bits each time and no growth of memory.

    python benchmarks/soak.py --minutes 10

Ends with status 1 when a result differs, when memory grows by more than 5 MB after a tenth of the time, or when fewer
calls than a hundred thousand a minute were made.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import fastconv
from fastconv import functional, grad, image, layers, models

CALLS_A_MINUTE, GROWTH_MB = 100_000, 5.0
Job = Callable[[], Any]


def jobs() -> list[Job]:
    """Return calls of every kind of operator; most take some tens of microseconds, the last few milliseconds."""
    rng = np.random.default_rng(0)

    def normal(*shape: int, dtype: str = "float32") -> Any:
        return rng.normal(size=shape).astype(dtype)

    made: list[Job] = []
    for dtype in ("float32", "float64"):
        line, picture, volume = normal(2, 6, 24, dtype=dtype), normal(2, 6, 12, 11, dtype=dtype), normal(1, 4, 6, 5, 7)
        last = np.ascontiguousarray(picture.transpose(0, 2, 3, 1))
        for groups in (1, 2, 6):
            weight = normal(12, 6 // groups, 3, 3, dtype=dtype)
            turned = np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
            made += [
                lambda x=picture, w=weight, g=groups: functional.conv2d(x, w, padding=1, groups=g),
                lambda x=last, w=turned, g=groups: functional.conv2d(
                    x, w, stride=2, groups=g, layout="NHWC", activation="relu"
                ),
                lambda x=picture, w=weight, g=groups: grad.conv2d_input(
                    x.shape, w, functional.conv2d(x, w, groups=g), groups=g
                ),
                lambda x=picture, w=weight, g=groups: grad.conv2d_weight(
                    x, w.shape, functional.conv2d(x, w, groups=g), groups=g
                ),
            ]
        deep, short, wide = normal(8, 4, 2, 3, 2), normal(5, 6, 3, dtype=dtype), normal(6, 3, 4, 4, dtype=dtype)
        dense = normal(7, 24, dtype=dtype)
        made += [
            lambda x=line, w=short: functional.conv1d(x, w, padding="same"),
            lambda x=volume, w=deep: functional.conv3d(x, w, dilation=2, padding=1),
            lambda x=picture, w=wide: functional.conv_transpose2d(x, w, stride=2, padding=1),
            lambda x=picture: functional.max_pool2d(x, 3, stride=2, padding=1, return_indices=True),
            lambda x=last: functional.avg_pool2d(x, 2, layout="NHWC"),
            lambda x=picture: functional.adaptive_avg_pool2d(x, (3, 2)),
            lambda x=picture: functional.lp_pool2d(x, 2, 2),
            lambda x=picture: functional.unfold(x, 3, padding=1),
            lambda x=picture: functional.interpolate(x, scale_factor=2.0, mode="bilinear"),
            lambda x=picture: functional.pad(x, (1, 2, 3, 1), mode="reflect"),
            lambda x=picture: functional.batch_norm(x, None, None, training=True),
            lambda x=picture: functional.group_norm(x, 3),
            lambda x=picture: functional.layer_norm(x, (12, 11)),
            lambda x=picture: functional.local_response_norm(x, 3),
            lambda x=picture: functional.softmax(x, 1),
            lambda x=picture: functional.gelu(x),
            lambda x=picture: functional.tanh(x[:, ::2, ::-1]),
            lambda x=line, w=dense: functional.linear(x, w),
            lambda x=picture: image.gaussian_filter(x[0, 0], 1.0),
            lambda x=picture: image.maximum_filter(x[0, 0], 3),
        ]
    network = models.LeNet5()
    pictures, large = normal(3, 32, 32, 1), normal(2, 32, 64, 64)
    plan = fastconv.plan_conv2d((1, 6, 12, 11), normal(8, 6, 3, 3), padding=1)
    layer = layers.BatchNormalization()
    made += [
        lambda: network.predict_on_batch(pictures),
        lambda: plan(picture.astype(np.float32)),
        lambda: layer(pictures),
        refused,
        lambda: functional.conv2d(large, normal_weights(32, 32, 3), padding=1),
        lambda: grad.conv2d_weight(large, (32, 32, 3, 3), large, padding=1),
        lambda: functional.max_pool2d(large, 3, stride=1, padding=1),
    ]
    return made


def normal_weights(oc: int, ic: int, k: int) -> Any:
    """Return the same random weights each time."""
    return np.random.default_rng(1).normal(size=(oc, ic, k, k)).astype(np.float32)


def refused() -> Any:
    """Return the error of a call that cannot be served, as an array of its characters."""
    try:
        functional.conv2d(np.ones((1, 3, 4, 4), np.float32), np.ones((2, 3, 2, 2), np.float32), stride=0)
    except ValueError as error:
        return np.array(list(str(error)))
    raise AssertionError("a stride of 0 was accepted")


def bits(result: Any) -> bytes:
    """Return a digest of a result's bytes, for which nothing large is copied."""
    digest = hashlib.blake2b(digest_size=16)
    for array in result if isinstance(result, tuple) else (result,):
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


def resident_mb() -> float:
    """Return the resident memory of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell a process its resident memory")


def work(
    table: list[Job], expected: list[bytes], end: float, seed: int, counts: list[int], wrong: list[str], together: Any
) -> None:
    """Call random jobs until the end, large ones now and then; count the calls.

    First every job at once with the other threads: what results and workspaces take is kept for reuse, and by chance
    alone all threads would come to the largest ones together only after minutes.
    """
    for job in table:
        for _ in range(5):
            together.wait()
            kept = job()
            together.wait()
            del kept
    chance = random.Random(seed)
    while time.monotonic() < end and not wrong:
        index = chance.randrange(len(table) - 3) if chance.random() < 0.996 else len(table) - 1 - chance.randrange(3)
        try:
            if bits(table[index]()) != expected[index]:
                wrong.append(f"job {index} gave other bits")
        except Exception as error:
            wrong.append(f"job {index}: {error!r}")
        counts[seed] += 1


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--threads", type=int, default=4)
    options = parser.parse_args()
    table = jobs()
    expected = [bits(job()) for job in table]
    begin = time.monotonic()
    end, counts, wrong = begin + 60 * options.minutes, [0] * options.threads, list[str]()
    together = threading.Barrier(options.threads)
    workers = [
        threading.Thread(target=work, args=(table, expected, end, i, counts, wrong, together))
        for i in range(options.threads)
    ]
    for worker in workers:
        worker.start()
    marks = []
    for tenth in range(1, 11):
        time.sleep(max(begin + 6 * options.minutes * tenth - time.monotonic(), 0))
        marks.append(resident_mb())
        print(f"{6 * options.minutes * tenth:6.0f} s  {sum(counts):9d} calls  {marks[-1]:7.1f} MB", flush=True)
    for worker in workers:
        worker.join()
    growth = max(marks) - marks[0]
    print(f"{sum(counts)} calls of {len(table)} jobs from {options.threads} threads, memory +{growth:.1f} MB", *wrong)
    return int(bool(wrong) or growth > GROWTH_MB or sum(counts) < CALLS_A_MINUTE * options.minutes)


if __name__ == "__main__":
    sys.exit(main())
