"""Signatures: what the host computes, files of them, and everything that does not fit is refused when it is read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from isa_programs import pipeline

from vla_isa import container, image
from vla_isa.errors import ProgramError
from vla_isa.program import Program
from vla_isa.signature import HostOp, HostRun, ModelOutput, Signature, Value
from vla_isa.validate import validate

PIPELINE = pipeline()
GIVEN, MADE = PIPELINE.inputs[0].layout.shape, PIPELINE.outputs[0].layout.shape
CONSTANT = np.arange(MADE[-1], dtype=np.float32) + np.float32(0.5)


def signature() -> Signature:
    """x (uint8) / 255 into the device; of its output y + constant, the constant, and the other input."""
    inputs = [Value("x", GIVEN, "uint8"), Value("state", (2, 3), "int64"), Value("unused", (1,), "float32")]
    ops = [
        HostOp("Cast", (0,), GIVEN, "float32"),  # 3
        HostOp("Constant", (), (), "float32", (0,)),  # 4
        HostOp("Div", (3, 4), GIVEN, "float32"),  # 5
        HostOp("Device", (), MADE, "float32", (0,)),  # 6
        HostOp("Constant", (), CONSTANT.shape, "float32", (1,)),  # 7
        HostOp("Add", (6, 7), MADE, "float32"),  # 8
    ]
    outputs = [ModelOutput("y", 8), ModelOutput("x", 7), ModelOutput("state", 1)]
    return Signature(inputs, ops, [5], outputs, [np.array(255, np.float32), CONSTANT])


def program() -> Program:
    return replace(PIPELINE, signature=signature())


def test_round_trip() -> None:
    data = image.dumps(program())
    loaded = image.loads(data)
    found, wanted = loaded.model, signature()
    assert replace(found, arrays=[]) == replace(wanted, arrays=[])
    for a, b in zip(found.arrays, wanted.arrays, strict=True):
        assert a.dtype == b.dtype and np.array_equal(a, b)
    assert image.dumps(loaded) == data
    assert [v.name for v in loaded.model_inputs] == ["x", "state", "unused"] and found.unused == {"unused"}
    assert loaded.model_outputs == [
        Value("y", MADE, "float32"),
        Value("x", CONSTANT.shape, "float32"),
        Value("state", (2, 3), "int64"),
    ]


def test_values() -> None:
    x, state = np.full(GIVEN, 51, np.uint8), np.arange(6).reshape(2, 3)
    run = HostRun(signature(), {"x": x, "state": state})
    (fed,) = run.feeds()
    np.testing.assert_array_equal(fed, np.full(GIVEN, np.float32(51) / np.float32(255)))
    outputs = run.outputs(lambda op: np.full(op.shape, 2, op.dtype))
    np.testing.assert_array_equal(outputs["y"], np.broadcast_to(2 + CONSTANT, MADE))
    np.testing.assert_array_equal(outputs["x"], CONSTANT)
    assert outputs["state"] is state


def test_a_program_without_one_has_the_device_s_tensors() -> None:
    found = PIPELINE.model
    assert found.inputs == [Value("x", GIVEN, "float32")] and found.output_values == [Value("y", MADE, "float32")]
    assert "signature" not in container.read(memoryview(image.dumps(PIPELINE)))


def edited(path: list[str | int], value: Any) -> bytes:
    """The file of `program` with one JSON value of its signature replaced, or removed."""
    sections = {n: bytes(d) for n, d in container.read(memoryview(image.dumps(program()))).items()}
    root = json.loads(sections["signature"])
    at = root
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    sections["signature"] = json.dumps(root).encode()
    return b"".join(container.write(list(sections.items())))


def op(function: str, operands: list[int], shape: tuple[int, ...] = MADE, dtype: str = "float32", numbers=()) -> Any:
    return {
        "function": function,
        "operands": operands,
        "shape": list(shape),
        "dtype": dtype,
        "numbers": list(numbers),
    }


TURNED = tuple(reversed(MADE))


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["inputs", 0, "dtype"], "object", "has dtype 'object'; there are float16"),
        (["inputs", 0, "shape"], [1 << 40], "must have 1 to"),
        (["inputs", 0, "shape"], [0, 3], "must have 1 to"),
        (["inputs", 0, "shape"], [-1], "must have 1 to"),
        (["arrays", 0, "shape"], [1] * 65, "up to 32 axes"),
        (["inputs", 1, "name"], "x", "two model inputs have the name 'x'"),
        (["inputs", 1, "name"], 5, "must be a string"),
        (["outputs", 1, "name"], "y", "two model outputs have the name 'y'"),
        (["outputs"], [], "no outputs"),
        (["outputs", 0, "source"], 9, "is value 9 of 9"),
        (["outputs", 0, "source"], -1, "is value -1 of 9"),
        (["feeds"], [], "the device has 1 inputs, and takes values []"),
        (["feeds"], [5, 5], "the device has 1 inputs"),
        (["feeds"], [9], "takes values [9] of 9"),
        (["feeds"], [8], "the device takes value 8"),
        (["feeds"], [1], "takes value 1, int64 [2, 3]"),
        (["ops", 0], op("System", [0]), "(System) does not exist; there are Abs"),
        (["ops", 2, "operands"], [3, 5], "reads a value that is not there before it"),
        (["ops", 2, "operands"], [3, -1], "reads a value that is not there before it"),
        (["ops", 2, "operands"], [3], "has 1 operands"),
        (["ops", 5, "operands"], [], "has 0 operands"),
        (["ops", 2, "shape"], [1, 1], "is no result of"),
        (["ops", 2, "numbers"], [1], "is no result of"),
        (["ops", 2, "dtype"], "float64", "is not possible"),
        (["ops", 2, "operands"], [0, 0], "of uint8 and uint8 to float32 is not possible"),
        (["ops", 0, "dtype"], "float128", "has dtype 'float128'"),
        (["ops", 3, "numbers"], [1], "takes [1]; there are 1"),
        (["ops", 3, "numbers"], [], "takes []; there are 1"),
        (["ops", 3, "shape"], [7], "what it stands for"),
        (["ops", 3, "dtype"], "int64", "is int64"),
        (["ops", 4, "numbers"], [2], "takes [2]; there are 2"),
        (["ops", 4, "shape"], [1, *CONSTANT.shape], "what it stands for"),
        (["ops", 5], op("Transpose", [6], TURNED, numbers=[3, 2, 1, 1]), "is no result of"),
        (["ops", 5], op("Reshape", [6], (5,)), "is no result of"),
        (["ops", 5], op("Softmax", [6], numbers=[4]), "is no result of"),
        (["ops", 5], op("Softmax", [6], numbers=[-1]), "is no result of"),
        (["ops", 5], op("ArgMax", [6], MADE[:3], numbers=[3, 0]), "to float32 is not possible"),
        (["ops", 5], op("Concat", [6, 7], numbers=[1]), "is no result of"),
        (["ops", 5], op("Slice", [6], numbers=[0, 0, 0, 1, 1, 1, 1, 1]), "is no result of"),
        (["ops", 5], op("Slice", [6], numbers=[0] * 8), "is no result of"),
        (["ops", 5], op("Quantize", [6, 7], numbers=[0]), "is no result of"),
        (["ops", 5], op("Quantize", [6, 4], numbers=[200]), "is no result of"),
        (["ops", 5, "extra"], 1, "unknown key 'extra'"),
        (["ops", 5, "numbers"], ..., "missing key 'numbers'"),
        (["ops", 5, "numbers"], [0.5], "must be an integer"),
        (["arrays", 1, "offset"], 0, "not in order"),
        (["arrays", 1, "offset"], 1 << 40, "outside section 'arrays'"),
        (["arrays", 1, "shape"], [1 << 20], "outside section 'arrays'"),
        (["arrays", 1, "shape"], [1 << 30], "must have 1 to"),
        (["arrays", 1, "dtype"], "object", "there are float16"),
        (["arrays", 1, "dtype"], "<f4", "there are float16"),
        (["arrays"], [], "holds more than the signature names"),
    ],
)
def test_what_does_not_fit_is_refused(path: list[str | int], value: Any, reason: str) -> None:
    with pytest.raises(ProgramError) as e:
        image.loads(edited(path, value))
    assert reason in str(e.value)


def test_sizes_are_bounded() -> None:
    big = [op("Constant", [], (), "float32", [0])] + [op("Add", [3, 3], ())] * 5000
    with pytest.raises(ProgramError, match="5001 functions; the limit is 4096"):
        image.loads(edited(["ops"], big))
    with pytest.raises(ProgramError, match="more than 1073741824 elements in all"):
        image.loads(edited(["ops"], [op("Reshape", [0], (1 << 28,), "uint8")] * 5))


def test_arrays_without_a_signature_are_refused() -> None:
    sections = {n: bytes(d) for n, d in container.read(memoryview(image.dumps(program()))).items()}
    del sections["signature"]
    with pytest.raises(ProgramError, match="'arrays' without 'signature'"):
        image.loads(b"".join(container.write(list(sections.items()))))


def test_a_data_space_that_nothing_uses_is_refused() -> None:
    with pytest.raises(ProgramError, match=r"data_bytes is 8589934592, but the program uses \d+ bytes"):
        image.loads(image.dumps(replace(PIPELINE, data_bytes=1 << 33)))


@pytest.mark.parametrize("scale", [2.0**63, float("inf"), float("nan"), -1.0])
def test_scales_out_of_range_are_refused(scale: float) -> None:
    tensor = replace(PIPELINE.outputs[0], scale=scale)
    with pytest.raises(ProgramError, match="is not a positive number up to"):
        validate(replace(PIPELINE, outputs=[tensor]))
