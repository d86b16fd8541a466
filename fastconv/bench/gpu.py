"""fastconv's kernels and PyTorch's cuDNN on one GPU: right first, then timed by its own clock, with a cold cache.

    python -m fastconv.bench.gpu [--tiny] [--json FILE] [--table FILE]

Without a GPU, ``NUMBA_ENABLE_CUDASIM=1`` and ``--tiny`` run all of it in Numba's simulator, whose times mean nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

import fastconv
from fastconv import functional
from fastconv.bench import exact
from fastconv.bench.contender import Array, Call, from_layout, installed, to_layout, weight_to_layout
from fastconv.bench.layers import LAYERS, POOLS, Layer, Pool

BATCH = 32
TRAINED_BATCH = 128
# Of fastconv, by implementation; what PyTorch makes is only timed.
BOUNDS = {"fastconv": 1e-5, "fastconv tf32": 1e-3}
PRECISIONS: dict[str, Literal["high", "medium"]] = {"fastconv": "high", "fastconv tf32": "medium"}
LAYOUTS = ("NCHW", "NHWC")
SECONDS = 0.3  # of one contender's timing
MOST, LEAST = 200, 5  # rounds
FLUSHED = 256 * 2**20  # bytes that are written between two rounds: several times the largest L2
TINY = [
    Layer("tiny_3x3", 1, 2, 4, 4, 3, (3, 3), 1, (1, 1)),
    Layer("tiny_depthwise", 1, 2, 4, 4, 2, (3, 3), 2, (1, 1), 1, 2),
]
TINY_POOLS = [
    Pool("tiny_maximum", "maximum", 1, 2, 4, 4, 2, 2),
    Pool("tiny_global", "global average", 1, 2, 3, 3, 3, 1),
]


class Row(NamedTuple):
    """One time."""

    what: str  # "conv", "pool", "LeNet-5 predict", "LeNet-5 train"
    case: str
    implementation: str
    layout: str
    microseconds: float
    error: float | None  # relative to float64, where it was looked at


class Clock:
    """Times calls on the GPU's default stream: an event before, one after, other memory written between rounds."""

    def __init__(self) -> None:
        from fastconv.cuda._numba import SIMULATED, cuda

        self.simulated, self._cuda = SIMULATED, cuda
        self._flush = None if SIMULATED else cuda.device_array(FLUSHED, np.uint8)

    @property
    def device(self) -> str:
        """The name of what runs the kernels."""
        return "Numba's simulator" if self.simulated else str(self._cuda.get_current_device().name.decode())

    def microseconds(self, run: Callable[[], Any]) -> float:
        """Return the median over rounds of SECONDS altogether."""
        if self.simulated:
            return self._round(run)
        run()
        times: list[float] = []
        end = time.perf_counter() + SECONDS
        while len(times) < LEAST or (len(times) < MOST and time.perf_counter() < end):
            times.append(self._round(run))
        return statistics.median(times)

    def _round(self, run: Callable[[], Any]) -> float:
        if self.simulated:
            start = time.perf_counter()
            run()
            return (time.perf_counter() - start) * 1e6
        from numba.cuda.cudadrv.driver import device_memset

        device_memset(self._flush, 0, FLUSHED)
        before, after = self._cuda.event(), self._cuda.event()
        before.record()
        run()
        after.record()
        after.synchronize()
        return float(self._cuda.event_elapsed_time(before, after)) * 1e3

    def wall(self, run: Callable[[], Any], together: int) -> float:
        """Return the microseconds of a call by the host's clock, that many in a row: what a training step takes."""
        if self.simulated:
            return self._round(run)
        times = []
        run()
        for _ in range(LEAST):
            self._cuda.synchronize()
            start = time.perf_counter()
            for _ in range(together):
                run()
            self._cuda.synchronize()
            times.append((time.perf_counter() - start) / together * 1e6)
        return statistics.median(times)


def error_of(sample: exact.Sample, got: Array) -> float:
    """Return the distance to float64 where the sample says, relative to its norm; not a number for a wrong shape."""
    if got.shape != sample.shape:
        return float("nan")
    return float(np.linalg.norm(got[sample.where] - sample.values) / np.linalg.norm(sample.values))


# ---- operators ----------------------------------------------------------------------------------------------------


def arrays_of(case: Layer | Pool) -> list[Array]:
    """Return a layer's images, weights and bias, or a pool's images, channels first."""
    rng = exact.generator(case.name)
    shapes = (case.input, case.weight, (case.k,)) if isinstance(case, Layer) else (case.input,)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def work(case: Layer | Pool) -> dict[str, float]:
    """Return what a call does, in thousands of millions of operations or bytes."""
    if isinstance(case, Layer):
        return {"GFLOP/s": case.flops / 1e9}
    return {"GB/s": 4 * float(np.prod(case.input) + np.prod(case.output)) / 1e9}


def device_call(function: Any, given: list[Array], layout: str, wait: bool) -> Call:
    """Return a call of a function on arrays in the GPU's memory, and into one there."""
    from fastconv.cuda._numba import cuda

    run = partial(function, *map(cuda.to_device, given), layout=layout)
    again = partial(run, out=run())

    def waited() -> Any:
        made = again()
        cuda.synchronize()
        return made

    return Call(waited if wait else again, lambda made: from_layout(made.copy_to_host(), layout))


def conv_call(layer: Layer, layout: str, wait: bool = True) -> Call:
    """Return a convolution with bias in a layout; `wait` for the GPU in each call."""
    x, w, b = arrays_of(layer)
    function = partial(functional.conv2d, **layer.arguments)  # type: ignore[arg-type]
    return device_call(function, [to_layout(x, layout), weight_to_layout(w, layout), b], layout, wait)


def pool_call(pool: Pool, layout: str, wait: bool = True) -> Call:
    """Return a pool in a layout; `wait` for the GPU in each call."""
    (x,) = arrays_of(pool)
    return device_call(pool_function(functional, pool), [to_layout(x, layout)], layout, wait)


def conv_rows(layer: Layer, clock: Clock) -> Iterator[Row]:
    """Time a convolution with bias in both layouts, by float32's rules and by TF32's, after a look at the result."""
    x, w, b = arrays_of(layer)
    right = exact.conv(layer, x, w, b)
    try:
        for (implementation, precision), layout in product(PRECISIONS.items(), LAYOUTS):
            fastconv.set_precision(precision)
            call = conv_call(layer, layout, wait=False)
            error = error_of(right, call.read(call.run()))
            yield Row("conv", layer.name, implementation, layout, clock.microseconds(call.run), error)
    finally:
        fastconv.set_precision("high")
    yield from torch_rows("conv", layer.name, clock, lambda torch: torch_conv(torch, layer, x, w, b), right)


def torch_conv(torch: Any, layer: Layer, x: Array, w: Array, b: Array) -> Callable[[str], Callable[[], Any]]:
    """Return what makes PyTorch's call in a layout."""

    def make(layout: str) -> Callable[[], Any]:
        form = torch.channels_last if layout == "NHWC" else torch.contiguous_format
        given = [torch.from_numpy(each).cuda() for each in (x, w, b)]
        given[:2] = [each.to(memory_format=form) for each in given[:2]]
        return lambda: torch.nn.functional.conv2d(*given, **layer.arguments)

    return make


def pool_function(module: Any, pool: Pool) -> Callable[..., Any]:
    """Return the function of an input: fastconv.functional's and PyTorch's are the same."""
    if pool.kind == "global average":
        return partial(module.adaptive_avg_pool2d, output_size=1)
    function = module.max_pool2d if pool.kind == "maximum" else module.avg_pool2d
    return partial(function, kernel_size=pool.kernel, stride=pool.stride, padding=pool.padding)


def pool_rows(pool: Pool, clock: Clock) -> Iterator[Row]:
    """Time a pool in both layouts, after a look at the result."""
    (x,) = arrays_of(pool)
    right = exact.pool(pool, x)
    for layout in LAYOUTS:
        call = pool_call(pool, layout, wait=False)
        error = error_of(right, call.read(call.run()))
        yield Row("pool", pool.name, "fastconv", layout, clock.microseconds(call.run), error)

    def make(torch: Any) -> Callable[[str], Callable[[], Any]]:
        def of(layout: str) -> Callable[[], Any]:
            form = torch.channels_last if layout == "NHWC" else torch.contiguous_format
            given, call = torch.from_numpy(x).cuda().to(memory_format=form), pool_function(torch.nn.functional, pool)
            return lambda: call(given)

        return of

    yield from torch_rows("pool", pool.name, clock, make, right)


def torch_rows(
    what: str, case: str, clock: Clock, make: Callable[[Any], Callable[[str], Callable[[], Any]]], right: exact.Sample
) -> Iterator[Row]:
    """Time PyTorch with cuDNN, its fastest algorithm chosen by trial, by float32's rules and by TF32's."""
    torch = torch_there(clock)
    if torch is None:
        return
    of = make(torch)
    for precision in ("ieee", "tf32") if what == "conv" else ("ieee",):
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        for layout in LAYOUTS:
            with torch.inference_mode():
                run = of(layout)
                error = error_of(right, run().cpu().numpy())
                yield Row(what, case, f"torch {precision}", layout, clock.microseconds(run), error)


def torch_there(clock: Clock) -> Any:
    """Return PyTorch where it is installed and has a GPU."""
    if clock.simulated or not installed("torch"):
        return None
    import torch

    return torch if torch.cuda.is_available() else None


# ---- LeNet-5 ------------------------------------------------------------------------------------------------------


def network(tiny: bool, dtype: str) -> Any:
    """Return LeNet-5 with seeded weights, or a network of its layers that a simulator can bear."""
    from fastconv import Sequential, layers, utils

    utils.set_random_seed(1)
    told: dict[str, Any] = {"activation": "tanh", "dtype": dtype}
    if tiny:
        middle = [layers.Conv2D(2, 3, **told), layers.AveragePooling2D(2, dtype=dtype)]
    else:
        middle = [layers.Conv2D(6, 5, **told), layers.AveragePooling2D(2, dtype=dtype), layers.Conv2D(16, 5, **told)]
        middle += [layers.AveragePooling2D(2, dtype=dtype), layers.Conv2D(120, 5, **told)]
    last = [layers.Flatten(dtype=dtype), *([] if tiny else [layers.Dense(84, **told)])]
    size = 4 if tiny else 32
    last.append(layers.Dense(10, activation="softmax", dtype=dtype))
    return Sequential([layers.Input((size, size, 1), dtype=dtype), *middle, *last])


def lenet_rows(clock: Clock, tiny: bool) -> Iterator[Row]:
    """Time one prediction and one training step; what is right is the processor's in float64."""
    from fastconv import optimizers
    from fastconv.cuda._numba import cuda
    from fastconv.models.device.chain import DeviceChain

    model, exact_model = network(tiny, "float32"), network(tiny, "float64")
    exact_model.set_weights(model.get_weights())
    size, batch = (4, 2) if tiny else (32, TRAINED_BATCH)
    images = exact.generator("LeNet-5 images").standard_normal((batch, size, size, 1), np.float32)
    labels = exact.generator("LeNet-5 labels").integers(0, 10, batch)
    for each in (model, exact_model):
        each.compile(optimizers.SGD(0.0), "sparse_categorical_crossentropy")
        each.evaluate(images[:1], labels[:1], verbose=0)  # binds loss and metrics to shapes
    x = images[:1]
    chain = DeviceChain(model, model.chain(x.shape).layers)
    error = distance(chain.forward(x), exact_model.predict(x, verbose=0))
    device = cuda.to_device(x)
    yield Row("LeNet-5 predict", "1 image", "fastconv", "NHWC", clock.microseconds(lambda: chain.run(device)), error)
    yield from torch_lenet_predict(clock, x)

    training = chain.training(model.objective, model.last_layer, model.optimizer)
    training.run(images, labels, labels, None)
    found = [twin.gradient.copy_to_host() for twin in chain.trainable_variables]
    exact_model.train_on_batch(images, labels)
    expected = [variable.gradient for variable in exact_model.trainable_variables]
    error = max(map(distance, found, expected))
    took = clock.wall(lambda: training.run(images, labels, labels, None), 20)
    yield Row("LeNet-5 train", f"{batch} images", "fastconv", "NHWC", took, error)
    yield from torch_lenet_train(clock, images, labels)


def distance(got: Array, wanted: Array) -> float:
    """Return the distance relative to the norm of what is wanted."""
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def torch_lenet(torch: Any) -> Any:
    """Return the network of 1998 for PyTorch, channels first."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2),
        nn.Conv2d(16, 120, 5), nn.Tanh(), nn.Flatten(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
    ).cuda()  # fmt: skip


def torch_lenet_predict(clock: Clock, x: Array) -> Iterator[Row]:
    """Time PyTorch's prediction, eagerly and replayed from a captured graph."""
    torch = torch_there(clock)
    if torch is None:
        return
    net, given = torch_lenet(torch), torch.from_numpy(to_layout(x, "NCHW").reshape(1, 1, 32, 32)).cuda()
    with torch.inference_mode():
        for _ in range(3):
            net(given).softmax(1)
        took = clock.microseconds(lambda: net(given).softmax(1))
        yield Row("LeNet-5 predict", "1 image", "torch eager", "NCHW", took, None)
        graph, side = torch.cuda.CUDAGraph(), torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            net(given).softmax(1)
        torch.cuda.current_stream().wait_stream(side)
        with torch.cuda.graph(graph):
            net(given).softmax(1)
        yield Row("LeNet-5 predict", "1 image", "torch graph", "NCHW", clock.microseconds(graph.replay), None)


def torch_lenet_train(clock: Clock, images: Array, labels: Array) -> Iterator[Row]:
    """Time PyTorch's eager training step, the images coming from the host as fastconv's do."""
    torch = torch_there(clock)
    if torch is None:
        return
    net, loss = torch_lenet(torch), torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), 0.0)
    x, y = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))), torch.from_numpy(labels)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        value = loss(net(x.cuda()), y.cuda())
        value.backward()
        optimizer.step()
        value.item()

    yield Row("LeNet-5 train", f"{len(images)} images", "torch eager", "NCHW", clock.wall(step, 20), None)


# ---- all of it ----------------------------------------------------------------------------------------------------


def cases(tiny: bool) -> tuple[list[Layer], list[Pool]]:
    """Return the layers and pools of the CPU's benchmarks at batch 32, or those that a simulator can bear."""
    if tiny:
        return TINY, TINY_POOLS
    layers = [layer._replace(n=BATCH) for layer in LAYERS if layer.n == 1 and layer.c > 1 and not layer.separable]
    return layers, [pool._replace(n=BATCH) for pool in POOLS if pool.n == 1]


def measured(tiny: bool, clock: Clock) -> Iterator[Row]:
    """Time everything."""
    layers, pools = cases(tiny)
    for layer in layers:
        yield from conv_rows(layer, clock)
    for pool in pools:
        yield from pool_rows(pool, clock)
    yield from lenet_rows(clock, tiny)


def wrong(rows: list[Row]) -> list[Row]:
    """Return fastconv's rows that are not within the bound."""
    return [
        row for row in rows if row.implementation in BOUNDS and not (row.error or 0.0) <= BOUNDS[row.implementation]
    ]


def ratios(rows: list[Row], what: str, peer: str, own: str = "fastconv") -> list[float]:
    """Return for each case how many times faster fastconv is than a peer, each in its better layout."""
    best: dict[tuple[str, str], float] = {}
    for row in rows:
        if row.what == what:
            key = (row.case, row.implementation)
            best[key] = min(best.get(key, row.microseconds), row.microseconds)
    return [best[case, peer] / took for (case, name), took in best.items() if name == own and (case, peer) in best]


def table(rows: list[Row], device: str) -> str:
    """Return the rows as Markdown, with geometric means where there are peers."""
    lines = [f"## On a GPU: {device}", ""]
    if device == "Numba's simulator":
        lines += ["These are the times of a simulator, and say nothing about a GPU.", ""]
    lines += ["| what | case | implementation | layout | µs | error |", "|---|---|---|---|--:|--:|"]
    for row in rows:
        error = "" if row.error is None else f"{row.error:.1e}"
        lines.append(
            f"| {row.what} | {row.case} | {row.implementation} | {row.layout} | {row.microseconds:.1f} | {error} |"
        )
    for what in dict.fromkeys(row.what for row in rows):
        for peer in dict.fromkeys(row.implementation for row in rows if row.implementation not in BOUNDS):
            for own in BOUNDS:
                found = ratios(rows, what, peer, own)
                if found:
                    mean = statistics.geometric_mean(found)
                    lines += ["", f"{what}: {own} {mean:.2f} times as fast as {peer} (geometric mean)."]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run all of it; return 1 if a result is wrong."""
    parser = argparse.ArgumentParser(prog="python -m fastconv.bench.gpu", description="Compare fastconv on a GPU.")
    parser.add_argument("--tiny", action="store_true", help="sizes that a simulator can bear")
    parser.add_argument("--json", type=Path, help="where the rows go")
    parser.add_argument("--table", type=Path, help="where the table goes; standard output else")
    told = parser.parse_args(arguments)
    from fastconv import cuda

    if not cuda.is_available():
        print("expected an NVIDIA GPU and the extra fastconv[cuda], or NUMBA_ENABLE_CUDASIM=1", file=sys.stderr)
        return 2
    clock = Clock()
    rows = list(measured(told.tiny or clock.simulated, clock))
    text = table(rows, clock.device)
    if told.json:
        told.json.write_text(json.dumps({"device": clock.device, "rows": [row._asdict() for row in rows]}, indent=1))
    if told.table:
        told.table.write_text(text)
    else:
        print(text)
    for row in wrong(rows):
        print(f"wrong: {row}", file=sys.stderr)
    return int(bool(wrong(rows)))


if __name__ == "__main__":
    sys.exit(main())
