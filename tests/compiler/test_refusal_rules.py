"""Every refusal rule of every operator, by the message of a model that breaks it and of one that just keeps it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import onnx
import pytest
from parity import compile_proto
from refusal_models import Case
from refused_elementwise import ELEMENTWISE
from refused_layers import LAYERS
from refused_moves import MOVES
from refused_pools import POOLS_AND_SUMS
from refused_sequences import SEQUENCES

from vla_isa.hardware import load
from vlac.analysis.support import refusals
from vlac.errors import UnsupportedError
from vlac.lowering.spec import Rule, rule_text
from vlac.ops import BY_NAME, OPS
from vlac.options import CompileOptions
from vlac.passes import Compilation
from vlac.pipeline import PASSES

HW = load("u50")
CASES = [*LAYERS, *POOLS_AND_SUMS, *ELEMENTWISE, *MOVES, *SEQUENCES]


def rule_of(case: Case) -> Rule:
    (rule,) = [r for r in BY_NAME[case.operator].rules if r.__name__ == case.rule]
    return rule


def node_of(case: Case, model: onnx.ModelProto) -> str:
    (node,) = [n for n in model.graph.node if n.op_type == case.operator]
    return node.name


def test_every_rule_of_every_operator_is_here():
    rules = {(s.name, r.__name__) for s in OPS for r in s.rules}
    tested = {(c.operator, c.rule) for c in CASES}
    assert rules == tested, f"add to refused_*.py: {rules - tested}; no rule any more: {tested - rules}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_a_model_that_breaks_the_rule_is_told_so(case):
    model = case.broken()
    quantized = any(n.op_type == "QuantizeLinear" for n in model.graph.node)
    with pytest.raises(UnsupportedError) as caught:
        compile_proto(model, HW, calib=None if quantized else "random:1")
    # a node that a rewrite put in the place of one has a number behind its name
    where = rf"{case.operator} '{re.escape(node_of(case, model))}(\.\d+)?' cannot run on 'u50': "
    lines = [line.strip() for line in str(caught.value).splitlines()]
    wanted = re.compile(where + re.escape(f"{rule_text(rule_of(case), HW)} Found {case.found}."))
    assert any(wanted.fullmatch(line) for line in lines), lines


@pytest.mark.parametrize("case", [c for c in CASES if c.kept], ids=lambda c: c.name)
def test_a_model_that_just_keeps_the_rule_is_not(case):
    assert rule_text(rule_of(case), HW) not in "\n".join(reasons(case.kept()))


def reasons(model: onnx.ModelProto) -> list[str]:
    """What the compiler refuses of a model after its rewrites, without compiling the rest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        state = Compilation(path, HW, CompileOptions(allow_host=True))
        for stage in PASSES[:2]:
            stage.run(state)
    assert state.model is not None and (len(state.model.graph) > 0 or state.direct)
    return [str(refusal) for refusal in refusals(state.model, HW).values()]
