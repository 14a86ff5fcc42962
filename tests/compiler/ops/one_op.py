"""Graphs of one operator between small convolutions, and rules checked by their message."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import pytest
from graphs import GraphBuilder
from parity import Outcome, compile_proto, run_parity

from vlac.errors import UnsupportedError


def image_graph(
    body: Callable[[GraphBuilder, str], str], channels: int = 20, size: tuple[int, int] = (11, 13), *, opset: int = 17
) -> onnx.ModelProto:
    """Input, 1x1 convolution, the body, output."""
    g = GraphBuilder("one_op")
    x = g.conv(g.input("x", (1, channels, *size)), channels, 1, relu=False)
    return g.model(body(g, x), opset=opset)


def check_both(model: onnx.ModelProto, **options: object) -> Outcome:
    """Parity on `u50` and `tiny`; returns the outcome on `u50`."""
    run_parity(model, "tiny", **options)
    return run_parity(model, "u50", **options)


def refused(model: onnx.ModelProto, *parts: str, calib: str | None = "random:1") -> None:
    """The model is refused with a message that holds every part."""
    with pytest.raises(UnsupportedError) as caught:
        compile_proto(model, calib=calib)
    for part in parts:
        assert part in str(caught.value), str(caught.value)
