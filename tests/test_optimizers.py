"""Optimizers against their formulas in float64, schedules, clipping, decay, and mistakes."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

import fastconv
from fastconv import optimizers
from fastconv._core import Update
from fastconv.layers.variable import Variable
from fastconv.optimizers import schedules

RNG = np.random.default_rng(8)
START = RNG.standard_normal((5, 3))
GRADIENTS = [RNG.standard_normal((5, 3)) for _ in range(4)]


def steps(optimizer: optimizers.Optimizer, gradients: list[np.ndarray] | None = None) -> np.ndarray:
    weights = Variable(START.copy())
    for gradient in GRADIENTS if gradients is None else gradients:
        kept = gradient.copy()
        optimizer.apply([kept], [weights])
        np.testing.assert_array_equal(kept, gradient)
    return weights.value


def sgd(w: Any, g: Any, state: dict[str, Any], t: int) -> Any:
    return w - 0.1 * g


def momentum(w: Any, g: Any, state: dict[str, Any], t: int) -> Any:
    state["m"] = 0.9 * state.get("m", 0) - 0.1 * g
    return w + state["m"]


def nesterov(w: Any, g: Any, state: dict[str, Any], t: int) -> Any:
    state["m"] = 0.9 * state.get("m", 0) - 0.1 * g
    return w + 0.9 * state["m"] - 0.1 * g


def decayed(w: Any, g: Any, state: dict[str, Any], t: int) -> Any:
    return w - w * 0.1 * 0.2 - 0.1 * g


def rmsprop(w: Any, g: Any, state: dict[str, Any], t: int) -> Any:
    state["v"] = 0.9 * state.get("v", 0) + 0.1 * g**2
    return w - 0.1 * g / np.sqrt(state["v"] + 1e-7)


def centered(w: Any, g: Any, state: dict[str, Any], t: int) -> Any:
    state["v"] = 0.8 * state.get("v", 0) + 0.2 * g**2
    state["a"] = 0.8 * state.get("a", 0) + 0.2 * g
    state["m"] = 0.5 * state.get("m", 0) + 0.1 * g / np.sqrt(state["v"] - state["a"] ** 2 + 1e-7)
    return w - state["m"]


def adam(w: Any, g: Any, state: dict[str, Any], t: int) -> Any:
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["v"] = 0.999 * state.get("v", 0) + 0.001 * g**2
    rate = 0.1 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return w - rate * state["m"] / (np.sqrt(state["v"]) + 1e-7)


def amsgrad(w: Any, g: Any, state: dict[str, Any], t: int) -> Any:
    state["m"] = 0.5 * state.get("m", 0) + 0.5 * g
    state["v"] = 0.4 * state.get("v", 0) + 0.6 * g**2
    state["top"] = np.maximum(state.get("top", 0), state["v"])
    rate = 0.1 * np.sqrt(1 - 0.4**t) / (1 - 0.5**t)
    return w - rate * state["m"] / (np.sqrt(state["top"]) + 1e-3)


def adamw(w: Any, g: Any, state: dict[str, Any], t: int) -> Any:
    return adam(w - w * 0.1 * 0.004, g, state, t)


FORMULAS: list[tuple[Any, optimizers.Optimizer]] = [
    (sgd, optimizers.SGD(0.1)),
    (momentum, optimizers.SGD(0.1, momentum=0.9)),
    (nesterov, optimizers.SGD(0.1, momentum=0.9, nesterov=True)),
    (decayed, optimizers.SGD(0.1, weight_decay=0.2)),
    (rmsprop, optimizers.RMSprop(0.1)),
    (centered, optimizers.RMSprop(0.1, rho=0.8, momentum=0.5, centered=True)),
    (adam, optimizers.Adam(0.1)),
    (amsgrad, optimizers.Adam(0.1, 0.5, 0.4, 1e-3, amsgrad=True)),
    (adamw, optimizers.AdamW(0.1)),
]


@pytest.mark.parametrize(("formula", "optimizer"), FORMULAS, ids=[f.__name__ for f, _ in FORMULAS])
def test_formulas(formula: Any, optimizer: optimizers.Optimizer) -> None:
    wanted, state = START, {}
    for t, gradient in enumerate(GRADIENTS, 1):
        wanted = formula(wanted, gradient, state, t)
    np.testing.assert_allclose(steps(optimizer), wanted, rtol=1e-12)
    assert optimizer.iterations == 4


@pytest.mark.parametrize(("formula", "optimizer"), FORMULAS, ids=[f.__name__ for f, _ in FORMULAS])
def test_configuration_makes_the_same_optimizer(formula: Any, optimizer: optimizers.Optimizer) -> None:
    config = json.loads(json.dumps(optimizers.serialize(optimizer)))
    again = optimizers.get(config)
    assert type(again) is type(optimizer)
    assert again.get_config() == optimizer.get_config()
    fresh = type(optimizer).from_config(optimizer.get_config())
    np.testing.assert_array_equal(steps(again), steps(fresh))


def test_steps_write_in_place() -> None:
    weights = Variable(START.astype(np.float32))
    held = weights.value
    for optimizer in (optimizers.SGD(0.1, momentum=0.5), optimizers.RMSprop(), optimizers.Adam(), optimizers.AdamW()):
        before = held.copy()
        optimizer.apply([GRADIENTS[0].astype(np.float32)], [weights])
        assert weights.value is held
        assert held.dtype == np.float32
        assert (held != before).all()
        assert all(array.dtype == np.float32 for array in optimizer.variables)


def test_clipping() -> None:
    rows = [np.array([[3.0, 4.0]]), np.array([0.0, 0.6])]

    def changes(**clip: float) -> list[np.ndarray]:
        variables = [Variable(np.zeros_like(g)) for g in rows]
        optimizers.SGD(1.0, **clip).apply_gradients(zip(rows, variables, strict=True))
        return [-v.value for v in variables]

    norm = changes(clipnorm=1.0)
    np.testing.assert_allclose(norm[0], [[0.6, 0.8]])
    np.testing.assert_allclose(norm[1], [0, 0.6])
    value = changes(clipvalue=0.5)
    np.testing.assert_allclose(value[0], [[0.5, 0.5]])
    np.testing.assert_allclose(value[1], [0, 0.5])
    together = changes(global_clipnorm=1.0)
    total = np.sqrt(25.36)
    np.testing.assert_allclose(together[0], rows[0] / total)
    np.testing.assert_allclose(together[1], rows[1] / total)
    np.testing.assert_allclose(changes(global_clipnorm=100.0)[0], rows[0])
    rows[1][0] = np.inf
    assert np.isnan(changes(global_clipnorm=1.0)[0]).all()


def test_learning_rates() -> None:
    optimizer = optimizers.SGD(0.1)
    optimizer.learning_rate = 0.5
    assert optimizer.learning_rate == 0.5
    assert optimizers.SGD(1).learning_rate == 1.0
    scheduled = optimizers.SGD(schedules.InverseTimeDecay(0.1, 1, 1.0))
    rates = []
    for gradient in GRADIENTS:
        rates.append(scheduled.learning_rate)
        scheduled.apply([gradient], [Variable(START.copy())])
    np.testing.assert_allclose(rates, [0.1, 0.05, 0.1 / 3, 0.025])
    older = optimizers.SGD(0.1, decay=1.0)
    np.testing.assert_allclose([older.learning_rate, steps(older)[0, 0] and older.learning_rate], [0.1, 0.02])
    assert optimizers.get(optimizers.serialize(scheduled)).learning_rate == 0.1
    with pytest.raises(TypeError, match="its learning rate is not settable"):
        scheduled.learning_rate = 0.1
    called = optimizers.SGD(lambda: 0.25)
    assert called.learning_rate == 0.25
    with pytest.raises(TypeError, match="a callable cannot be described in a configuration"):
        called.get_config()


SCHEDULES: list[tuple[schedules.LearningRateSchedule, dict[int, float]]] = [
    (schedules.ExponentialDecay(1.0, 10, 0.25), {0: 1.0, 5: 0.5, 10: 0.25, 20: 0.0625}),
    (schedules.ExponentialDecay(1.0, 10, 0.25, staircase=True), {0: 1.0, 9: 1.0, 10: 0.25, 19: 0.25}),
    (schedules.InverseTimeDecay(1.0, 10, 1.0), {0: 1.0, 10: 0.5, 30: 0.25}),
    (schedules.InverseTimeDecay(1.0, 10, 1.0, staircase=True), {9: 1.0, 10: 0.5}),
    (schedules.PiecewiseConstantDecay([2, 4], [3.0, 2.0, 1.0]), {0: 3.0, 2: 3.0, 3: 2.0, 4: 2.0, 5: 1.0}),
    (schedules.PolynomialDecay(1.0, 10, 0.0, power=2.0), {0: 1.0, 5: 0.25, 10: 0.0, 50: 0.0}),
    (schedules.PolynomialDecay(1.0, 10, 0.0, cycle=True), {5: 0.5, 10: 0.0, 15: 0.25, 20: 0.0}),
    (schedules.CosineDecay(1.0, 10, 0.5), {0: 1.0, 5: 0.75, 10: 0.5, 99: 0.5}),
    (schedules.CosineDecay(0.0, 10, warmup_target=1.0, warmup_steps=4), {0: 0.0, 2: 0.5, 4: 1.0, 9: 0.5, 14: 0.0}),
]


@pytest.mark.parametrize(("schedule", "values"), SCHEDULES, ids=lambda v: getattr(v, "name", None))
def test_schedules(schedule: schedules.LearningRateSchedule, values: dict[int, float]) -> None:
    for one in (schedule, schedules.deserialize(json.loads(json.dumps(schedules.serialize(schedule))))):
        assert {step: one(step) for step in values} == pytest.approx(values)


def test_schedules_can_be_imported_as_in_keras() -> None:
    from fastconv.optimizers.schedules import ExponentialDecay

    assert optimizers.schedules.ExponentialDecay is ExponentialDecay


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_plain_arrays_are_made_ready_once(monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    made: list[Any] = []

    def make(*args: Any) -> Update:
        made.append(args)
        return Update(*args)

    monkeypatch.setattr("fastconv.optimizers.optimizer.Update", make)
    weights = Variable(START.astype(dtype))
    optimizer = optimizers.SGD(0.1)
    for _ in range(3):
        optimizer.apply([weights.gradient], [weights])
    ((values, gradients, _),) = made
    assert values[0] is weights.value
    assert gradients[0] is weights.gradient


def test_decay_leaves_out_what_it_is_told_to() -> None:
    kernel, bias, other = (Variable(np.ones(2), name=name) for name in ("kernel", "bias", "other"))
    optimizer = optimizers.AdamW(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[other], var_names=["bias"])
    optimizer.apply([np.zeros(2)] * 3, [kernel, bias, other])
    np.testing.assert_allclose([kernel.value[0], bias.value[0], other.value[0]], [0.95, 1, 1])
    with pytest.raises(ValueError, match="can only be configured before the optimizer is built"):
        optimizer.exclude_from_weight_decay(var_names=["kernel"])


def test_an_optimizer_of_ones_own() -> None:
    class Sign(optimizers.Optimizer):
        def slot_names(self) -> tuple[str, ...]:
            return ("count",)

        def update_step(self, gradient: np.ndarray, variable: Variable, learning_rate: float) -> None:
            self.slot(variable, "count")[...] += 1
            variable.value -= learning_rate * np.sign(gradient)

    optimizer = Sign(0.5)
    assert not optimizer.built
    np.testing.assert_allclose(steps(optimizer), START - 0.5 * sum(np.sign(g) for g in GRADIENTS))
    assert (optimizer.variables[0] == 4).all()
    with pytest.raises(TypeError, match=r"Optimizer defines no update_step\(gradient, variable, learning_rate\)"):
        steps(optimizers.Optimizer(0.1))


def test_state_can_be_restored() -> None:
    one, two = Variable(START.copy()), Variable(START.copy())
    first, second = optimizers.Adam(0.1), optimizers.Adam(0.1)
    first.apply([GRADIENTS[0]], [one])
    two.assign(one.value)
    second.iterations = first.iterations
    second.restore(two, first.slots_of(one))
    first.apply([GRADIENTS[1]], [one])
    second.apply([GRADIENTS[1]], [two])
    np.testing.assert_array_equal(one.value, two.value)
    with pytest.raises(ValueError, match=r"the state of .* does not fit"):
        second.restore(two, {"momentum": np.zeros(3)})


MISTAKES: list[tuple[Any, str]] = [
    (lambda: optimizers.SGD("fast"), "learning_rate: expected a number that is not negative, a schedule or a callable"),
    (lambda: optimizers.SGD(-1.0), "learning_rate: expected a number that is not negative"),
    (lambda: optimizers.SGD(momentum=1.5), r"`momentum` must be a float between \[0, 1\]"),
    (lambda: optimizers.SGD(wrong=1), r"Argument\(s\) not recognized: \{'wrong': 1\}"),
    (lambda: optimizers.Adam(clipnorm=1.0, clipvalue=1.0), "Only one of `clipnorm`, `clipvalue` and `global_clipnorm`"),
    (lambda: optimizers.AdamW(weight_decay=None), "Argument `weight_decay` must be a float"),
    (lambda: optimizers.get("no"), "optimizer: unknown name 'no'; expected one of Adam, AdamW"),
    (lambda: optimizers.get({"class_name": "SGD"}), "expected a dict with 'class_name' and 'config'"),
    (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), "Argument `decay_steps` must be > 0"),
    (lambda: schedules.PiecewiseConstantDecay([1], [1.0]), "length of boundaries should be 1 less"),
    (lambda: schedules.deserialize("no"), "learning rate schedule: unknown name 'no'"),
]


@pytest.mark.parametrize(("mistake", "text"), MISTAKES, ids=[text[:40] for _, text in MISTAKES])
def test_mistakes(mistake: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        mistake()


def test_no_optimizer_at_all() -> None:
    for given in (3, lambda: 1, [optimizers.SGD()]):
        with pytest.raises(TypeError, match="optimizer: expected a name, a configuration or an"):
            optimizers.get(given)
    with pytest.raises(TypeError, match=r"LearningRateSchedule defines no __call__\(step\)"):
        schedules.LearningRateSchedule()(1)


def large(count: int) -> tuple[list[np.ndarray], list[Variable]]:
    rng = np.random.default_rng(3)
    sizes = [count, 1, 7, 40_000]
    gradients = [rng.standard_normal(size, dtype=np.float32) for size in sizes]
    return gradients, [Variable(rng.standard_normal(size, dtype=np.float32)) for size in sizes]


@pytest.mark.parametrize("optimizer", [o for _, o in FORMULAS], ids=[f.__name__ for f, _ in FORMULAS])
def test_threads_change_no_bit(optimizer: optimizers.Optimizer) -> None:
    before, found = fastconv.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fastconv.set_num_threads(threads)
            fresh = type(optimizer).from_config(optimizer.get_config())
            gradients, variables = large(300_001)
            for _ in range(3):
                fresh.apply(gradients, variables)
            found.append(np.concatenate([v.value for v in variables]))
    finally:
        fastconv.set_num_threads(before)
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


@pytest.mark.parametrize(("formula", "optimizer"), FORMULAS, ids=[f.__name__ for f, _ in FORMULAS])
@pytest.mark.parametrize("isa", fastconv.available_isas())
def test_float32_on_every_instruction_set(isa: str, formula: Any, optimizer: optimizers.Optimizer) -> None:
    """Every length of a tail, against float64."""
    fresh = type(optimizer).from_config(optimizer.get_config())
    gradients, variables = large(67)
    gradients[3], variables[3] = gradients[3][:16389], Variable(variables[3].value[:16389])
    wanted, states = [v.value.astype(np.float64) for v in variables], [{} for _ in variables]
    with fastconv.use_isa(isa):
        for t in range(1, 4):
            fresh.apply(gradients, variables)
            wanted = [formula(w, g.astype(np.float64), s, t) for w, g, s in zip(wanted, gradients, states, strict=True)]
    for variable, right in zip(variables, wanted, strict=True):
        np.testing.assert_allclose(variable.value, right, rtol=2e-5, atol=2e-6)


def test_arrays_that_are_not_plain() -> None:
    wanted = steps(optimizers.Adam(0.1))
    weights, optimizer = Variable(START.copy().T), optimizers.Adam(0.1)
    for gradient in GRADIENTS:
        optimizer.apply([gradient.T.astype(">f8")], [weights])
    np.testing.assert_array_equal(weights.value.T, wanted)
    with pytest.raises(ValueError, match=r"expected a gradient of shape \(3, 5\), got \(2,\)"):
        optimizer.apply([np.zeros(2)], [weights])


def test_a_step_that_builds_on_ours() -> None:
    class Halved(optimizers.SGD):
        def update_step(self, gradient: np.ndarray, variable: Variable, learning_rate: float) -> None:
            super().update_step(gradient, variable, learning_rate / 2)

    np.testing.assert_array_equal(steps(Halved(0.2, momentum=0.9)), steps(optimizers.SGD(0.1, momentum=0.9)))


def test_copies_take_their_own_way() -> None:
    weights, optimizer = Variable(START.copy()), optimizers.Adam(0.1)
    optimizer.apply([GRADIENTS[0]], [weights])
    other, twin = copy.deepcopy((optimizer, weights))
    held = weights.value.copy()
    other.apply([GRADIENTS[1]], [twin])
    np.testing.assert_array_equal(weights.value, held)
    optimizer.apply([GRADIENTS[1]], [weights])
    np.testing.assert_array_equal(weights.value, twin.value)
