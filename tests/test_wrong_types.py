"""Python calls with an argument of a wrong type: the message names the argument, what it may be, and what was found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vlac
import vlarun
from vla_isa import package

MODEL: Any = "model.onnx"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: vlac.compile_file(3, "u50"), "model must be a file or an onnx.ModelProto, not int (3)"),
        (lambda: vlac.compile_model(None, "u50"), "model must be a file or an onnx.ModelProto, not NoneType (None)"),
        (lambda: vlac.compile_model(b"abc", "u50"), "not bytes (b'abc')"),
        (lambda: vlac.compile_file(MODEL, 5), "hw must be a HardwareConfig, a name of 'vlac configs' or a TOML file's"),
        (lambda: vlac.compile_file(MODEL, Path("u50")), "not PosixPath"),
        (
            lambda: vlac.compile_file(MODEL, "u50", {"batch": 1}),
            "options must be CompileOptions, not dict ({",
        ),
        (lambda: vlac.compile_model(MODEL, "u50", "random"), "options must be CompileOptions, not str ('random')"),
        (lambda: vlac.CompileOptions(batch="1"), "batch must be a whole number or None, not str ('1')"),
        (lambda: vlac.CompileOptions(percentile="99"), "percentile must be a number, not str ('99')"),
        (lambda: vlac.CompileOptions(rounding=3), "rounding must be a string or None, not int (3)"),
        (
            lambda: vlac.CompileOptions(input_shapes=["x"]),
            "input_shapes must be a mapping of input names",
        ),
        (
            lambda: vlac.CompileOptions(input_shapes={"x": 3}),
            "input_shapes['x'] must be a sequence of sizes, not int",
        ),
        (
            lambda: vlac.CompileOptions(dump_after=["x"]),
            "dump_after must be a mapping of pass names",
        ),
        (lambda: vlarun.Session(5), "program must be a file or a Program, not int (5)"),
        (
            lambda: vlarun.open_session("p.bin", backend=5),
            "backend must be one of sim, rtl, ref or a Backend, not int (5)",
        ),
        (lambda: vlarun.Session("p.bin", None), "backend must be one of sim, rtl, ref or a Backend, not NoneType"),
        (lambda: vlarun.open_session(None), "program must be a file or a Program, not NoneType (None)"),
        (lambda: package.load([1] * 100), f"not list ({str([1] * 100)[:60]})"),
    ],
)
def test_the_message_names_the_argument(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert message in str(caught.value)
