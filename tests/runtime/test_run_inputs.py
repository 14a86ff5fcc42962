"""What a backend is given is held against the program: a loaded program does not guess."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hand_program import make_program

from vla_isa.errors import InputError
from vlarun.backends.base import Backend, checked
from vlarun.backends.ref import _Integers
from vlarun.backends.rtl import RtlOptions, _RtlProgram
from vlarun.backends.sim import SimBackend, SimOptions

PROGRAM = make_program()
NAMES = [t.name for t in PROGRAM.inputs]
SHAPES = {t.name: t.layout.shape for t in PROGRAM.inputs}
RNG = np.random.default_rng(0)
GOOD = {name: RNG.integers(-128, 128, shape, np.int8) for name, shape in SHAPES.items()}
FIRST = NAMES[0]
Change = Callable[[dict[str, Any]], Any]

WRONG: list[tuple[Change, str]] = [
    (lambda g: {}, f"input '{FIRST}'.* is missing; the device takes '{FIRST}' int8"),
    (lambda g: None, "the inputs of a run are NoneType; give a mapping"),
    (lambda g: {**g, "zz": 1}, "unknown input 'zz'"),
    (lambda g: {**g, FIRST: g[FIRST][..., :-1]}, f"input '{FIRST}' has shape"),
    (lambda g: {**g, FIRST: g[FIRST].ravel()}, f"input '{FIRST}' has shape"),
    (lambda g: {**g, FIRST: g[FIRST] + 0.5}, f"input '{FIRST}' has dtype float64; the device takes int8"),
    (lambda g: {**g, FIRST: g[FIRST] > 0}, "has dtype bool"),
    (lambda g: {**g, FIRST: np.full(SHAPES[FIRST], 200, np.uint8)}, r"holds 200 to 200; the device takes -128\.\.127"),
    (lambda g: {**g, FIRST: np.full(SHAPES[FIRST], -(2**63))}, "holds -9223372036854775808 to"),
]


@pytest.mark.parametrize("native", [True, False], ids=["native", "numpy"])
@pytest.mark.parametrize(("change", "message"), WRONG, ids=[m for _, m in WRONG])
def test_inputs_that_are_not_the_programs(native: bool, change: Change, message: str) -> None:
    backend: Backend = SimBackend(SimOptions(native=native))
    with pytest.raises(InputError, match=message):
        backend.load(PROGRAM).run([change(GOOD)])


@pytest.mark.parametrize("kind", [_RtlProgram, _Integers])
def test_every_backend_checks(kind: Any) -> None:
    loaded = kind.__new__(kind)
    loaded.program, loaded._options, loaded._limits = PROGRAM, RtlOptions(), {}
    with pytest.raises(InputError, match="is missing"):
        loaded.run([{}])


@pytest.mark.parametrize(
    "form",
    [
        np.asfortranarray,
        lambda a: np.repeat(a, 2, -1)[..., ::2],
        lambda a: a[..., ::-1].copy()[..., ::-1],
        lambda a: a.astype(">i2"),
        lambda a: a.astype(np.int64),
        lambda a: np.broadcast_to(a, a.shape),
        lambda a: a.tolist(),
    ],
)
def test_the_form_of_an_array_does_not_matter(form: Callable[[np.ndarray], Any]) -> None:
    formed = {name: form(array) for name, array in GOOD.items()}
    (found,) = checked(PROGRAM, [formed])
    assert all(np.array_equal(found[name], GOOD[name]) and found[name].dtype == np.int8 for name in NAMES)
    for native in (True, False):
        loaded = SimBackend(SimOptions(native=native)).load(PROGRAM)
        (one,), (other,) = loaded.run([GOOD]), loaded.run([formed])
        assert all(np.array_equal(one.outputs[name], other.outputs[name]) for name in one.outputs)
