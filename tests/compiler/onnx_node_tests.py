"""ONNX's own node tests (`onnx.backend.test.case.node`) through the compiler and `sim`, counted per operator.

    python tests/compiler/onnx_node_tests.py > docs/reference/onnx_node_tests.md

A test is taken where its operator is one of `vlac ops` and its data float32. The model is quantized with min-max over
the test's own input. What the machine wants as a constant (all inputs but those that are joined) is made one.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.backend.test.loader import load_node_model_tests
from onnx.reference import ReferenceEvaluator

import vlarun
from vla_isa.errors import VlaError
from vla_isa.hardware import load
from vla_isa.numerics import quantize
from vla_isa.program import IoTensor, Program
from vla_isa.signature import ModelOutput
from vlac import CompileOptions, compile_file
from vlac.errors import ModelError, UnsupportedError
from vlac.import_onnx.load import MAX_OPSET, MIN_OPSET, parse_model
from vlac.ops import BY_NAME, OPS

STEPS = 3
OUTCOMES = ("right", "right at the rounded input", "refused", "wrong", "crashed")
EXPANDED = "(functions written out)"
_JOINS = ("Add", "Concat", "Max", "Mean", "Min", "Mul", "PRelu", "Sub", "Sum")
_FOLDED = ("CastLike", "Constant", "ConstantOfShape", "Shape", "Size")
_DATA = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT64)
_PARAMETERS = (TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL)

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Case:
    """A test: its model with constants in place, the inputs left, and the outputs ONNX expects."""

    name: str
    model: onnx.ModelProto
    inputs: Arrays
    expected: Arrays


@dataclass(frozen=True)
class Outcome:
    """What came of a case, and why."""

    kind: str
    detail: str = ""


@cache
def cases() -> dict[str, list[Case]]:
    """The cases by operator, in order; those of models that write an operator out as its function under EXPANDED."""
    np.random.seed(0)  # the tests draw their data when they are loaded
    found: dict[str, list[Case]] = {s.name: [] for s in OPS} | {EXPANDED: []}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tests = load_node_model_tests()
    for test in tests:
        nodes = test.model.graph.node
        written_out = "_expanded" in test.name
        operator = EXPANDED if written_out else nodes[0].op_type if len(nodes) == 1 else ""
        wanted = operator in found and (not written_out or all(_is_known(n) for n in nodes))
        if wanted and _is_float32(test.model.graph):
            case = _case(test, "" if written_out else operator)
            if case is not None and (not written_out or _is_by_element(case.model)):
                found[operator].append(case)
    return {name: found[name] for name in sorted(found) if found[name]}


def _is_float32(graph: onnx.GraphProto) -> bool:
    kinds = [[v.type.tensor_type.elem_type for v in values] for values in (graph.input, graph.output)]
    return (
        kinds[0][:1] == [TensorProto.FLOAT]
        and set(kinds[0]) <= set(_PARAMETERS)
        and set(kinds[1]) <= set(_DATA)
        and all(v.type.WhichOneof("value") == "tensor_type" for v in (*graph.input, *graph.output))
    )


def _case(test, operator: str) -> Case | None:
    """A case, or None where the opset has no equal among those that the compiler reads."""
    model = onnx.ModelProto()
    model.CopyFrom(test.model)
    version = next(o for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if version.version < MIN_OPSET:
        return None
    version.version = min(version.version, MAX_OPSET)
    model.ir_version = min(model.ir_version, 11)
    (given, wanted), graph = test.data_sets[0], model.graph
    arrays = dict(zip([v.name for v in graph.input], map(np.asarray, given), strict=True))
    names = [v.name for v in graph.output]
    expected = dict(zip(names, map(np.asarray, wanted), strict=True))
    fixed = [v for i, v in enumerate(graph.input) if i and operator not in _JOINS]
    for value in fixed:
        graph.initializer.append(numpy_helper.from_array(arrays.pop(value.name), value.name))
        graph.input.remove(value)
    try:
        onnx.checker.check_model(model)
        same = ReferenceEvaluator(model).run(names, arrays)
    except Exception:  # the operator, or this form of it, is newer than MAX_OPSET
        return None
    assert all(np.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True) for a, b in zip(same, wanted, strict=True)), (
        test.name
    )
    return Case(test.name.removeprefix("test_"), model, arrays, expected)


def _is_known(node: onnx.NodeProto) -> bool:
    return node.op_type in BY_NAME or node.op_type in _FOLDED


def _is_by_element(model: onnx.ModelProto) -> bool:
    """Whether constant folding leaves operators only that work element by element or move values.

    Normalizations, softmax and attention written out divide by sums: no scale of 8 bits holds what is in between.
    """
    try:
        specs = [BY_NAME.get(n.op_type) for n in parse_model(model, "case")[0].graph]
    except (ModelError, UnsupportedError):
        return False
    return bool(specs) and all(s and (s.function or s.keeps_scale or s.name in ("Cast", "Concat")) for s in specs)


# --- running ------------------------------------------------------------------------------------------------


def run(case: Case, config: str = "u50") -> Outcome:
    """Compile and run a case, and compare with what ONNX expects."""
    with tempfile.TemporaryDirectory() as folder:
        path, samples = Path(folder) / "model.onnx", Path(folder) / "calibration.npz"
        onnx.save(case.model, path)
        np.savez(samples, **case.inputs)
        try:
            program = compile_file(path, load(config), CompileOptions(calibration=str(samples))).program
            assert program is not None
            outputs = vlarun.Session(program, backend="sim").run(case.inputs)
        except UnsupportedError as e:
            return Outcome("refused", str(e))
        except VlaError as e:
            return Outcome("refused", f"{type(e).__name__}: {e}")
        except Exception as e:
            return Outcome("crashed", f"{type(e).__name__}: {e}")
    return _compare(case, program, outputs)


def _compare(case: Case, program: Program, outputs: Arrays) -> Outcome:
    rounded = {v.name: case.inputs[v.name] for v in program.model_inputs}
    rounded |= {t.name: _rounded(case.inputs[t.name], t) for t in program.inputs if t.name in case.inputs}
    names = list(case.expected)
    there = dict(zip(names, ReferenceEvaluator(case.model).run(names, rounded), strict=True))
    worst = {"right": 0.0, "right at the rounded input": 0.0}
    for output in program.model.outputs:
        name, found = output.name, outputs[output.name]
        for kind, wanted in zip(worst, (case.expected, there), strict=True):
            if found.shape != wanted[name].shape or found.dtype != case.expected[name].dtype:
                return Outcome("wrong", f"{found.dtype} {found.shape}, not {wanted[name].shape}")
            exact = kind == "right"
            inputs = case.inputs if exact else rounded
            worst[kind] = max(worst[kind], _steps(program, output, found, wanted[name], inputs, saturate=not exact))
    for kind, steps in worst.items():
        if steps <= STEPS:
            return Outcome(kind, f"{steps:.2f} steps")
    return Outcome("wrong", ", ".join(f"{steps:.2f} steps" for steps in worst.values()))


def _rounded(x: NDArray[np.generic], tensor: IoTensor) -> NDArray[np.float32]:
    """An input as the device holds it."""
    q = quantize(x.astype(np.float32), tensor.scale, tensor.zero_point).astype(np.float32)
    return (q - np.float32(tensor.zero_point)) * np.float32(tensor.scale)


def _steps(
    program: Program, output: ModelOutput, found: NDArray, wanted: NDArray, inputs: Arrays, *, saturate: bool
) -> float:
    """The largest difference in quantization steps; of indices, the difference of the values they pick.

    With `saturate`, what lies outside the output's range counts as its bound.
    """
    signature = program.model
    op, device = signature.value(output.source), signature.device_outputs(output.source)
    if not device:
        return 0.0 if np.array_equal(found, wanted, equal_nan=True) else np.inf
    tensor = program.outputs[device[0]]
    if op.function in ("ArgMax", "ArgMin"):
        x, axis = next(iter(inputs.values())), op.numbers[0]
        shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
        picked = [np.take_along_axis(x, i.reshape(shape), axis) for i in (found, wanted)]
        return float(np.abs(picked[0] - picked[1]).max() / tensor.scale)
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    low, high = -128 - tensor.zero_point, 127 - tensor.zero_point
    step = tensor.scale
    if not signature.steps(output.source):
        b = np.clip(b, low * step, high * step) if saturate else b
    else:
        step = max(float(np.ptp(np.append(wanted, 0))), 1e-6) / 255  # ranges hold 0
    return float(np.nan_to_num(np.abs(a - b), nan=np.inf).max(initial=0) / step)


# --- the page -----------------------------------------------------------------------------------------------


def row(operator: str, outcomes: Iterable[Outcome]) -> str:
    """A line of the table: the operator's counts."""
    counts = Counter(o.kind for o in outcomes)
    return f"| {operator} | {counts.total()} | " + " | ".join(str(counts[k]) for k in OUTCOMES) + " |"


def page(rows: list[str]) -> str:
    """docs/reference/onnx_node_tests.md."""
    totals = [sum(int(r.split("|")[i + 2]) for r in rows) for i in range(len(OUTCOMES) + 1)]
    right, rounded = (100 * sum(totals[1:end]) / max(totals[0], 1) for end in (2, 3))
    head = " | ".join(("operator", "tests", *OUTCOMES))
    return f"""# ONNX's node tests

Written by `python tests/compiler/onnx_node_tests.py`; checked row by row by `tests/compiler/test_onnx_node_tests.py`.

The node tests that come with ONNX (`onnx.backend.test`), where the operator is supported and the data float32:
compiled for `u50`, quantized with min-max over the test's own input, run on `sim`. Operators of a newer opset than
{MAX_OPSET} are declared as of {MAX_OPSET} where that computes the same.

*Right*: within {STEPS} quantization steps of the output that ONNX expects (an index: the values picked differ by that
at most). *Right at the rounded input*: within {STEPS} steps of what ONNX's reference computes from the input as 8 bits
hold it, where the function is too steep, or jumps, for the unrounded one. *Refused*: with the rule.
"{EXPANDED[1:-1]}": models in which ONNX writes a function of each element out in several operators.

| {head} |
|{"---|" * (len(OUTCOMES) + 2)}
{chr(10).join(rows)}
| **all** | {" | ".join(map(str, totals))} |

{right:.1f} % right; {rounded:.1f} % with those right at the rounded input.
"""


if __name__ == "__main__":
    if sys.argv[1:]:  # show the cases of some operators
        for operator in sys.argv[1:]:
            for case in cases()[operator]:
                outcome = run(case)
                print(f"{operator:<20} {case.name:<50} {outcome.kind:<12} {outcome.detail}")
    else:
        sys.stdout.write(page([row(name, [run(c) for c in found]) for name, found in cases().items()]))
