"""A repeated model in float, and the verification of a program of several rounds: one round node by node, then all.

Not here: how nodes are compared (`nodes.py`), which model is repeated (`vlac.model.carried`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import onnx
import onnx_ir as ir

from vla_toolchain.verify.nodes import NodeCheck, compared
from vla_toolchain.verify.reference import Arrays, Reference
from vla_toolchain.verify.source import LIMIT, RewriteCheck
from vlac.api import compile_file
from vlac.errors import ModelError
from vlac.model.carried import carried_names, repeat_of
from vlac.model.reading import dtype_of, shape_of
from vlac.passes import Compilation
from vlarun.session import Session

__all__ = ["check_rounds", "first_samples", "in_rounds", "one_round", "rewritten_rounds"]

Run = Callable[[Arrays], Arrays]


def in_rounds(model: ir.Model, run: Run) -> Run:
    """A run of one round as that of all rounds of a model, from the inputs of the first; `run` itself of one."""
    repeat, carry = repeat_of(model), carried_names(model)
    if repeat.count == 1:
        return run

    def whole(inputs: Arrays) -> Arrays:
        given, made = dict(inputs), dict[str, np.ndarray]()
        for number in range(repeat.count):
            if repeat.counter is not None:
                value = np.full(shape_of(repeat.counter), number, dtype_of(repeat.counter))
                given[repeat.counter.name or ""] = value
            made = dict(run(given))
            given |= {name: made[result] for name, result in carry.items()}
        return made

    return whole


def first_samples(model: ir.Model, samples: Sequence[Arrays]) -> list[Arrays]:
    """Those of the first round, without its number; all where rounds have none."""
    counter = repeat_of(model).counter
    if counter is None:
        return list(samples)
    name = counter.name or ""
    return [{n: a for n, a in s.items() if n != name} for s in samples if name not in s or not np.any(s[name])]


def one_round(state: Compilation) -> Compilation:
    """The quantized model of a repeated one compiled as one round, with every tensor returned."""
    model = _model(state)
    quantized = onnx.ModelProto()
    quantized.CopyFrom(state.qdq)
    for props in (quantized.metadata_props, *(v.metadata_props for v in quantized.graph.input)):
        del props[:]
    options = replace(state.options, calibration=None, carry=carried_names(model), repeat=1, counter=None)
    return compile_file(quantized, state.hw, replace(options, debug_outputs=True, dump_after={}))


def check_rounds(state: Compilation, once: Compilation, samples: Sequence[Arrays]) -> list[NodeCheck]:
    """Outputs of the program beside those of its rounds one after the other; equal, or the loop is wrong."""
    assert state.program is not None and once.program is not None
    session, single = Session(state.program), Session(once.program)
    outputs = {t.name: t for t in state.program.outputs}

    def round_of(inputs: Arrays) -> Arrays:
        single.forget()
        return single.run(inputs)

    found: list[NodeCheck] = []
    for inputs in samples:
        wanted, made = in_rounds(_model(state), round_of)(inputs), session.run(inputs)
        session.forget()
        for name in made:
            step = outputs[name].scale if name in outputs else 1.0
            a, b = (np.rint(np.asarray(run[name], np.float64) / step).astype(np.int64) for run in (wanted, made))
            found.append(compared(name, a, b))
    return found


def rewritten_rounds(state: Compilation, source: onnx.ModelProto, samples: Sequence[Arrays]) -> list[RewriteCheck]:
    """The rewritten float model, round by round, beside a model that has the loop inside.

    Raises:
        ModelError: ONNX Runtime cannot run one of them.
    """
    assert state.quantized is not None
    if state.quantized.reference is None:
        return []
    rounds = in_rounds(_model(state), partial(Reference.run, Reference(state.quantized.reference)))
    whole, worst = Reference(source), dict[str, RewriteCheck]()
    for inputs in samples:
        wanted, found = whole.run(inputs), rounds(inputs)
        for name, a in wanted.items():
            error = np.abs(a - found[name]) / max(float(np.abs(a).max(initial=0)), 1e-30)
            check = RewriteCheck(name, float(error.max(initial=0)), int((error > LIMIT).sum()))
            worst[name] = max(worst.get(name, check), check, key=lambda c: (c.wrong, c.error))
    return list(worst.values())


def _model(state: Compilation) -> ir.Model:
    if state.quantized is None:
        raise ModelError("the model is not quantized yet; run the passes up to 'quantize'")
    return state.quantized.model
